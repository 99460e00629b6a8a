"""Periodic tasks of candles: add new trades, and delete old minutes."""

import time
from dataclasses import asdict
from typing import Any

from trading.observability.metrics import instruments
from trading.operations.system_status import CANDLES
from trading.stocks.candles.build import build_candles as build
from trading.stocks.candles.build import purge_minutes
from trading.tasks import Task
from workers.application import app
from workers.task import PeriodicTask, get_core

# After an outage a task works on its backlog for this long; the next run takes the rest.
_CATCH_UP_S = 10.0


# Neither task is retried: the next periodic run covers it.
@app.task(base=PeriodicTask, name=str(Task.BUILD_CANDLES), autoretry_for=())
def build_candles() -> dict[str, Any] | None:
    """Add the trades since the last run to their minute and day candles."""
    core = get_core()
    began = time.monotonic()
    ticks = candles = 0
    while True:
        report = core.run(build, stream=core.ticks)
        instruments.record_ticks(CANDLES, report.ticks, gap=report.gap)
        ticks, candles = ticks + report.ticks, candles + report.candles
        if not report.more or time.monotonic() - began > _CATCH_UP_S:
            break
    return {**asdict(report), "ticks": ticks, "candles": candles} if ticks or report.gap else None


@app.task(base=PeriodicTask, name=str(Task.PURGE_CANDLES), autoretry_for=())
def purge_candles() -> dict[str, Any] | None:
    """Delete minute candles older than the configured number of days."""
    core = get_core()
    began, purged = time.monotonic(), 0
    while time.monotonic() - began < _CATCH_UP_S:
        batch = core.run(purge_minutes, keep_days=core.settings.candle_minute_days)
        if not batch:
            break
        purged += batch
    return {"purged": purged} if purged else None
