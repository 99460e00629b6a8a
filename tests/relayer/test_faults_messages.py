"""Duplicate, late, unrelated or malformed messages: only trades become ticks, once, in order."""

import gc
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from launcher.ports import free_port
from relayer.ticks.filter import TickFilter
from relayer.ticks.sequence import TickSequence
from sandbox.distortions import malformed
from sandbox.faults import Break, ConnectionEnd, Moment
from sandbox.market import Market
from tests.relayer.harness import (
    SAMSUNG,
    add_subscriptions,
    confirmed_count,
    health,
    relayer,
    until,
)
from tests.relayer.scenario import run_scenario
from tests.relayer.test_process import environment_for, process
from trading.config.settings import load
from trading.exchange.time import trade_date
from trading.marketdata.ticks import Tick
from trading.marketdata.topics import trade_topic
from trading.redis import keys
from trading.stocks.listing import seed_listing


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"copies": 3}, id="copies"),
        pytest.param({"reversed_in": 5}, id="in reverse"),
        pytest.param({"copies": 2, "reversed_in": 8}, id="copies in reverse"),
    ],
)
async def test_duplicate_trades_are_dropped_and_late_ones_kept(
    options: dict[str, Any], valkey_url: str, client: "redis.Redis"
) -> None:
    """Each trade is in the stream once; a late one does not become the last price."""

    async with run_scenario(client, valkey_url, quiet=True, **options) as scenario:
        await until(scenario.all_subscribed, what="everything is subscribed")
        scenario.trade(times=20)
        await until(
            lambda: len({tick.cumulative_volume for tick in scenario.ticks()}) == 20,
            what="all trades",
        )
        totals = sorted(tick.cumulative_volume or 0 for tick in scenario.ticks())
        assert totals == list(range(1, 21))
        last = Tick.from_json(client.get(keys.last_tick(SAMSUNG)))
        assert last.cumulative_volume == 20
    assert scenario.reasons() == []


async def test_trades_repeated_after_a_reconnect_are_dropped(
    valkey_url: str, client: "redis.Redis"
) -> None:
    async with run_scenario(client, valkey_url, quiet=True, replayed=60) as scenario:
        await until(scenario.all_subscribed, what="everything is subscribed")
        scenario.trade(times=100)
        await scenario.wait_for_trades()
        scenario.server.drop_connections()
        await scenario.wait_for_losses(times=1)
        await until(scenario.all_subscribed, what="everything is subscribed again")
        await scenario.wait_for_trades()
        assert [tick.cumulative_volume for tick in scenario.ticks()] == list(range(1, 103))


async def test_malformed_trades_are_counted_and_skipped(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """Each trade's one valid body becomes a tick, and the connection stays."""

    async with run_scenario(client, valkey_url, quiet=True, malformed=True) as scenario:
        await until(scenario.all_subscribed, what="everything is subscribed")
        scenario.trade(times=3)
        await scenario.wait_for_trades()
        now = datetime.now(UTC)
        ways = len(malformed(Market(seed_listing(), seed=1, at=now).trade(now)))
        await until(
            lambda: (record := health(client)) and record.malformed_total == 2 * 4 * ways,
            what="all of the malformed are counted",
        )
        record = health(client)
        assert record is not None
        assert record.ticks_total == 2 * 4
    assert scenario.reasons() == []


def test_malformed_trades_use_no_memory() -> None:
    """A thousand of them, half a megabyte."""
    now = datetime.now(UTC)
    tick_filter = TickFilter(TickSequence(), clock=lambda: now)
    bodies = malformed(Market(seed_listing(), seed=1, at=now).trade(now))

    def flood() -> int:
        for _ in range(30):
            for body in bodies:
                assert tick_filter.accept(trade_topic(SAMSUNG), body) is None
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before, after = flood(), flood()
    finally:
        tracemalloc.stop()
    assert after - before < 50_000


async def test_unknown_fields_and_values_are_accepted(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """The feed has no contract, so unknown fields or values must not cost a trade."""

    async with run_scenario(client, valkey_url, quiet=True, unfamiliar=True) as scenario:
        await until(scenario.all_subscribed, what="everything is subscribed")
        await scenario.wait_for_trades()
        (tick,) = scenario.ticks()
        assert (tick.price, tick.trade_type, tick.change_type, tick.session) == (
            70_050,
            "단일가",
            "LIMIT_UP",
            None,
        )


@pytest.mark.parametrize(
    "head",
    [
        "subscription:sub-999\n",
        "subscription:\n",
        "",
        "destination:/topic/v1/kr/stock/trade/A005930\n",
    ],
    ids=["another", "empty", "none", "a destination instead"],
)
async def test_messages_without_a_subscription_are_ignored(
    head: str, valkey_url: str, client: "redis.Redis"
) -> None:
    body = (
        '{"code":"A005930","dt":"2026-11-20T01:00:00Z","close":1,'
        '"volume":1,"cumulativeVolume":900000}'
    )

    stray = Break(
        at=Moment.MESSAGE,
        ending=ConnectionEnd.NONE,
        writes=f"MESSAGE\n{head}message-id:1\n\n{body}\0",
    )
    async with run_scenario(client, valkey_url, breaks=stray) as scenario:
        await until(scenario.all_subscribed, what="everything is subscribed")
        far_on = scenario.traded + 20
        await until(lambda: scenario.traded > far_on, what="twenty strays")
        assert scenario.ticks() == []
    assert scenario.reasons() == []


async def test_two_thousand_trades_a_second_arrive_without_loss(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """Four seconds of an opening: each day total is the previous one plus the tick's volume."""
    stocks, port = seed_listing(), free_port()

    add_subscriptions(client, *(stock.code for stock in stocks))
    with process("-m", "sandbox", "--port", str(port), "--rate", "2000"):
        async with relayer(load(environment_for(valkey_url, port))):
            await until(lambda: client.xlen(keys.TICK_STREAM) >= 8_000, what="8,000 trades")
            assert confirmed_count(client) == len(stocks)

    record = health(client)
    assert record is not None
    assert (record.reconnects, record.malformed_total, record.ticks_total) == (
        0,
        0,
        client.xlen(keys.TICK_STREAM),
    )
    last: dict[str, Tick] = {}
    for _, fields in client.xrange(keys.TICK_STREAM):
        tick = Tick.from_json(fields[keys.TICK_FIELD])
        before = last.get(tick.code)
        # The sandbox's totals restart at midnight in Korea.
        if before is not None and trade_date(before.traded_at) == trade_date(tick.traded_at):
            assert tick.cumulative_volume == (before.cumulative_volume or 0) + tick.volume
        last[tick.code] = tick
    assert last.keys() == {stock.code for stock in stocks}
