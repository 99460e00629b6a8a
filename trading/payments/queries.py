"""A user's payments with what was given back of them, and what operators are called for."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow
from trading.pagination import Page, page_of
from trading.payments.errors import PaymentNotFound
from trading.payments.model import payment_id_of
from trading.payments.records import (
    CancellationRecord,
    PaymentRecord,
    RefundRecord,
    VirtualAccountRecord,
)
from trading.payments.refund_model import OPEN_STATUSES
from trading.payments.tables import PAYMENT_ALERTS, PAYMENT_CANCELLATIONS, PAYMENT_REFUNDS, PAYMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAlertRecord:
    """What a person is called for. ``resolved_at`` and ``note`` are None while nobody has seen to it."""

    payment_id: str
    kind: str
    detail: str | None
    times: int
    raised_at: datetime
    resolved_at: datetime | None
    note: str | None


def list_payments(
    session: Session,
    *,
    user_id: UUID,
    limit: int,
    before: UUID | None = None,
    status: str | None = None,
) -> Page[PaymentRecord]:
    """A user's payments, newest first, without their cancellations and refunds. Two statements."""
    wanted = select(PAYMENTS).where(PAYMENTS.c.user_id == user_id)
    if before is not None:
        wanted = wanted.where(PAYMENTS.c.id < before)
    if status is not None:
        wanted = wanted.where(PAYMENTS.c.status == status)
    rows = session.execute(wanted.order_by(PAYMENTS.c.id.desc()).limit(limit + 1)).all()
    held = _held(session, [row.id for row in rows])
    return page_of(
        rows,
        limit=limit,
        record=lambda row: _record(row, held=held.get(row.id, 0)),
        cursor=lambda row: row.id.hex,
    )


def get_payment(session: Session, *, user_id: UUID, payment_id: UUID) -> PaymentRecord:
    """One payment of this user with all that was given back. Three statements. Raises PaymentNotFound, for another's too."""
    record = payment_by_id(session, payment_id, PAYMENTS.c.user_id == user_id)
    if record is None:
        raise PaymentNotFound
    return record


def payment_by_id(
    session: Session, payment_id: UUID, *conditions: ColumnElement[bool]
) -> PaymentRecord | None:
    """A payment, whoever's it is."""
    row = session.execute(
        select(PAYMENTS).where(PAYMENTS.c.id == payment_id, *conditions)
    ).one_or_none()
    if row is None:
        return None
    refunds = session.execute(
        select(PAYMENT_REFUNDS)
        .where(PAYMENT_REFUNDS.c.payment_id == payment_id)
        .order_by(PAYMENT_REFUNDS.c.id)
    ).all()
    cancellations = session.execute(
        select(PAYMENT_CANCELLATIONS)
        .where(PAYMENT_CANCELLATIONS.c.payment_id == payment_id)
        .order_by(PAYMENT_CANCELLATIONS.c.id)
    ).all()
    held = sum(refund.amount for refund in refunds if refund.status in OPEN_STATUSES)
    return _record(row, held=held, refunds=refunds, cancellations=cancellations)


def get_refund(session: Session, *, user_id: UUID, refund_id: UUID) -> RefundRecord | None:
    """One refund of this user."""
    row = session.execute(
        select(PAYMENT_REFUNDS).where(
            PAYMENT_REFUNDS.c.id == refund_id, PAYMENT_REFUNDS.c.user_id == user_id
        )
    ).one_or_none()
    return None if row is None else _refund_record(row)


def refund_by_id(session: Session, refund_id: UUID) -> RefundRecord | None:
    """A refund, whoever's it is."""
    row = session.execute(
        select(PAYMENT_REFUNDS).where(PAYMENT_REFUNDS.c.id == refund_id)
    ).one_or_none()
    return None if row is None else _refund_record(row)


def list_open_alerts(session: Session, *, limit: int) -> list[PaymentAlertRecord]:
    """What nobody has seen to yet, the oldest first."""
    wanted = (
        select(PAYMENT_ALERTS)
        .where(PAYMENT_ALERTS.c.resolved_at.is_(None))
        .order_by(PAYMENT_ALERTS.c.raised_at)
        .limit(limit)
    )
    return [_alert_record(row) for row in session.execute(wanted)]


def count_open_alerts(session: Session) -> int:
    """How many there are of those."""
    return (
        session.scalar(
            select(func.count())
            .select_from(PAYMENT_ALERTS)
            .where(PAYMENT_ALERTS.c.resolved_at.is_(None))
        )
        or 0
    )


def list_alerts(session: Session, payment_id: UUID) -> list[PaymentAlertRecord]:
    """All alerts about a payment, seen to or not."""
    wanted = (
        select(PAYMENT_ALERTS)
        .where(PAYMENT_ALERTS.c.payment_id == payment_id)
        .order_by(PAYMENT_ALERTS.c.raised_at)
    )
    return [_alert_record(row) for row in session.execute(wanted)]


def _held(session: Session, payment_ids: Sequence[UUID]) -> dict[UUID, int]:
    held: defaultdict[UUID, int] = defaultdict(int)
    if payment_ids:
        wanted = select(PAYMENT_REFUNDS.c.payment_id, PAYMENT_REFUNDS.c.amount).where(
            PAYMENT_REFUNDS.c.payment_id.in_(payment_ids),
            PAYMENT_REFUNDS.c.status.in_(OPEN_STATUSES),
        )
        for payment_id, amount in session.execute(wanted):
            held[payment_id] += amount
    return held


def _record(
    row: AnyRow, *, held: int, refunds: Sequence[AnyRow] = (), cancellations: Sequence[AnyRow] = ()
) -> PaymentRecord:
    account = None
    if row.account_number is not None:
        account = VirtualAccountRecord(
            bank=row.account_bank, number=row.account_number, expires_at=row.account_expires_at
        )
    return PaymentRecord(
        payment_id=payment_id_of(row.id),
        order_name=row.order_name,
        amount=row.amount,
        currency=row.currency,
        status=row.status,
        cancelled_amount=row.reversed_amount,
        held_amount=held,
        created_at=row.created_at,
        expires_at=row.expires_at,
        credited_at=row.credited_at,
        failure=row.failure,
        virtual_account=account,
        receipt_url=row.receipt_url,
        cancellations=tuple(
            CancellationRecord(
                id=one.cancellation_id,
                amount=one.amount,
                trigger=one.triggered_by,
                refund_id=one.refund_id,
                booked_at=one.booked_at,
            )
            for one in cancellations
        ),
        refunds=tuple(map(_refund_record, refunds)),
    )


def _refund_record(row: AnyRow) -> RefundRecord:
    return RefundRecord(
        id=row.id,
        payment_id=payment_id_of(row.payment_id),
        amount=row.amount,
        status=row.status,
        reason=row.reason,
        failure=row.failure,
        requested_at=row.requested_at,
        finished_at=row.finished_at,
    )


def _alert_record(row: AnyRow) -> PaymentAlertRecord:
    return PaymentAlertRecord(
        payment_id=payment_id_of(row.payment_id),
        kind=row.kind,
        detail=row.detail,
        times=row.times,
        raised_at=row.raised_at,
        resolved_at=row.resolved_at,
        note=row.note,
    )
