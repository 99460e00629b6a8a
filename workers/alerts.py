"""The periodic task of price alerts."""

import time

from trading.observability.metrics import instruments
from trading.operations.system_status import ALERTS
from trading.tasks import Task
from trading.watchlists.check_alerts import check_price_alerts as check
from workers.application import app
from workers.task import PeriodicTask, TaskResult, get_core, task_result

# After an outage a task works on its backlog for this long; the next run takes the rest.
_CATCH_UP_S = 10.0


# Not retried: the next periodic run covers it.
@app.task(base=PeriodicTask, name=str(Task.CHECK_PRICE_ALERTS), autoretry_for=())
def check_price_alerts() -> TaskResult | None:
    """Fire the price alerts that trades since the last scan have met."""
    core = get_core()
    began = time.monotonic()
    fired, affected = 0, []
    while True:
        report = core.run(check, core.ticks, freshness_ms=core.settings.tick_freshness_ms)
        instruments.record_ticks(ALERTS, report.ticks, gap=report.gap)
        fired += report.fired
        affected.append(report.affected)
        if not report.more or time.monotonic() - began > _CATCH_UP_S:
            break
    if not (fired or report.gap):
        return None
    return task_result(*affected, ticks=report.ticks, fired=fired, gap=report.gap, more=report.more)
