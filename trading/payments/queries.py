"""Queries for payments, their refunds and the alerts about them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from trading.pagination import Page, page_of
from trading.payments.errors import PaymentNotFound
from trading.payments.model import payment_id_of
from trading.payments.records import (
    CancellationRecord,
    PaymentRecord,
    RefundRecord,
    VirtualAccountRecord,
)
from trading.payments.refund_model import OPEN_STATUSES, reason_without_mark
from trading.payments.rows import (
    StoredCancellation,
    StoredPayment,
    StoredRefund,
    read_cancellations,
    read_newest_payments,
    read_payment,
    read_refund,
    read_refunds,
)
from trading.payments.tables import PAYMENT_ALERTS, PAYMENT_REFUNDS, PAYMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAlertRecord:
    """An alert for operators; ``resolved_at`` and ``note`` are None while it is open."""

    payment_id: str
    kind: str
    detail: str | None
    times: int
    raised_at: datetime
    resolved_at: datetime | None
    note: str | None


class _AlertRow(NamedTuple):
    payment_id: UUID
    kind: str
    detail: str | None
    times: int
    raised_at: datetime
    resolved_at: datetime | None
    note: str | None


_ALERT_COLUMNS = [PAYMENT_ALERTS.c[name] for name in _AlertRow._fields]


def list_payments(
    session: Session,
    *,
    user_id: UUID,
    limit: int,
    before: UUID | None = None,
    status: str | None = None,
) -> Page[PaymentRecord]:
    """Return a user's payments, newest first, without their cancellations and refunds.

    Two statements.
    """
    conditions: list[ColumnElement[bool]] = [PAYMENTS.c.user_id == user_id]
    if before is not None:
        conditions.append(PAYMENTS.c.id < before)
    if status is not None:
        conditions.append(PAYMENTS.c.status == status)
    payments = read_newest_payments(session, *conditions, limit=limit + 1)
    held = _held_amounts(session, [payment.id for payment in payments])
    return page_of(
        payments,
        limit=limit,
        record=lambda payment: _payment_record(payment, held=held.get(payment.id, 0)),
        cursor=lambda payment: payment.id.hex,
    )


def get_payment(session: Session, *, user_id: UUID, payment_id: UUID) -> PaymentRecord:
    """Return one payment of this user with its refunds and cancellations.

    Three statements. Raises PaymentNotFound, also for another user's payment.
    """
    record = payment_by_id(session, payment_id, PAYMENTS.c.user_id == user_id)
    if record is None:
        raise PaymentNotFound
    return record


def payment_by_id(
    session: Session, payment_id: UUID, *conditions: ColumnElement[bool]
) -> PaymentRecord | None:
    """Return a payment of any user with its refunds and cancellations; None if there is none."""
    payment = read_payment(session, payment_id, *conditions)
    if payment is None:
        return None
    refunds = read_refunds(session, payment_id)
    return _payment_record(
        payment,
        held=sum(refund.amount for refund in refunds if refund.is_open),
        refunds=refunds,
        cancellations=read_cancellations(session, payment_id),
    )


def get_refund(session: Session, *, user_id: UUID, refund_id: UUID) -> RefundRecord | None:
    """Return one refund of this user; None if there is none."""
    refund = read_refund(session, refund_id, PAYMENT_REFUNDS.c.user_id == user_id)
    return None if refund is None else refund_record(refund)


def refund_by_id(session: Session, refund_id: UUID) -> RefundRecord | None:
    """Return a refund of any user; None if there is none."""
    refund = read_refund(session, refund_id)
    return None if refund is None else refund_record(refund)


def list_open_alerts(session: Session, *, limit: int) -> list[PaymentAlertRecord]:
    """Return at most ``limit`` open alerts, oldest first."""
    return _alerts(session, PAYMENT_ALERTS.c.resolved_at.is_(None), limit=limit)


def count_open_alerts(session: Session) -> int:
    """Return the number of open alerts."""
    return (
        session.scalar(
            select(func.count())
            .select_from(PAYMENT_ALERTS)
            .where(PAYMENT_ALERTS.c.resolved_at.is_(None))
        )
        or 0
    )


def list_alerts(session: Session, payment_id: UUID) -> list[PaymentAlertRecord]:
    """Return all alerts about a payment, open and resolved, oldest first."""
    return _alerts(session, PAYMENT_ALERTS.c.payment_id == payment_id)


def refund_record(refund: StoredRefund) -> RefundRecord:
    """Return a refund as the API shows it."""
    return RefundRecord(
        id=refund.id,
        payment_id=payment_id_of(refund.payment_id),
        amount=refund.amount,
        status=refund.status,
        reason=reason_without_mark(refund.id, refund.reason),
        failure=refund.failure,
        requested_at=refund.requested_at,
        finished_at=refund.finished_at,
    )


def _held_amounts(session: Session, payment_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the sums that open refunds reserve, in won, by payment."""
    held: defaultdict[UUID, int] = defaultdict(int)
    if payment_ids:
        wanted = select(PAYMENT_REFUNDS.c.payment_id, PAYMENT_REFUNDS.c.amount).where(
            PAYMENT_REFUNDS.c.payment_id.in_(payment_ids),
            PAYMENT_REFUNDS.c.status.in_(OPEN_STATUSES),
        )
        for payment_id, amount in session.execute(wanted):
            held[payment_id] += amount
    return held


def _payment_record(
    payment: StoredPayment,
    *,
    held: int,
    refunds: Sequence[StoredRefund] = (),
    cancellations: Sequence[StoredCancellation] = (),
) -> PaymentRecord:
    account = None
    if payment.account_number is not None:
        account = VirtualAccountRecord(
            bank=payment.account_bank,
            number=payment.account_number,
            expires_at=payment.account_expires_at,
        )
    return PaymentRecord(
        payment_id=payment_id_of(payment.id),
        order_name=payment.order_name,
        amount=payment.amount,
        currency=payment.currency,
        status=payment.status,
        cancelled_amount=payment.reversed_amount,
        held_amount=held,
        created_at=payment.created_at,
        expires_at=payment.expires_at,
        credited_at=payment.credited_at,
        failure=payment.failure,
        method=payment.method,
        virtual_account=account,
        receipt_url=payment.receipt_url,
        cancellations=tuple(
            CancellationRecord(
                id=cancellation.cancellation_id,
                amount=cancellation.amount,
                trigger=cancellation.triggered_by,
                refund_id=cancellation.refund_id,
                booked_at=cancellation.booked_at,
            )
            for cancellation in cancellations
        ),
        refunds=tuple(map(refund_record, refunds)),
    )


def _alerts(
    session: Session, condition: ColumnElement[bool], *, limit: int | None = None
) -> list[PaymentAlertRecord]:
    statement = select(*_ALERT_COLUMNS).where(condition).order_by(PAYMENT_ALERTS.c.raised_at)
    rows = map(_AlertRow._make, session.execute(statement.limit(limit)))
    return [
        PaymentAlertRecord(
            payment_id=payment_id_of(row.payment_id),
            kind=row.kind,
            detail=row.detail,
            times=row.times,
            raised_at=row.raised_at,
            resolved_at=row.resolved_at,
            note=row.note,
        )
        for row in rows
    ]
