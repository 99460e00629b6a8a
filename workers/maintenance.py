"""Periodic maintenance tasks.

Each may run twice at once or be missed for a while: it acts on the state of the rows.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from celery.signals import worker_ready

from trading.accounts.accounts import purge_sessions
from trading.idempotency import purge
from trading.marketdata.subscriptions import publish_subscriptions
from trading.observability.metrics import instruments
from trading.operations.system_status import PipelineStage
from trading.orders.recovery import find_overdue
from trading.tasks import Task, log_fields
from trading.unit_of_work import UnitOfWork
from trading.watchlists.followed_stocks import stocks_to_follow
from workers.application import SETTINGS, app
from workers.task import PeriodicTask, TaskResult, get_core

log = structlog.get_logger(__name__)

# A purge works on a backlog for this many seconds; the next run takes the rest.
_CATCH_UP_S = 10.0


@worker_ready.connect
def _run_sweeps_at_start(**_signal: Any) -> None:
    """Run the sweeps now: this worker may be the first after an outage."""
    for task in (sweep_due_work, refresh_subscriptions, repair_account_streams):
        task.apply_async(retry=False, expires=SETTINGS.sweep_period_s)


@app.task(base=PeriodicTask, name=str(Task.SWEEP_DUE_WORK))
def sweep_due_work() -> TaskResult:
    """Dispatch overdue rows again: their message was lost or their task died."""
    core = get_core()
    overdue = core.read(find_overdue, settings=core.settings, now=core.clock())
    core.deliver(overdue.requests)
    found = {
        PipelineStage.EXECUTE: overdue.orders,
        PipelineStage.SETTLE: overdue.unsettled,
        PipelineStage.PORTFOLIO: overdue.unapplied,
    }
    for stage, count in found.items():
        instruments.record(instruments.SWEEP_OVERDUE_ROWS, stage, value=count)
    if overdue.requests:
        log.warning(
            "sweep_found_overdue",
            orders=overdue.orders,
            unsettled=overdue.unsettled,
            unapplied=overdue.unapplied,
        )
    ids: defaultdict[str, list[object]] = defaultdict(list)
    for request in overdue.requests:
        for name, some in log_fields(request.task, [str(one) for one in request.ids]).items():
            ids[name] += some
    return TaskResult({"overdue": overdue.orders + overdue.unsettled + overdue.unapplied}, ids)


@app.task(base=PeriodicTask, name=str(Task.REFRESH_SUBSCRIPTIONS))
def refresh_subscriptions() -> dict[str, Any] | None:
    """Publish to the relayer, through Redis, the stocks to subscribe.

    First come the stocks in holdings, orders and watchlists; the largest stocks fill up the budget.
    """
    core = get_core()
    wanted = core.read(stocks_to_follow, largest=core.settings.relayer_subscription_budget)
    is_change = publish_subscriptions(core.redis, wanted)
    return {"subscriptions": len(wanted)} if is_change else None


# Not retried: the next periodic run covers the same period.
@app.task(base=PeriodicTask, name=str(Task.REPAIR_ACCOUNT_STREAMS), autoretry_for=())
def repair_account_streams() -> dict[str, Any] | None:
    """Publish account events that were committed but not published.

    Redis was unavailable, or a process died.
    """
    core = get_core()
    repaired = core.account_events.repair(
        batch_size=core.settings.stage_batch_size, now=core.clock()
    )
    instruments.record(instruments.SWEEP_OVERDUE_ROWS, PipelineStage.ACCOUNT_EVENTS, value=repaired)
    if not repaired:
        return None
    log.warning("account_streams_repaired", users=repaired)
    return {"repaired": repaired}


# No purge is retried: the next periodic run covers it.
@app.task(base=PeriodicTask, name=str(Task.PURGE_RECEIPTS), autoretry_for=())
def purge_idempotency_receipts() -> dict[str, Any] | None:
    """Delete idempotency receipts after their guaranteed lifetime."""
    core = get_core()
    keep_h = core.settings.idempotency_key_hours
    return _purge_in_batches(lambda uow: purge(uow.session, keep_h=keep_h, now=uow.now))


@app.task(base=PeriodicTask, name=str(Task.PURGE_SESSIONS), autoretry_for=())
def purge_sign_in_sessions() -> dict[str, Any] | None:
    """Delete sessions whose refresh token expired long ago."""
    keep_days = get_core().settings.session_keep_days
    return _purge_in_batches(partial(purge_sessions, keep_days=keep_days))


def _purge_in_batches(purge_batch: Callable[[UnitOfWork], int]) -> dict[str, Any] | None:
    """Purge in batches, each in its own transaction, until nothing is left or time is up."""
    core, began, purged = get_core(), time.monotonic(), 0
    while time.monotonic() - began < _CATCH_UP_S:
        batch = core.run(purge_batch)
        if not batch:
            break
        purged += batch
    return {"purged": purged} if purged else None
