"""Price alerts with real workers: scheduled by beat, sent once each despite kills."""

from pathlib import Path

import pytest

from tests.support.servers import wait_until
from tests.trading.orders.steps import rows
from tests.webapp.client import Api, data_of
from tests.workers.processes import beat, worker
from trading.config.settings import Settings


@pytest.fixture
def live_settings(live_settings: Settings) -> Settings:
    """Settings for real processes with frequent scans."""
    return live_settings.model_copy(update={"alert_period_ms": 200})


def test_alerts_are_sent_once_despite_a_kill(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """Also alerts met before a kill -9 or while no worker ran; clients receive them as events."""
    harness, people = live_api.harness, [live_api.person() for _ in range(3)]
    harness.tick(70_000)

    def alert_counts() -> list[int]:
        """Return the number of alerts each user has received."""
        found = [
            data_of(live_api.get("/trading/events?limit=100", person))["items"] for person in people
        ]
        return [sum(event["kind"] == "alert" for event in of_person) for of_person in found]

    def watch(code: str, **bounds: int) -> None:
        for person in people:
            data_of(live_api.post("/watchlist", person, {"stock_code": code, **bounds}), 201)

    watch("A005930", upper_price=71_000, lower_price=69_000)
    with (
        worker(tmp_path / "worker.log", live_settings) as alerting,
        beat(tmp_path / "beat.log", live_settings),
    ):
        harness.tick(71_000)
        wait_until(lambda: alert_counts() == [1, 1, 1], what="the first alerts")
        alerting.kill()
        watch("A000660", target_price=300_000)
        harness.tick(68_000)
        harness.tick(70_000)
        harness.tick(290_000, "A000660", base=280_000)
        harness.tick(310_000, "A000660", base=280_000)
        alerting.start()
        wait_until(lambda: alert_counts() == [3, 3, 3], what="the missed alerts")
        line = '"task": "check_price_alerts"'
        assert (
            sum(line in entry and "task_done" in entry for entry in alerting.output.splitlines())
            < 10
        ), "scans without a result are not logged"
    prices = rows(harness, "SELECT DISTINCT kind, tick_price FROM price_alerts ORDER BY kind")
    assert [(row["kind"], row["tick_price"]) for row in prices] == [
        ("lower_price", 68_000),
        ("target_price", 310_000),
        ("upper_price", 71_000),
    ]
    assert harness.breaches() == []
