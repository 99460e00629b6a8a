"""Periodic tasks that write histories."""

import time
from functools import partial
from typing import Any

from trading.database.transactions import nothing_to_find
from trading.queue import Task
from trading.services.account_days import DaysReport
from trading.services.account_days import record_account_days as record
from workers.application import app
from workers.task import CoreTask, the_core

# After an outage a task goes on with what has piled up for so long; the next one takes the rest.
_CATCH_UP_S = 10.0


# Not retried: the next one comes by itself and finds the same days.
@app.task(base=CoreTask, name=str(Task.RECORD_ACCOUNT_DAYS), autoretry_for=())
def record_account_days() -> dict[str, Any] | None:
    """Write the days that have ended into the history of the accounts that lack them."""
    core = the_core()
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
        report = core.database.transaction(batch, landed=nothing_to_find)
        rows += report.rows
    return {"days": rows} if rows else None
