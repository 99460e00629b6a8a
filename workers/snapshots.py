"""Periodic tasks that record daily values of accounts and of the index."""

import time
from typing import Any

import structlog

from trading.portfolio.record_snapshots import DaysReport
from trading.portfolio.record_snapshots import record_account_days as record
from trading.stocks.indices.queries import KOSPI, closes_due
from trading.stocks.indices.record import record_index_closes
from trading.stocks.toss.errors import TossError
from trading.stocks.toss.index_closes import recent_closes
from trading.tasks import Task
from workers.application import app
from workers.task import PeriodicTask, get_core

log = structlog.get_logger(__name__)

# After an outage a task works on its backlog for this long; the next run takes the rest.
_CATCH_UP_S = 10.0


# Not retried: the next periodic run finds the same days.
@app.task(base=PeriodicTask, name=str(Task.RECORD_ACCOUNT_DAYS), autoretry_for=())
def record_account_days() -> dict[str, Any] | None:
    """Record completed days of accounts that lack them."""
    core = get_core()
    began, rows, report = time.monotonic(), 0, DaysReport(more=True)
    while report.more and time.monotonic() - began < _CATCH_UP_S:
        report = core.run(record, done_to=report.done_to, batch_size=core.settings.stage_batch_size)
        rows += report.rows
    return {"days": rows} if rows else None


# Not retried: the next periodic run finds the same days.
@app.task(base=PeriodicTask, name=str(Task.REFRESH_INDEX_CLOSES), autoretry_for=())
def refresh_index_closes() -> dict[str, Any] | None:
    """Record the index's missing closes of recent completed days, as far as Toss has them.

    Known closes are kept; without missing days Toss is not asked.
    """
    core = get_core()
    hours, now = core.market_hours(), core.clock()
    due = core.read(closes_due, KOSPI, hours=hours, now=now)
    if not due:
        return None
    try:
        closes_by_day = recent_closes(core.market_data, KOSPI, hours=hours, now=now)
    except TossError as fault:
        log.warning("index_closes_missing", reason=fault.code, days=sorted(map(str, due)))
        return None
    closes = {day: closes_by_day[day] for day in due if day in closes_by_day}
    if not closes:
        return None
    written = core.run(record_index_closes, KOSPI, closes)
    return {"closes": written}
