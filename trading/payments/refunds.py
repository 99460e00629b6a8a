"""Refunds that users ask for: the cash is set aside at once, PortOne is asked under one idempotency key, and what came of it is booked.

An answer that did not come is no answer: the refund stays as it is until a look at PortOne shows what happened.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from trading.account_events.record import emit_payment_event
from trading.config.settings import Settings
from trading.db.statements import AnyRow
from trading.db.transactions import Database, after_commit, rerun_is_safe
from trading.halts.accounts import ensure_not_halted
from trading.ledger.cash import save
from trading.ledger.errors import InsufficientCash
from trading.payments import decide, refund_model
from trading.payments.alert_kinds import PaymentAlertKind
from trading.payments.backoff import DELAY_MAX, DELAY_MAX_LATE, JITTER_MAX, backoff_delay
from trading.payments.errors import PaymentNotFound, PaymentNotRefundable, RefundExceedsPayment
from trading.payments.locked_payment import LockedPayment
from trading.payments.model import PaymentStatus, payment_id_of
from trading.payments.portone.client import PortoneClient, Requester
from trading.payments.portone.errors import PortoneApiError, PortoneError
from trading.payments.portone_payment import Cancellation, CancellationStatus
from trading.payments.records import RefundRecord
from trading.payments.refund_model import (
    RefundFailure,
    RefundStatus,
    RefusalMeaning,
    classify_refusal,
    reason_with_mark,
)
from trading.payments.tables import PAYMENT_REFUNDS
from trading.payments.verify import PaymentCheckResult, check_payment, retry_after_cancelling_buys
from trading.tasks import Task, TaskRequest

log = structlog.get_logger(__name__)


# Longer than a request to PortOne may take, so that the sweep does not have a refund pursued that is being sent.
SEND_DURATION_MAX = timedelta(seconds=120)
QUEUED_REFUND_DELAY = timedelta(seconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationRequest:
    """A refund as PortOne is asked for it, each time alike."""

    payment_id: UUID
    amount: int
    cancellable: int
    reason: str


@dataclass(frozen=True, slots=True)
class RefundProgress:
    """What came of pursuing a refund: its status then, None when there is no such refund; whether it ended by this; and the look at its payment."""

    status: RefundStatus | None
    ended: bool = False
    check: PaymentCheckResult | None = None


def request_refund(
    session: Session,
    *,
    refund_id: UUID,
    payment_id: UUID,
    user_id: UUID,
    amount: int | None,
    words: str,
    settings: Settings,
    now: datetime,
) -> RefundRecord:
    """Set ``amount`` won aside, or all that is left of the payment, and have it refunded. ``words`` is what the payer reads as the reason.

    Raises PaymentNotFound, for another's too, PaymentNotRefundable, RefundExceedsPayment, AccountHalted, AccountOverdrawn,
    InsufficientCash.
    """
    booking = LockedPayment.lock(session, payment_id, now=now)
    if booking is None or booking.row.user_id != user_id:
        raise PaymentNotFound
    refundable = booking.left - sum(refund["amount"] for refund in booking.open_refunds)
    if not PaymentStatus(booking.row.status).is_credited or (refundable == 0 and amount is None):
        raise PaymentNotRefundable(payment_status=booking.row.status)
    wanted = refundable if amount is None else amount
    if wanted > refundable:
        raise RefundExceedsPayment(needed=wanted, refundable=refundable)
    account = booking.account
    ensure_not_halted(session, user_id)
    account.ensure_no_debt()
    if wanted > account.available:
        raise InsufficientCash(needed=wanted, available=account.available)
    account.reserve(wanted)
    save(session, [account], [], now=now)
    refund = {
        "id": refund_id,
        "payment_id": payment_id,
        "user_id": user_id,
        "amount": wanted,
        "status": RefundStatus.REQUESTED,
        "reason": reason_with_mark(refund_id, words),
        "requested_at": now,
        "send_count": 0,
        "check_count": 0,
        "failure": None,
        "finished_at": None,
        "next_attempt_at": now + timedelta(milliseconds=settings.wake_grace_ms),
    }
    session.execute(insert(PAYMENT_REFUNDS).values(**refund))
    emit_payment_event(session, booking.row._asdict(), at=now, refund=refund)
    after_commit(session, TaskRequest(Task.REFUND_PAYMENT, (refund_id,)))
    return RefundRecord(
        id=refund_id,
        payment_id=payment_id_of(payment_id),
        amount=wanted,
        status=RefundStatus.REQUESTED,
        reason=reason_with_mark(refund_id, words),
        failure=None,
        requested_at=now,
        finished_at=None,
    )


def process_refund(
    database: Database,
    portone: PortoneClient,
    refund_id: UUID,
    *,
    settings: Settings,
    clock: Callable[[], datetime],
) -> RefundProgress:
    """Do what is due for a refund: ask PortOne for it, or look what became of it.

    Never raises for what PortOne answers or for its silence. Raises DatabaseUnavailable.
    """
    refund = database.read(lambda session: _refund(session, refund_id))
    if refund is None or refund.finished_at is not None:
        return RefundProgress(None if refund is None else RefundStatus(refund.status))
    look = None
    if refund.first_sent_at is not None:
        look = check_payment(database, portone, refund.payment_id, settings=settings, clock=clock)
    looked = look is not None and look.status is not None
    asked = database.transaction(
        lambda session: _next_request(session, refund, looked=looked, now=clock()),
        find_committed=rerun_is_safe,
    )
    if asked is not None:
        _ask(database, portone, refund, asked, clock=clock)
    now_so = database.read(lambda session: _refund(session, refund_id))
    if now_so is None:
        return RefundProgress(None, check=look)
    return RefundProgress(
        RefundStatus(now_so.status), ended=now_so.finished_at is not None, check=look
    )


def abandon_refund(session: Session, refund_id: UUID, *, now: datetime) -> bool:
    """Fail a refund by a person's decision, and release its cash; false when it is over already. Only behind a look that did not find it."""
    row = _refund(session, refund_id)
    found = None if row is None else _locked(session, row, now=now)
    if found is None:
        return False
    booking, refund = found
    booking.fail_refund(refund, RefundFailure.GIVEN_UP)
    booking.save()
    return True


def _refund(session: Session, refund_id: UUID) -> AnyRow | None:
    return session.execute(
        select(PAYMENT_REFUNDS).where(PAYMENT_REFUNDS.c.id == refund_id)
    ).one_or_none()


def _locked(
    session: Session, row: AnyRow, *, now: datetime
) -> tuple[LockedPayment, dict[str, Any]] | None:
    """The booking of a refund's payment and the refund in it; None once it is over."""
    booking = LockedPayment.lock(session, row.payment_id, now=now)
    if booking is None or booking.refunds[row.id]["status"] not in refund_model.OPEN_STATUSES:
        return None
    return booking, booking.refunds[row.id]


def _next_request(
    session: Session, row: AnyRow, *, looked: bool, now: datetime
) -> CancellationRequest | None:
    """What PortOne is to be asked for now; None when that is nothing: the refund is over, waits, or a person has to see to it."""
    found = _locked(session, row, now=now)
    if found is None:
        return None
    booking, refund = found
    may_send = (
        _may_send_again(booking, refund, looked=looked, now=now)
        if refund["send_count"]
        else _may_send(booking, refund)
    )
    if may_send:
        booking.change_refund(
            refund,
            cancellable=refund["cancellable"] or booking.left,
            first_sent_at=refund["first_sent_at"] or now,
            send_count=refund["send_count"] + 1,
            next_attempt_at=now + SEND_DURATION_MAX,
        )
    booking.save()
    if not may_send:
        return None
    return CancellationRequest(
        payment_id=booking.row.id,
        amount=refund["amount"],
        cancellable=refund["cancellable"],
        reason=refund["reason"],
    )


def _may_send(booking: LockedPayment, refund: dict[str, Any]) -> bool:
    """Whether a refund that was never sent is to be; it waits behind another one of its payment, on which depends what is left for it."""
    if any(other["send_count"] for other in booking.open_refunds if other["id"] != refund["id"]):
        booking.postpone_refund(refund, QUEUED_REFUND_DELAY)
        return False
    if booking.account.debt:
        booking.fail_refund(refund, RefundFailure.ACCOUNT_OVERDRAWN)
        return False
    if refund["amount"] > booking.left:
        booking.fail_refund(refund, RefundFailure.NOTHING_LEFT)
        return False
    return True


def _may_send_again(
    booking: LockedPayment, refund: dict[str, Any], *, looked: bool, now: datetime
) -> bool:
    """Whether a refund of which PortOne showed nothing is to be asked for once more."""
    if looked and refund["refusal"]:
        booking.fail_refund(refund, refund["refusal"])
        return False
    if looked and refund["status"] == RefundStatus.REQUESTED:
        if now - refund["first_sent_at"] <= refund_model.RESEND_WITHIN:
            return True
        booking.alert(PaymentAlertKind.REFUND_STUCK, str(refund["id"]))
    booking.postpone_refund(refund, _pause(refund, now))
    return False


def _ask(
    database: Database,
    portone: PortoneClient,
    row: AnyRow,
    asked: CancellationRequest,
    *,
    clock: Callable[[], datetime],
) -> None:
    ids = {"refund_id": str(row.id), "payment_id": asked.payment_id.hex}
    try:
        cancellation = portone.cancel(
            payment_id_of(asked.payment_id),
            amount=asked.amount,
            cancellable=asked.cancellable,
            reason=asked.reason,
            requester=Requester.CUSTOMER,
            idempotency_key=str(row.id),
        )
    except PortoneError as error:
        fault = error
        log.warning("refund_request_failed", **ids, reason=str(fault))
        database.transaction(
            lambda session: _take_fault(session, row, fault, now=clock()),
            find_committed=rerun_is_safe,
        )
        return
    log.info("refund_request_answered", **ids, status=cancellation.status)
    retry_after_cancelling_buys(
        lambda attempt: database.transaction(
            lambda session: _take_answer(session, row, cancellation, now=clock(), attempt=attempt),
            find_committed=rerun_is_safe,
        )
    )


def _take_fault(session: Session, row: AnyRow, fault: PortoneError, *, now: datetime) -> None:
    """Remember a definite refusal, behind which a look comes before the refund fails; anything else leaves it open what happened."""
    found = _locked(session, row, now=now)
    if found is None:
        return
    booking, refund = found
    span = _pause(refund, now)
    if isinstance(fault, PortoneApiError):
        span = max(span, timedelta(seconds=fault.retry_after_s or 0))
        if not fault.outcome_is_unknown:
            meaning = classify_refusal(fault.type)
            if meaning is not RefusalMeaning.FAIL:
                booking.alert(PaymentAlertKind.REFUND_REFUSED, f"{refund['id']} {fault.type}")
            if meaning is not RefusalMeaning.KEEP_AND_ALERT:
                booking.change_refund(refund, refusal=fault.type)
                span = timedelta()
                after_commit(session, TaskRequest(Task.REFUND_PAYMENT, (row.id,)))
    booking.postpone_refund(refund, span)
    booking.save()


def _take_answer(
    session: Session, row: AnyRow, answer: Cancellation, *, now: datetime, attempt: int
) -> None:
    """Book what PortOne answered. A webhook's look may have been quicker, and then nothing is left to book.

    A refund that was given up meanwhile is booked all the same when the money went.
    """
    booking = LockedPayment.lock(session, row.payment_id, now=now, attempt=attempt)
    if booking is None or booking.refunds[row.id]["status"] == RefundStatus.SUCCEEDED:
        return
    refund = booking.refunds[row.id]
    booking.change_refund(refund, cancellation_id=answer.id)
    if answer.status is CancellationStatus.SUCCEEDED:
        after, reversals, _ = decide.apply_cancellations(booking.payment(), [answer])
        if reversals or not booking.adopt(refund, answer.id):
            booking.reverse(reversals, after=after)
    else:
        booking.follow([answer])
    if refund["status"] in refund_model.OPEN_STATUSES:
        booking.postpone_refund(refund, _pause(refund, now))
    booking.save()


def _pause(refund: dict[str, Any], now: datetime) -> timedelta:
    late = now - refund["requested_at"] > DELAY_MAX_LATE
    longest = DELAY_MAX_LATE if late else DELAY_MAX
    return backoff_delay(
        refund["check_count"], longest=longest, spread=random.randint(0, JITTER_MAX)
    )
