"""Ticks reach Redis once each and in order, whatever happens to Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import redis
from redis.asyncio import Redis

from relayer.ticks.sequence import TickSequence
from relayer.ticks.writer import CONGESTED_TICKS, WAITING_TICKS_MAX, TickWriter
from tests.relayer.harness import HYNIX, SAMSUNG, until
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey
from trading.marketdata.ticks import MS_MAX, Position, Tick
from trading.redis import keys


def tick(number: int, *, code: str = SAMSUNG, ms: int | None = None) -> Tick:
    """Return the ``number``-th tick, at millisecond ``number`` unless ``ms`` is given."""
    return Tick(
        code=code,
        price=70_000,
        base=70_000,
        volume=1,
        cumulative_volume=number,
        trade_type="BUY",
        change_type="FLAT",
        session="REGULAR",
        exchange="KRX",
        traded_at=datetime(2026, 11, 20, 3, 0, tzinfo=UTC),
        received_at=datetime.now(UTC),
        position=Position(number if ms is None else ms, 0),
    )


def stream(client: "redis.Redis") -> list[tuple[str, int | None]]:
    """Return positions and day totals of the stream, checking that ids equal tick positions."""
    entries = client.xrange(keys.TICK_STREAM)
    ticks = [(place, Tick.from_json(fields[keys.TICK_FIELD])) for place, fields in entries]
    assert all(place == str(tick.position) for place, tick in ticks)
    return [(place, tick.cumulative_volume) for place, tick in ticks]


@asynccontextmanager
async def writing(
    url: str, sequence: TickSequence | None = None, lags: list[float] | None = None
) -> AsyncIterator[TickWriter]:
    """Run a writer until all is written. ``lags`` receives the seconds that each batch took."""
    async with Redis.from_url(
        url, decode_responses=True, socket_timeout=1, socket_connect_timeout=1
    ) as connection:
        observe_lag = ([] if lags is None else lags).append
        writer = TickWriter(
            connection,
            sequence or TickSequence(),
            clock=lambda: datetime.now(UTC),
            observe_lag=observe_lag,
        )
        running = asyncio.create_task(writer.run())
        yield writer
        writer.finish()
        async with asyncio.timeout(DEADLINE_S):
            await running


async def test_ticks_are_written_to_last_value_live_push_and_stream(
    valkey_url: str, client: "redis.Redis"
) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as push:
        push.subscribe(keys.tick_channel(SAMSUNG))
        push.get_message(timeout=DEADLINE_S)
        async with writing(valkey_url) as writer:
            for number in range(1, 601):
                writer.offer(tick(number))
        pushed = [push.get_message(timeout=DEADLINE_S) for _ in range(600)]

    last = client.get(keys.last_tick(SAMSUNG))
    assert stream(client) == [(f"{number}-0", number) for number in range(1, 601)]
    assert Tick.from_json(last).cumulative_volume == 600
    assert pushed[-1] is not None
    assert pushed[-1]["data"] == last
    assert 0 < client.ttl(keys.last_tick(SAMSUNG)) <= keys.TICK_TTL_S


async def test_positions_continue_after_the_stream_even_with_a_late_clock(
    valkey_url: str, client: "redis.Redis"
) -> None:
    client.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: tick(0, ms=MS_MAX).to_json()}, id=f"{MS_MAX}-0")
    sequence = TickSequence()
    async with writing(valkey_url, sequence) as writer:
        writer.offer(tick(1, ms=5))
        writer.offer(tick(2, ms=6))

    assert stream(client) == [(f"{MS_MAX}-0", 0), (f"{MS_MAX}-1", 1), (f"{MS_MAX}-2", 2)]


async def test_a_batch_with_a_lost_answer_is_written_once(
    valkey_server: Valkey, valkey_url: str
) -> None:
    """Redis freezes past the timeout, then applies the batch: stream positions show it."""

    async with writing(valkey_url) as writer:
        writer.offer(tick(1))
        await until(lambda: writer.lag_ms is not None, what="the first tick is written")
        valkey_server.pause()
        try:
            writer.offer(tick(2))
            writer.offer(tick(3))
            await until(lambda: writer.failures_total >= 2, what="the writer detected the outage")
            writer.offer(tick(4))
        finally:
            valkey_server.resume()
    result = writer.written_total
    assert result == 4

    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        assert [number for _, number in stream(client)] == [1, 2, 3, 4]


async def test_an_outage_keeps_the_latest_tick_of_each_stock(
    valkey_server: Valkey, valkey_url: str
) -> None:
    async with writing(valkey_url) as writer:
        writer.offer(tick(1))
        await until(lambda: writer.lag_ms is not None, what="the first tick is written")
        valkey_server.stop()
        writer.offer(tick(2))
        await until(lambda: writer.failures_total >= 2, what="the writer detected the outage")
        for number in range(3, 100):
            writer.offer(tick(number, code=SAMSUNG if number % 2 else HYNIX))
        failures = writer.failures_total
        await until(lambda: writer.failures_total > failures, what="the writer tried again")
        valkey_server.start()
    assert writer.conflated_total == 95

    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        assert [number for _, number in stream(client)] == [2, 98, 99]


async def test_a_congested_writer_makes_callers_wait_except_in_an_outage(
    valkey_server: Valkey, valkey_url: str
) -> None:
    async with writing(valkey_url) as writer:
        for number in range(1, CONGESTED_TICKS + 2):
            writer.offer(tick(number))
        assert writer.is_congested
        await writer.wait_for_capacity()
        assert not writer.is_congested
        valkey_server.pause()
        try:
            for number in range(CONGESTED_TICKS + 2, 3 * CONGESTED_TICKS):
                writer.offer(tick(number))
            await writer.wait_for_capacity()
            assert writer.failures_total >= 1
        finally:
            valkey_server.resume()


async def test_lag_is_observed_per_batch_from_its_first_tick(
    valkey_server: Valkey, valkey_url: str
) -> None:
    """After an outage it includes the whole outage."""
    lags: list[float] = []

    began = time.monotonic()
    async with writing(valkey_url, lags=lags) as writer:
        writer.offer(tick(1))
        await until(lambda: writer.written_total == 1, what="the first tick is written")
        valkey_server.stop()
        try:
            writer.offer(tick(2))
            await until(lambda: writer.failures_total >= 2, what="the writer detected the outage")
            writer.offer(tick(3))
        finally:
            valkey_server.start()
    result = writer.written_total
    assert result == 3
    assert len(lags) >= 2
    assert 0 <= lags[0] < lags[1]
    assert 0.2 < lags[1] < time.monotonic() - began


async def test_queued_ticks_are_bounded() -> None:
    """At most 20,000 ticks are queued; then only the latest of each stock are kept."""

    writer = TickWriter(Redis(), TickSequence(), clock=lambda: datetime.now(UTC))
    first, second = tick(1), tick(2, code=HYNIX)
    for _ in range(WAITING_TICKS_MAX):
        writer.offer(first)
    writer.offer(second)
    result = writer.conflated_total
    assert result == WAITING_TICKS_MAX - 1
