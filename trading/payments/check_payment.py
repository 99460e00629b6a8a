"""Check payments at PortOne and record the result exactly once.

A payment is credited once and each cancellation is reversed once, whatever the number and order
of the checks. A report that is not unambiguous opens an alert for an operator.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import structlog

from trading.payments.alert_kinds import PaymentAlertKind
from trading.payments.backoff import (
    DELAY_MAX,
    DELAY_MAX_LATE,
    JITTER_MAX,
    backoff_delay,
    next_follow_up,
)
from trading.payments.decide import Decision, PaymentAction, PaymentFinding, decide, wait_until
from trading.payments.locked_payment import ATTEMPTS_MAX, CashReservedByOpenBuys, LockedPayment
from trading.payments.model import PaymentStatus, payment_id_of
from trading.payments.portone.client import PortoneClient
from trading.payments.portone.errors import PortoneApiError, PortoneError
from trading.payments.portone_payment import Report
from trading.payments.rows import StoredPayment, read_payment
from trading.unit_of_work import UnitOfWork, UseCaseRunner

log = structlog.get_logger(__name__)

T = TypeVar("T")


_ALERT_OF_FINDING = {
    PaymentFinding.MISMATCHED: PaymentAlertKind.MISMATCH,
    PaymentFinding.UNKNOWN: PaymentAlertKind.UNKNOWN_STATUS,
    PaymentFinding.CONTRADICTORY: PaymentAlertKind.CONTRADICTORY,
    # Cancellations that exceed the remaining amount.
    PaymentFinding.PAID: PaymentAlertKind.CONTRADICTORY,
    PaymentFinding.PARTLY_CANCELLED: PaymentAlertKind.CONTRADICTORY,
    PaymentFinding.CANCELLED: PaymentAlertKind.CONTRADICTORY,
}


@dataclass(frozen=True, slots=True)
class PaymentCheckResult:
    """Result of a check: the payment's new status and the action taken.

    Both are None when PortOne gave no usable answer or the payment does not exist.
    """

    status: PaymentStatus | None
    action: PaymentAction | None = None


def check_payment(
    core: UseCaseRunner, portone: PortoneClient, payment_id: UUID
) -> PaymentCheckResult:
    """Query PortOne for a payment and apply the result.

    A missing answer or a refusal of PortOne does not raise: the check is repeated later. Raises
    DatabaseUnavailable.
    """
    payment = core.read(read_payment, payment_id)
    if payment is None:
        return PaymentCheckResult(None)
    try:
        report = portone.get_payment(payment_id_of(payment_id))
    except PortoneError as error:
        log.warning("payment_check_failed", payment_id=payment_id.hex, reason=str(error))
        core.run(_postpone_check, payment_id, error)
        return PaymentCheckResult(None)
    decision = retry_after_cancelling_buys(
        lambda attempt: core.run(
            apply_report,
            payment_id,
            report,
            notification_count=payment.notification_count,
            attempt=attempt,
        )
    )
    if decision is None:
        return PaymentCheckResult(None)
    log.info(
        "payment_checked",
        payment_id=payment_id.hex,
        finding=decision.finding.name,
        action=decision.action,
        status=decision.payment.status,
        mismatches=sorted(decision.mismatches) or None,
    )
    if decision.action is PaymentAction.CLOSE_ACCOUNT:
        _close_virtual_account(portone, payment_id)
    return PaymentCheckResult(decision.payment.status, decision.action)


def retry_after_cancelling_buys(work: Callable[[int], T]) -> T:
    """Run ``work``; if open buys reserve the required cash, run it again with these cancelled.

    ``work`` gets the number of the attempt, from 0; see ``LockedPayment.lock``.
    """
    for attempt in range(ATTEMPTS_MAX - 1):
        try:
            return work(attempt)
        except CashReservedByOpenBuys:
            continue
    return work(ATTEMPTS_MAX - 1)


def apply_report(
    uow: UnitOfWork,
    payment_id: UUID,
    report: Report | None,
    *,
    notification_count: int,
    attempt: int = 0,
) -> Decision | None:
    """Decide what a report means for the payment as it is now, and record it.

    ``notification_count`` is the number of notifications before PortOne was asked: if there are
    more now, the report may be outdated and another check is due. Return None when there is no
    such payment.
    """
    now, settings = uow.now, uow.settings
    locked = LockedPayment.lock(uow, payment_id, attempt=attempt)
    if locked is None:
        return None
    payment = locked.before
    decision = decide(
        locked.state(test_channel_allowed=settings.portone_allow_test_channel), report, now=now
    )
    if decision.credit:
        locked.credit()
    if report is not None:
        locked.update_refunds(report.cancellations)
    locked.reverse(decision.reversals, state=decision.payment)
    if decision.alert:
        is_disputed = report is not None and report.is_disputed
        locked.alert(
            PaymentAlertKind.DISPUTED
            if is_disputed and decision.action is not PaymentAction.REJECT
            else _ALERT_OF_FINDING.get(decision.finding, PaymentAlertKind.UNEXPECTED_REPORT),
            ",".join(sorted(decision.mismatches)) or decision.finding.name,
        )
    locked.after = locked.after._replace(
        check_count=payment.check_count + 1,
        finding=decision.finding.name,
        reported_at=decision.payment.reported_at,
        next_attempt_at=_next_attempt_at(
            payment, decision, report, notification_count=notification_count, now=now
        ),
    )
    if decision.payment.status is PaymentStatus.MISMATCHED:
        locked.after = locked.after._replace(
            mismatches=",".join(sorted(decision.mismatches)) or payment.mismatches
        )
    if report is not None and decision.payment.reported_at == report.updated_at:
        locked.after = _with_report_details(locked.after, report)
    locked.save()
    return decision


def _with_report_details(payment: StoredPayment, report: Report) -> StoredPayment:
    """Copy what the owner and operators see from the newest report."""
    account = report.virtual_account
    return payment._replace(
        failure=report.failure,
        transaction_id=report.transaction_id,
        receipt_url=report.receipt_url,
        # PortOne may leave the method out.
        method=report.method or payment.method,
        account_bank=account.bank if account else None,
        account_number=account.number if account else None,
        account_expires_at=account.expires_at if account else None,
    )


def _next_attempt_at(
    payment: StoredPayment,
    decision: Decision,
    report: Report | None,
    *,
    notification_count: int,
    now: datetime,
) -> datetime | None:
    if payment.notification_count != notification_count:
        return payment.next_attempt_at or now
    status = decision.payment.status
    if status is PaymentStatus.CANCELLED:
        return None
    if status.is_credited:
        return next_follow_up(payment.credited_at or now, now)
    if status is PaymentStatus.PENDING:
        until = wait_until(decision.payment.terms, report)
        next_check = now + _retry_delay(payment, now)
        return min(next_check, until) if until > now else next_check
    if decision.action is PaymentAction.CLOSE_ACCOUNT:
        return now + _retry_delay(payment, now)
    return None


def _retry_delay(payment: StoredPayment, now: datetime) -> timedelta:
    longest = DELAY_MAX if now < payment.expires_at else DELAY_MAX_LATE
    return backoff_delay(payment.check_count, longest=longest, spread=random.randint(0, JITTER_MAX))


def _postpone_check(uow: UnitOfWork, payment_id: UUID, fault: PortoneError) -> None:
    """Schedule the next check after a failed one.

    A refusal indicates wrong settings, because we ask only for our own store's payments; it opens
    an alert.
    """
    now = uow.now
    locked = LockedPayment.lock(uow, payment_id)
    if locked is None:
        return
    delay = _retry_delay(locked.before, now)
    if isinstance(fault, PortoneApiError):
        delay = max(delay, timedelta(seconds=fault.retry_after_s or 0))
        if not fault.outcome_is_unknown:
            locked.alert(PaymentAlertKind.CHECK_REFUSED, fault.type)
    locked.after = locked.after._replace(
        check_count=locked.before.check_count + 1, next_attempt_at=now + delay
    )
    locked.save()


def _close_virtual_account(portone: PortoneClient, payment_id: UUID) -> None:
    """Close a virtual account whose payment has expired.

    If that fails, the next check finds the account open and tries again.
    """
    try:
        portone.close_virtual_account(payment_id_of(payment_id))
    except PortoneError as fault:
        log.warning("payment_account_close_failed", payment_id=payment_id.hex, reason=str(fault))
    else:
        log.info("payment_account_closed", payment_id=payment_id.hex)
