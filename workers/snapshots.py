"""Periodic tasks that write histories."""

import time
from functools import partial
from typing import Any

import structlog

from trading.db.transactions import rerun_is_safe
from trading.portfolio.record_snapshots import DaysReport
from trading.portfolio.record_snapshots import record_account_days as record
from trading.stocks.indices.queries import KOSPI, closes_due
from trading.stocks.indices.record import record_index_closes
from trading.stocks.toss.errors import TossError
from trading.stocks.toss.index_closes import recent_closes
from trading.tasks import Task
from workers.application import app
from workers.task import CoreTask, get_core

log = structlog.get_logger(__name__)

# After an outage a task goes on with what has piled up for so long; the next one takes the rest.
_CATCH_UP_S = 10.0


# Not retried: the next one comes by itself and finds the same days.
@app.task(base=CoreTask, name=str(Task.RECORD_ACCOUNT_DAYS), autoretry_for=())
def record_account_days() -> dict[str, Any] | None:
    """Write the days that have ended into the history of the accounts that lack them."""
    core = get_core()
    hours = core.market_hours()
    began, rows, report = time.monotonic(), 0, DaysReport(more=True)
    while report.more and time.monotonic() - began < _CATCH_UP_S:
        batch = partial(
            record,
            hours=hours,
            done_to=report.done_to,
            batch_size=core.settings.stage_batch_size,
            now=core.clock(),
        )
        report = core.database.transaction(batch, find_committed=rerun_is_safe)
        rows += report.rows
    return {"days": rows} if rows else None


# Not retried: the next one comes by itself and finds the same days.
@app.task(base=CoreTask, name=str(Task.REFRESH_INDEX_CLOSES), autoretry_for=())
def refresh_index_closes() -> dict[str, Any] | None:
    """Write the index's closes of the last days that are over, as far as Toss tells them. What is known, from a file or before, stays; then it is not asked."""
    core = get_core()
    hours, now = core.market_hours(), core.clock()
    due = core.database.read(lambda session: closes_due(session, KOSPI, hours=hours, now=now))
    if not due:
        return None
    try:
        told = recent_closes(core.market_data, KOSPI, hours=hours, now=now)
    except TossError as fault:
        log.warning("index_closes_missing", reason=fault.code, days=sorted(map(str, due)))
        return None
    closes = {day: told[day] for day in due if day in told}
    if not closes:
        return None
    written = core.database.transaction(
        lambda session: record_index_closes(session, KOSPI, closes, now=now),
        find_committed=rerun_is_safe,
    )
    return {"closes": written}
