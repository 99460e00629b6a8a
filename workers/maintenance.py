"""Periodic tasks. Each may run twice at once or not at all for a while: it goes by the state of the rows."""

from typing import Any

import structlog
from celery.signals import worker_ready

from trading.database.transactions import nothing_to_find
from trading.market.subscriptions import publish_subscriptions
from trading.queries.subscriptions import stocks_to_follow
from trading.queue import Task
from trading.services.receipts import purge
from trading.services.sweep_due_work import find_overdue
from workers.application import SETTINGS, app
from workers.task import CoreTask, the_core

log = structlog.get_logger(__name__)


@worker_ready.connect
def _look_at_once(**_signal: Any) -> None:
    """A worker that starts may be the first after an outage: what is due is looked for now, not when beat next says so."""
    for task in (sweep_due_work, refresh_subscriptions, repair_account_streams):
        task.apply_async(retry=False, expires=SETTINGS.sweep_period_s)


@app.task(base=CoreTask, name=str(Task.SWEEP_DUE_WORK))
def sweep_due_work() -> dict[str, Any]:
    """Wake again what has been due for too long: its wake-up was lost, or its task died."""
    core = the_core()
    overdue = core.database.read(lambda session: find_overdue(session, settings=core.settings, now=core.clock()))
    core.deliver(overdue.wakeups)
    if overdue.wakeups:
        log.warning(
            "sweep_found_overdue", orders=overdue.orders, unsettled=overdue.unsettled, unapplied=overdue.unapplied
        )
    return {"overdue": overdue.orders + overdue.unsettled + overdue.unapplied}


@app.task(base=CoreTask, name=str(Task.REFRESH_SUBSCRIPTIONS))
def refresh_subscriptions() -> dict[str, Any]:
    """Tell the relayer, through Redis, which stocks the users' money depends on and which fill up its budget."""
    core = the_core()
    wanted = core.database.read(
        lambda session: stocks_to_follow(session, largest=core.settings.relayer_subscription_budget)
    )
    publish_subscriptions(core.redis, wanted)
    return {"subscriptions": len(wanted)}


# Not retried: the next one comes by itself and looks back as far.
@app.task(base=CoreTask, name=str(Task.REPAIR_ACCOUNT_STREAMS), autoretry_for=())
def repair_account_streams() -> dict[str, Any] | None:
    """Publish the account events that were committed and never published: Redis was away, or a process died."""
    core = the_core()
    repaired = core.account_events.repair(batch_size=core.settings.stage_batch_size, now=core.clock())
    if not repaired:
        return None
    log.warning("account_streams_repaired", users=repaired)
    return {"repaired": repaired}


@app.task(base=CoreTask, name=str(Task.PURGE_RECEIPTS))
def purge_idempotency_receipts() -> dict[str, Any]:
    """Forget idempotency keys after the hours that they are promised to be kept."""
    core = the_core()
    purged = core.database.transaction(
        lambda session: purge(session, keep_h=core.settings.idempotency_key_hours, now=core.clock()),
        landed=nothing_to_find,
    )
    return {"purged": purged}
