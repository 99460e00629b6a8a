"""Real matchers: two share the stocks by queue, and a killed one catches up later."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.servers import wait_until
from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import rows
from tests.webapp.client import Api, Person, data_of
from tests.workers.processes import beat, worker
from trading.config.settings import Settings
from trading.marketdata.sharding import shard_of

HYUNDAI = "A005380"
SHARES = {0: SAMSUNG, 1: HYUNDAI}


@pytest.fixture
def live_settings(live_settings: Settings) -> Settings:
    """Settings for real processes with two shards."""
    return live_settings.model_copy(update={"matcher_shards": 2, "match_period_ms": 200})


def resting_buys(api: Api, person: Person, code: str, count: int) -> list[str]:
    """Place orders below the market, which rest until they are cancelled."""
    api.harness.tick(70_500, code)
    limit = {"order_type": "LIMIT", "price": 70_000, "time_in_force": "GTC", "stock_code": code}
    return [data_of(api.order(person, "BUY", 1, **limit), 201)["id"] for _ in range(count)]


def filled(harness: TradingHarness, code: str) -> int:
    return len(
        rows(
            harness,
            "SELECT id FROM orders WHERE status = 'FILLED' AND stock_code = :code",
            code=code,
        )
    )


def matched_shards(outputs: Sequence[str]) -> list[set[int]]:
    """Return the shards in each worker's log of fills."""
    return [{shard for shard in SHARES if f'"shard": {shard}' in output} for output in outputs]


def test_two_matchers_share_the_stocks_and_catch_up_after_a_kill(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """After kill -9 of one, the other's stocks go on; the first one's are filled later."""
    assert [shard_of(code, 2) for code in SHARES.values()] == list(SHARES)
    harness, person = live_api.harness, live_api.person()
    for code in SHARES.values():
        resting_buys(live_api, person, code, 5)
    with (
        worker(tmp_path / "first.log", live_settings, queues="orders.match.0") as first,
        worker(tmp_path / "second.log", live_settings, queues="orders.match.1") as second,
        worker(
            tmp_path / "rest.log",
            live_settings,
            queues="orders.execute,orders.settle,orders.portfolio,maintenance",
        ),
        beat(tmp_path / "beat.log", live_settings),
    ):
        for code in SHARES.values():
            harness.tick(69_900, code)
        wait_until(
            lambda: filled(harness, SAMSUNG) == filled(harness, HYUNDAI) == 5,
            what="five fills of each stock",
        )
        wait_until(
            lambda: matched_shards([first.output, second.output]) == [{0}, {1}],
            what="a cursor of both matchers",
        )

        second.kill()
        for code in SHARES.values():
            resting_buys(live_api, person, code, 5)
            harness.tick(69_900, code)
            harness.tick(70_500, code)
        wait_until(lambda: filled(harness, SAMSUNG) == 10, what="the other matcher's fills")
        assert filled(harness, HYUNDAI) == 5
        second.start()
        wait_until(lambda: filled(harness, HYUNDAI) == 10, what="the missed fills")
        wait_until(
            lambda: not rows(harness, "SELECT id FROM order_executions WHERE applied_at IS NULL"),
            what="all in the portfolio",
        )
    assert len(rows(harness, "SELECT id FROM order_executions")) == 20
    assert rows(harness, "SELECT DISTINCT price, rule FROM order_executions") == [
        {"price": 70_000, "rule": "resting-at-limit"}
    ]
    assert harness.breaches() == []
