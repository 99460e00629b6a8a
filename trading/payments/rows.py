"""Typed rows of the payment tables, and the queries that read them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from trading.payments.model import PaymentStatus
from trading.payments.refund_model import OPEN_STATUSES, RefundStatus
from trading.payments.tables import PAYMENT_CANCELLATIONS, PAYMENT_REFUNDS, PAYMENTS


class StoredPayment(NamedTuple):
    """A row of ``payments``; see ``PaymentRow`` for its columns. Amounts are in won."""

    id: UUID
    user_id: UUID
    order_name: str
    amount: int
    currency: str
    store_id: str
    channel_keys: str
    status: PaymentStatus
    reversed_amount: int
    created_at: datetime
    expires_at: datetime
    credited_at: datetime | None
    reported_at: datetime | None
    finding: str | None
    mismatches: str | None
    failure: str | None
    transaction_id: str | None
    receipt_url: str | None
    method: str | None
    account_bank: str | None
    account_number: str | None
    account_expires_at: datetime | None
    check_count: int
    notification_count: int
    next_attempt_at: datetime | None

    @property
    def remaining_amount(self) -> int:
        """Part of the amount that has not been reversed, in won."""
        return self.amount - self.reversed_amount


class StoredRefund(NamedTuple):
    """A row of ``payment_refunds``; see ``PaymentRefundRow`` for its columns. Amounts in won."""

    id: UUID
    payment_id: UUID
    user_id: UUID
    amount: int
    status: RefundStatus
    reason: str
    cancellable: int | None
    requested_at: datetime
    first_sent_at: datetime | None
    send_count: int
    check_count: int
    refusal: str | None
    cancellation_id: str | None
    failure: str | None
    finished_at: datetime | None
    next_attempt_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether its amount is reserved from the user's cash."""
        return self.status in OPEN_STATUSES


class StoredCancellation(NamedTuple):
    """A row of ``payment_cancellations`` without its keys to other tables. Amounts in won."""

    cancellation_id: str
    amount: int
    triggered_by: str | None
    refund_id: UUID | None
    booked_at: datetime


_PAYMENT_COLUMNS = [PAYMENTS.c[name] for name in StoredPayment._fields]
_REFUND_COLUMNS = [PAYMENT_REFUNDS.c[name] for name in StoredRefund._fields]
_CANCELLATION_COLUMNS = [PAYMENT_CANCELLATIONS.c[name] for name in StoredCancellation._fields]


def lock_payment(session: Session, payment_id: UUID) -> StoredPayment | None:
    """Lock a payment's row and return it; None when there is no such payment."""
    statement = select(*_PAYMENT_COLUMNS).where(PAYMENTS.c.id == payment_id).with_for_update()
    row = session.execute(statement).one_or_none()
    return None if row is None else _payment(row)


def read_payment(
    session: Session, payment_id: UUID, *conditions: ColumnElement[bool]
) -> StoredPayment | None:
    """Return a payment that meets ``conditions``; None when there is none."""
    statement = select(*_PAYMENT_COLUMNS).where(PAYMENTS.c.id == payment_id, *conditions)
    row = session.execute(statement).one_or_none()
    return None if row is None else _payment(row)


def read_newest_payments(
    session: Session, *conditions: ColumnElement[bool], limit: int
) -> list[StoredPayment]:
    """Return at most ``limit`` payments that meet ``conditions``, newest first."""
    statement = select(*_PAYMENT_COLUMNS).where(*conditions)
    rows = session.execute(statement.order_by(PAYMENTS.c.id.desc()).limit(limit))
    return [_payment(row) for row in rows]


def read_refund(
    session: Session, refund_id: UUID, *conditions: ColumnElement[bool]
) -> StoredRefund | None:
    """Return a refund that meets ``conditions``; None when there is none."""
    statement = select(*_REFUND_COLUMNS).where(PAYMENT_REFUNDS.c.id == refund_id, *conditions)
    row = session.execute(statement).one_or_none()
    return None if row is None else _refund(row)


def read_refunds(session: Session, payment_id: UUID) -> list[StoredRefund]:
    """Return all refunds of a payment, oldest first."""
    statement = select(*_REFUND_COLUMNS).where(PAYMENT_REFUNDS.c.payment_id == payment_id)
    rows = session.execute(statement.order_by(PAYMENT_REFUNDS.c.id))
    return [_refund(row) for row in rows]


def read_cancellations(session: Session, payment_id: UUID) -> list[StoredCancellation]:
    """Return all recorded cancellations of a payment, oldest first."""
    statement = select(*_CANCELLATION_COLUMNS).where(
        PAYMENT_CANCELLATIONS.c.payment_id == payment_id
    )
    rows = session.execute(statement.order_by(PAYMENT_CANCELLATIONS.c.id))
    return [StoredCancellation._make(row) for row in rows]


def _payment(row: Sequence[object]) -> StoredPayment:
    payment = StoredPayment._make(row)
    return payment._replace(status=PaymentStatus(payment.status))


def _refund(row: Sequence[object]) -> StoredRefund:
    refund = StoredRefund._make(row)
    return refund._replace(status=RefundStatus(refund.status))
