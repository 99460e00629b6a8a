"""The periodic task about price alerts."""

import time

from trading.observability.metrics import instruments
from trading.operations.system_status import ALERTS
from trading.tasks import Task
from trading.watchlists.check_alerts import check_price_alerts as check
from workers.application import app
from workers.task import CoreTask, TaskResult, done, get_core

# After an outage a task goes on with what has piled up for so long; the next one takes the rest.
_CATCH_UP_S = 10.0


# Not retried: the next look comes by itself.
@app.task(base=CoreTask, name=str(Task.CHECK_PRICE_ALERTS), autoretry_for=())
def check_price_alerts() -> TaskResult | None:
    """Fire the price alerts that were met by the trades since the last look."""
    core = get_core()
    began = time.monotonic()
    fired, told = 0, []
    while True:
        report = core.run(check, core.ticks)
        instruments.record_ticks(ALERTS, report.ticks, gap=report.gap)
        fired += report.fired
        told.append(report.worked_on)
        if not report.more or time.monotonic() - began > _CATCH_UP_S:
            break
    if not (fired or report.gap):
        return None
    return done(*told, ticks=report.ticks, fired=fired, gap=report.gap, more=report.more)
