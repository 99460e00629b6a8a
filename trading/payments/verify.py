"""A look at PortOne, and what it means for a payment: credited once, each cancellation reversed once, and a person called where neither is sure."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.db.statements import AnyRow
from trading.db.transactions import Database, rerun_is_safe
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
from trading.payments.tables import PAYMENTS

log = structlog.get_logger(__name__)

T = TypeVar("T")


_ALERT_OF_FINDING = {
    PaymentFinding.MISMATCHED: PaymentAlertKind.MISMATCH,
    PaymentFinding.UNKNOWN: PaymentAlertKind.UNKNOWN_STATUS,
    PaymentFinding.CONTRADICTORY: PaymentAlertKind.CONTRADICTORY,
    # Cancellations of more than is left.
    PaymentFinding.PAID: PaymentAlertKind.CONTRADICTORY,
    PaymentFinding.PARTLY_CANCELLED: PaymentAlertKind.CONTRADICTORY,
    PaymentFinding.CANCELLED: PaymentAlertKind.CONTRADICTORY,
}


@dataclass(frozen=True, slots=True)
class PaymentCheckResult:
    """What came of a look: the payment's status then, or None when PortOne gave no answer that says anything."""

    status: PaymentStatus | None
    action: PaymentAction | None = None


def check_payment(
    database: Database,
    portone: PortoneClient,
    payment_id: UUID,
    *,
    settings: Settings,
    clock: Callable[[], datetime],
) -> PaymentCheckResult:
    """Ask PortOne about a payment and take in what it says.

    Never raises for what PortOne answers or for its silence; the payment is looked at again then. Raises DatabaseUnavailable.
    """
    seen = database.read(lambda session: _seen(session, payment_id))
    if seen is None:
        return PaymentCheckResult(None)
    try:
        report = portone.get_payment(payment_id_of(payment_id))
    except PortoneError as error:
        fault = error
        log.warning("payment_check_failed", payment_id=payment_id.hex, reason=str(fault))
        database.transaction(
            lambda session: _put_off(session, payment_id, fault, now=clock()),
            find_committed=rerun_is_safe,
        )
        return PaymentCheckResult(None)
    decision = retry_after_cancelling_buys(
        lambda attempt: database.transaction(
            lambda session: apply_report(
                session,
                payment_id,
                report,
                notification_count=seen.notification_count,
                settings=settings,
                now=clock(),
                attempt=attempt,
            ),
            find_committed=rerun_is_safe,
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
        _close_account(portone, payment_id)
    return PaymentCheckResult(decision.payment.status, decision.action)


def retry_after_cancelling_buys(work: Callable[[int], T]) -> T:
    """The work, done again with the owner's buys cancelled first where they hold back cash that is taken from him."""
    for attempt in range(ATTEMPTS_MAX - 1):
        try:
            return work(attempt)
        except CashReservedByOpenBuys:
            continue
    return work(ATTEMPTS_MAX - 1)


def apply_report(
    session: Session,
    payment_id: UUID,
    report: Report | None,
    *,
    notification_count: int,
    settings: Settings,
    now: datetime,
    attempt: int = 0,
) -> Decision | None:
    """Decide what a report means for a payment as it is now, and book it; None when there is no such payment.

    ``notification_count`` is how many there were before the report was asked for: with more of them now there is news that it may not know.
    """
    booking = LockedPayment.lock(session, payment_id, now=now, attempt=attempt)
    if booking is None:
        return None
    decision = decide(
        booking.payment(test_channel_allowed=settings.portone_allow_test_channel), report, now=now
    )
    if decision.credit:
        booking.credit()
    if report is not None:
        booking.follow(report.cancellations)
    booking.reverse(decision.reversals, after=decision.payment)
    if decision.alert:
        disputed = report is not None and report.is_disputed
        booking.alert(
            PaymentAlertKind.DISPUTED
            if disputed and decision.action is not PaymentAction.REJECT
            else _ALERT_OF_FINDING.get(decision.finding, PaymentAlertKind.UNEXPECTED_REPORT),
            ",".join(sorted(decision.mismatches)) or decision.finding.name,
        )
    booking.change(
        check_count=booking.row.check_count + 1,
        finding=decision.finding.name,
        reported_at=decision.payment.reported_at,
        next_attempt_at=_next_attempt_at(
            booking.row, decision, report, notification_count=notification_count, now=now
        ),
    )
    if decision.payment.status is PaymentStatus.MISMATCHED:
        booking.change(mismatches=",".join(sorted(decision.mismatches)) or booking.row.mismatches)
    if report is not None and decision.payment.reported_at == report.updated_at:
        _show(booking, report)
    booking.save()
    return decision


def _seen(session: Session, payment_id: UUID) -> AnyRow | None:
    return session.execute(
        select(PAYMENTS.c.notification_count).where(PAYMENTS.c.id == payment_id)
    ).one_or_none()


def _show(booking: LockedPayment, report: Report) -> None:
    """Keep what its owner and operators are shown of the newest report."""
    account = report.virtual_account
    booking.change(
        failure=report.failure,
        transaction_id=report.transaction_id,
        receipt_url=report.receipt_url,
        account_bank=account.bank if account else None,
        account_number=account.number if account else None,
        account_expires_at=account.expires_at if account else None,
    )


def _next_attempt_at(
    row: AnyRow,
    decision: Decision,
    report: Report | None,
    *,
    notification_count: int,
    now: datetime,
) -> datetime | None:
    if row.notification_count != notification_count:
        return row.next_attempt_at or now
    status = decision.payment.status
    if status.is_credited:
        return (
            None
            if status is PaymentStatus.CANCELLED
            else next_follow_up(row.credited_at or now, now)
        )
    if status is PaymentStatus.PENDING:
        until = wait_until(decision.payment.terms, report)
        again = now + _pause(row, now)
        return min(again, until) if until > now else again
    return now + _pause(row, now) if decision.action is PaymentAction.CLOSE_ACCOUNT else None


def _pause(row: AnyRow, now: datetime) -> timedelta:
    longest = DELAY_MAX if now < row.expires_at else DELAY_MAX_LATE
    return backoff_delay(row.check_count, longest=longest, spread=random.randint(0, JITTER_MAX))


def _put_off(session: Session, payment_id: UUID, fault: PortoneError, *, now: datetime) -> None:
    """Look again later. A refusal is a fault of our set-up, as nothing is asked that PortOne would not tell its own."""
    booking = LockedPayment.lock(session, payment_id, now=now)
    if booking is None:
        return
    span = _pause(booking.row, now)
    if isinstance(fault, PortoneApiError):
        span = max(span, timedelta(seconds=fault.retry_after_s or 0))
        if not fault.outcome_is_unknown:
            booking.alert(PaymentAlertKind.LOOK_REFUSED, fault.type)
    booking.change(check_count=booking.row.check_count + 1, next_attempt_at=now + span)
    booking.save()


def _close_account(portone: PortoneClient, payment_id: UUID) -> None:
    """Close an account that nobody waits for any more. Where that fails the next look finds it open, and tries again."""
    try:
        portone.close_virtual_account(payment_id_of(payment_id))
    except PortoneError as fault:
        log.warning("payment_account_close_failed", payment_id=payment_id.hex, reason=str(fault))
    else:
        log.info("payment_account_closed", payment_id=payment_id.hex)
