"""Tasks of payments: query PortOne, refund, and dispatch what is due."""

import sys
from typing import Any

import structlog
from celery.apps.worker import Worker
from celery.signals import celeryd_after_setup

import celery_config
from trading.observability.metrics import instruments
from trading.payments.check_payment import check_payment
from trading.payments.refunds import process_refund
from trading.payments.sweep import dispatch_due_payments
from trading.tasks import Task, log_fields
from workers.application import SETTINGS, app
from workers.task import CoreTask, PeriodicTask, TaskResult, get_core, ids_of

log = structlog.get_logger(__name__)

# Metric label of a query that PortOne did not answer.
_UNANSWERED = "unanswered"

# PortOne may take more than a minute per answer, and a task may need two.
_LONG_LIMITS = {
    "soft_time_limit": celery_config.PAYMENT_SOFT_TIME_LIMIT_S,
    "time_limit": celery_config.PAYMENT_SOFT_TIME_LIMIT_S + 30,
}
_QUEUES = frozenset(
    {celery_config.QUEUES[Task.VERIFY_PAYMENT], celery_config.QUEUES[Task.REFUND_PAYMENT]}
)


@celeryd_after_setup.connect
def _require_portone_settings(instance: Worker, **_signal: Any) -> None:
    """Exit if the worker consumes payment queues but lacks PortOne's secrets.

    It would postpone payments without end. Other workers need no secret.
    """
    if SETTINGS.missing_for_payments and not _QUEUES.isdisjoint(
        instance.app.amqp.queues.consume_from
    ):
        needed = "a worker on the queues of payments needs it; without, leave these queues out"
        log.critical(
            "settings_invalid",
            faults=[f"{name}: {needed}" for name in SETTINGS.missing_for_payments],
        )
        sys.exit(2)


@app.task(base=CoreTask, name=str(Task.VERIFY_PAYMENT), **_LONG_LIMITS)
def verify_payment(payment_ids: list[str]) -> TaskResult:
    """Query PortOne for payments and apply the results."""
    core = get_core()
    checks = [check_payment(core, core.portone, one) for one in ids_of(payment_ids)]
    for check in checks:
        instruments.record(instruments.PAYMENT_CHECKS, check.action or _UNANSWERED)
    return TaskResult(
        {"statuses": [check.status for check in checks]},
        log_fields(Task.VERIFY_PAYMENT, payment_ids),
    )


@app.task(base=CoreTask, name=str(Task.REFUND_PAYMENT), **_LONG_LIMITS)
def refund_payment(refund_ids: list[str]) -> TaskResult:
    """Request refunds from PortOne, or query their state."""
    core = get_core()
    refunds = [process_refund(core, core.portone, one) for one in ids_of(refund_ids)]
    for refund in refunds:
        if refund.check is not None:
            instruments.record(instruments.PAYMENT_CHECKS, refund.check.action or _UNANSWERED)
        if refund.ended and refund.status is not None:
            instruments.record(instruments.REFUNDS_FINISHED, refund.status)
    return TaskResult(
        {"statuses": [refund.status for refund in refunds]},
        log_fields(Task.REFUND_PAYMENT, refund_ids),
    )


# Not retried: the next periodic run covers it.
@app.task(base=PeriodicTask, name=str(Task.SWEEP_PAYMENTS), autoretry_for=())
def sweep_payments() -> dict[str, Any] | None:
    """Dispatch payments and refunds that are due for a query or whose message was lost."""
    core = get_core()
    due = core.run(dispatch_due_payments)
    return (
        {"payments": due.payments, "refunds": due.refunds} if due.payments or due.refunds else None
    )
