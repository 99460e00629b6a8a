"""Refunds that users request.

A request reserves the cash at once. The refund is then sent to PortOne, always with the same
idempotency key, and the result is recorded. Without an answer the outcome is unknown: the refund
keeps its status until a check of the payment at PortOne determines the outcome.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import insert

from trading.account_events.new_events import payment_event
from trading.halts.accounts import ensure_not_halted, ensure_open
from trading.ledger.cash import save
from trading.ledger.errors import InsufficientCash
from trading.payments.alert_kinds import PaymentAlertKind
from trading.payments.backoff import DELAY_MAX, DELAY_MAX_LATE, JITTER_MAX, backoff_delay
from trading.payments.check_payment import (
    PaymentCheckResult,
    check_payment,
    retry_after_cancelling_buys,
)
from trading.payments.decide import apply_cancellations
from trading.payments.errors import (
    PaymentNotFound,
    PaymentNotRefundable,
    RefundExceedsPayment,
    RefundNeedsBankAccount,
)
from trading.payments.locked_payment import LockedPayment, payment_event_data
from trading.payments.model import payment_id_of
from trading.payments.portone.client import PortoneClient, Requester
from trading.payments.portone.errors import PortoneApiError, PortoneError
from trading.payments.portone_payment import Cancellation, CancellationStatus
from trading.payments.queries import refund_record
from trading.payments.records import RefundRecord
from trading.payments.refund_model import (
    RESEND_WITHIN,
    RefundFailure,
    RefundStatus,
    RefusalMeaning,
    classify_refusal,
    needs_bank_account,
    reason_with_mark,
)
from trading.payments.rows import StoredRefund, read_refund
from trading.payments.tables import PAYMENT_REFUNDS
from trading.tasks import Task, TaskRequest
from trading.unit_of_work import UnitOfWork, UseCaseRunner

log = structlog.get_logger(__name__)


# Longer than a request to PortOne may take, so that the sweep does not dispatch a refund that is
# being sent.
SEND_DURATION_MAX = timedelta(seconds=120)
# How long a refund waits for another one of the same payment that was sent.
QUEUED_REFUND_DELAY = timedelta(seconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationRequest:
    """A request for a refund to PortOne, the same at every attempt; amounts in won."""

    payment_id: UUID
    amount: int
    cancellable: int
    reason: str


@dataclass(frozen=True, slots=True)
class RefundProgress:
    """Result of processing a refund.

    ``status`` is the refund's new status, None when there is no such refund; ``ended`` is whether
    it ended by this processing; ``check`` is the result of checking its payment, if that was
    done.
    """

    status: RefundStatus | None
    ended: bool = False
    check: PaymentCheckResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefund:
    """Command to refund ``amount`` won of a payment, None for everything that is refundable.

    ``reason`` is shown to the payer.
    """

    refund_id: UUID
    payment_id: UUID
    user_id: UUID
    amount: int | None
    reason: str


def request_refund(uow: UnitOfWork, command: RequestRefund) -> RefundRecord:
    """Reserve the cash of a refund and dispatch it.

    Raises PaymentNotFound (also for another user's payment), PaymentNotRefundable,
    RefundNeedsBankAccount, RefundExceedsPayment, AccountHalted, AccountOverdrawn and
    InsufficientCash.
    """
    session, now, settings = uow.session, uow.now, uow.settings
    refund_id, user_id = command.refund_id, command.user_id
    locked = LockedPayment.lock(uow, command.payment_id)
    if locked is None or locked.before.user_id != user_id:
        raise PaymentNotFound
    payment = locked.before
    refundable = locked.remaining_amount - sum(refund.amount for refund in locked.open_refunds)
    if not payment.status.is_credited or (refundable == 0 and command.amount is None):
        raise PaymentNotRefundable(payment_status=payment.status)
    if needs_bank_account(payment.method, paid_at=payment.credited_at or now, now=now):
        raise RefundNeedsBankAccount(method=payment.method)
    wanted = refundable if command.amount is None else command.amount
    if wanted > refundable:
        raise RefundExceedsPayment(needed=wanted, refundable=refundable)
    account = locked.account
    ensure_not_halted(session, user_id)
    account.ensure_no_debt()
    if wanted > account.available:
        raise InsufficientCash(needed=wanted, available=account.available)
    account.reserve(wanted)
    save(uow, [account], [])
    refund = StoredRefund(
        id=refund_id,
        payment_id=command.payment_id,
        user_id=user_id,
        amount=wanted,
        status=RefundStatus.REQUESTED,
        reason=reason_with_mark(refund_id, command.reason),
        cancellable=None,
        requested_at=now,
        first_sent_at=None,
        send_count=0,
        check_count=0,
        refusal=None,
        cancellation_id=None,
        failure=None,
        finished_at=None,
        next_attempt_at=now + timedelta(milliseconds=settings.wake_grace_ms),
    )
    session.execute(insert(PAYMENT_REFUNDS).values(**refund._asdict()))
    ensure_open(session, user_id)
    uow.emit(payment_event(user_id, payment_event_data(payment, refund), at=now))
    uow.after_commit(TaskRequest(Task.REFUND_PAYMENT, (refund_id,)))
    return refund_record(refund)


def process_refund(core: UseCaseRunner, portone: PortoneClient, refund_id: UUID) -> RefundProgress:
    """Take a refund's next step: request it from PortOne, or check what became of it.

    A missing answer or a refusal of PortOne does not raise. Raises DatabaseUnavailable.
    """
    refund = core.read(read_refund, refund_id)
    if refund is None or refund.finished_at is not None:
        return RefundProgress(None if refund is None else refund.status)
    check = None
    if refund.first_sent_at is not None:
        check = check_payment(core, portone, refund.payment_id)
    checked = check is not None and check.status is not None
    request = core.run(_next_request, refund, checked=checked)
    if request is not None:
        _send(core, portone, refund, request)
    current = core.read(read_refund, refund_id)
    if current is None:
        return RefundProgress(None, check=check)
    return RefundProgress(current.status, ended=current.finished_at is not None, check=check)


def abandon_refund(uow: UnitOfWork, refund_id: UUID) -> bool:
    """Fail a refund by an operator's decision and release its cash; False when it has ended.

    Call it only after a check of the payment that did not find the refund carried out.
    """
    refund = read_refund(uow.session, refund_id)
    found = None if refund is None else _lock_open_refund(uow, refund)
    if found is None:
        return False
    locked, refund = found
    locked.fail_refund(refund, RefundFailure.GIVEN_UP)
    locked.save()
    return True


def _lock_open_refund(
    uow: UnitOfWork, refund: StoredRefund
) -> tuple[LockedPayment, StoredRefund] | None:
    """Lock a refund's payment; return it with the refund as it is now, None once it has ended."""
    locked = LockedPayment.lock(uow, refund.payment_id)
    if locked is None or not locked.refunds[refund.id].is_open:
        return None
    return locked, locked.refunds[refund.id]


def _next_request(
    uow: UnitOfWork, refund: StoredRefund, *, checked: bool
) -> CancellationRequest | None:
    """Return the request to send to PortOne now.

    None when the refund has ended, must wait, or needs an operator.
    """
    now = uow.now
    found = _lock_open_refund(uow, refund)
    if found is None:
        return None
    locked, refund = found
    may_send = (
        _may_send_again(locked, refund, checked=checked, now=now)
        if refund.send_count
        else _may_send(locked, refund)
    )
    if not may_send:
        locked.save()
        return None
    cancellable = refund.cancellable or locked.remaining_amount
    locked.set_refund(
        refund._replace(
            cancellable=cancellable,
            first_sent_at=refund.first_sent_at or now,
            send_count=refund.send_count + 1,
            next_attempt_at=now + SEND_DURATION_MAX,
        )
    )
    locked.save()
    return CancellationRequest(
        payment_id=refund.payment_id,
        amount=refund.amount,
        cancellable=cancellable,
        reason=refund.reason,
    )


def _may_send(locked: LockedPayment, refund: StoredRefund) -> bool:
    """Return True if a refund that was never sent may be sent; otherwise postpone or fail it.

    It waits for another refund of the same payment that was sent, because the cancellable amount
    depends on that one.
    """
    if any(other.send_count for other in locked.open_refunds if other.id != refund.id):
        locked.postpone_refund(refund, QUEUED_REFUND_DELAY)
        return False
    if locked.account.debt:
        locked.fail_refund(refund, RefundFailure.ACCOUNT_OVERDRAWN)
        return False
    if refund.amount > locked.remaining_amount:
        locked.fail_refund(refund, RefundFailure.NOTHING_LEFT)
        return False
    return True


def _may_send_again(
    locked: LockedPayment, refund: StoredRefund, *, checked: bool, now: datetime
) -> bool:
    """Return True if a refund that PortOne did not show may be sent again; else postpone or fail.

    ``checked`` is whether PortOne has answered a check of the payment since.
    """
    if checked and refund.refusal:
        locked.fail_refund(refund, refund.refusal)
        return False
    if checked and refund.status is RefundStatus.REQUESTED and refund.first_sent_at is not None:
        if now - refund.first_sent_at <= RESEND_WITHIN:
            return True
        locked.alert(PaymentAlertKind.REFUND_STUCK, str(refund.id))
    locked.postpone_refund(refund, _retry_delay(refund, now))
    return False


def _send(
    core: UseCaseRunner, portone: PortoneClient, refund: StoredRefund, request: CancellationRequest
) -> None:
    ids = {"refund_id": str(refund.id), "payment_id": request.payment_id.hex}
    try:
        cancellation = portone.cancel(
            payment_id_of(request.payment_id),
            amount=request.amount,
            cancellable=request.cancellable,
            reason=request.reason,
            requester=Requester.CUSTOMER,
            idempotency_key=str(refund.id),
        )
    except PortoneError as error:
        log.warning("refund_request_failed", **ids, reason=str(error))
        core.run(_record_fault, refund, error)
        return
    log.info("refund_request_answered", **ids, status=cancellation.status)
    retry_after_cancelling_buys(
        lambda attempt: core.run(_record_answer, refund, cancellation, attempt=attempt)
    )


def _record_fault(uow: UnitOfWork, refund: StoredRefund, fault: PortoneError) -> None:
    """Record a definite refusal, or postpone the refund when its outcome is unknown.

    A refused refund fails only after a check of the payment.
    """
    now = uow.now
    found = _lock_open_refund(uow, refund)
    if found is None:
        return
    locked, refund = found
    delay = _retry_delay(refund, now)
    if isinstance(fault, PortoneApiError):
        delay = max(delay, timedelta(seconds=fault.retry_after_s or 0))
        if not fault.outcome_is_unknown:
            meaning = classify_refusal(fault.type)
            if meaning is not RefusalMeaning.FAIL:
                locked.alert(PaymentAlertKind.REFUND_REFUSED, f"{refund.id} {fault.type}")
            if meaning is not RefusalMeaning.KEEP_AND_ALERT:
                refund = refund._replace(refusal=fault.type)
                delay = timedelta()
                uow.after_commit(TaskRequest(Task.REFUND_PAYMENT, (refund.id,)))
    locked.postpone_refund(refund, delay)
    locked.save()


def _record_answer(
    uow: UnitOfWork, refund: StoredRefund, answer: Cancellation, *, attempt: int
) -> None:
    """Record PortOne's answer to a cancellation request.

    A check after a webhook may have recorded it already; then nothing is left to do. A refund
    that an operator has abandoned is recorded too if the money went back.
    """
    now = uow.now
    locked = LockedPayment.lock(uow, refund.payment_id, attempt=attempt)
    if locked is None or locked.refunds[refund.id].status is RefundStatus.SUCCEEDED:
        return
    refund = locked.set_refund(locked.refunds[refund.id]._replace(cancellation_id=answer.id))
    if answer.status is CancellationStatus.SUCCEEDED:
        state, reversals, _ = apply_cancellations(locked.state(), [answer])
        if reversals or not locked.adopt_cancellation(refund, answer.id):
            locked.reverse(reversals, state=state)
    else:
        locked.update_refunds([answer])
    refund = locked.refunds[refund.id]
    if refund.is_open:
        locked.postpone_refund(refund, _retry_delay(refund, now))
    locked.save()


def _retry_delay(refund: StoredRefund, now: datetime) -> timedelta:
    is_late = now - refund.requested_at > DELAY_MAX_LATE
    longest = DELAY_MAX_LATE if is_late else DELAY_MAX
    return backoff_delay(refund.check_count, longest=longest, spread=random.randint(0, JITTER_MAX))
