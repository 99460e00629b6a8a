"""Candles with a real worker and beat: trades count once despite a kill; old minutes go."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.support.servers import wait_until
from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import rows
from tests.webapp.client import Api
from tests.workers.processes import beat, worker
from tests.workers.test_live import _send
from trading.config.settings import Settings
from trading.db.clock import utc_now
from trading.stocks.candles.model import CandleInterval
from trading.tasks import Task


def volume(harness: TradingHarness, interval: str) -> int:
    found: list[dict[str, Any]] = rows(
        harness,
        "SELECT SUM(volume) AS volume FROM candles WHERE candle_interval = :interval",
        interval=interval,
    )
    return int(found[0]["volume"] or 0)


def test_trades_become_candles(live_api: Api, live_settings: Settings, tmp_path: Path) -> None:
    """Trades during a worker's absence are added when one is back; each trade counts once."""
    harness = live_api.harness
    settings = live_settings.model_copy(update={"candle_period_s": 1})
    with (
        worker(tmp_path / "worker.log", settings) as process,
        beat(tmp_path / "beat.log", settings),
    ):
        for _ in range(10):
            harness.tick(70_000, volume=3)
        wait_until(lambda: volume(harness, "min:1") == 30, what="ten trades in candles")
        process.kill()
        for _ in range(10):
            harness.tick(70_100, volume=3)
        process.start()
        wait_until(lambda: volume(harness, "min:1") == 60, what="the trades during the outage")
    assert volume(harness, "day:1") == 60
    assert {
        row["close"]
        for row in rows(harness, "SELECT close FROM candles WHERE candle_interval = 'day:1'")
    } == {70_100}


def test_old_minute_candles_are_deleted(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """After the configured number of days; day candles are kept."""
    harness = live_api.harness
    now = CandleInterval.MINUTE.start(utc_now())
    for days in (0, 29, 31):
        for interval in ("min:1", "day:1"):
            _insert(
                harness,
                code=SAMSUNG,
                interval=interval,
                at=(now - timedelta(days=days)).replace(tzinfo=None),
            )
    with worker(tmp_path / "worker.log", live_settings):
        _send(live_settings, Task.PURGE_CANDLES)
        wait_until(lambda: volume(harness, "min:1") == 2, what="the oldest minute is gone")
    assert volume(harness, "day:1") == 3


def _insert(harness: TradingHarness, **values: Any) -> None:
    statement = text(
        "INSERT INTO candles (stock_code, candle_interval, starts_at, open, high, low, close,"
        " volume, amount, opened_at, closed_at, position)"
        " VALUES (:code, :interval, :at, 1, 1, 1, 1, 1, 1, :at, :at, 1)"
    )
    harness.do(lambda session: session.execute(statement, values))
