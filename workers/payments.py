"""Tasks about real money: look at payments, give money back, and wake what is due."""

import sys
from typing import Any

import structlog
from celery.apps.worker import Worker
from celery.signals import celeryd_after_setup

import celery_config
from trading.db.transactions import rerun_is_safe
from trading.observability.metrics import instruments
from trading.payments.refunds import process_refund
from trading.payments.sweep import dispatch_due_payments
from trading.payments.verify import check_payment
from trading.tasks import Task, log_fields
from workers.application import SETTINGS, app
from workers.task import CoreTask, TaskResult, get_core, ids_of

log = structlog.get_logger(__name__)

# The action of a look that PortOne did not answer.
_UNANSWERED = "unanswered"

# PortOne may take more than a minute for an answer, and one task may need two of them.
_PATIENT = {
    "soft_time_limit": celery_config.PAYMENT_SOFT_TIME_LIMIT_S,
    "time_limit": celery_config.PAYMENT_SOFT_TIME_LIMIT_S + 30,
}
_QUEUES = frozenset(
    {celery_config.QUEUES[Task.VERIFY_PAYMENT], celery_config.QUEUES[Task.REFUND_PAYMENT]}
)


@celeryd_after_setup.connect
def _refuse_without_portone(instance: Worker, **_signal: Any) -> None:
    """A worker on the queues of payments that can't ask PortOne would put them off for ever, so it does not start. Other workers need no secret."""
    if SETTINGS.missing_for_payments and not _QUEUES.isdisjoint(
        instance.app.amqp.queues.consume_from
    ):
        needed = "a worker on the queues of payments needs it; without, leave these queues out"
        log.critical(
            "settings_invalid",
            faults=[f"{name}: {needed}" for name in SETTINGS.missing_for_payments],
        )
        sys.exit(2)


@app.task(base=CoreTask, name=str(Task.VERIFY_PAYMENT), **_PATIENT)
def verify_payment(payment_ids: list[str]) -> TaskResult:
    """Ask PortOne what became of a payment, and book it."""
    core = get_core()
    looks = [
        check_payment(core.database, core.portone, one, settings=core.settings, clock=core.clock)
        for one in ids_of(payment_ids)
    ]
    for look in looks:
        instruments.record(instruments.PAYMENT_CHECKS, look.action or _UNANSWERED)
    return TaskResult(
        {"statuses": [look.status for look in looks]}, log_fields(Task.VERIFY_PAYMENT, payment_ids)
    )


@app.task(base=CoreTask, name=str(Task.REFUND_PAYMENT), **_PATIENT)
def refund_payment(refund_ids: list[str]) -> TaskResult:
    """Ask PortOne to give money back, or look whether it did."""
    core = get_core()
    pursuits = [
        process_refund(core.database, core.portone, one, settings=core.settings, clock=core.clock)
        for one in ids_of(refund_ids)
    ]
    for pursuit in pursuits:
        if pursuit.check is not None:
            instruments.record(instruments.PAYMENT_CHECKS, pursuit.check.action or _UNANSWERED)
        if pursuit.ended and pursuit.status is not None:
            instruments.record(instruments.REFUNDS_FINISHED, pursuit.status)
    return TaskResult(
        {"statuses": [pursuit.status for pursuit in pursuits]},
        log_fields(Task.REFUND_PAYMENT, refund_ids),
    )


# Not retried: the next one comes by itself.
@app.task(base=CoreTask, name=str(Task.SWEEP_PAYMENTS), autoretry_for=())
def sweep_payments() -> dict[str, Any] | None:
    """Wake the payments and refunds that are due: to be looked at again, or whose wake-up was lost."""
    core = get_core()
    now = core.clock()
    due = core.database.transaction(
        lambda session: dispatch_due_payments(session, now=now), find_committed=rerun_is_safe
    )
    return (
        {"payments": due.payments, "refunds": due.refunds} if due.payments or due.refunds else None
    )
