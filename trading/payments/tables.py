"""Tables of payments."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, WORD, Base, one_of, table_of
from trading.db.types import Id, Won, ascii_text
from trading.payments.alert_kinds import PaymentAlertKind
from trading.payments.decide import PaymentFinding
from trading.payments.model import PaymentStatus
from trading.payments.order_names import OCTETS_MAX
from trading.payments.portone_payment import IDENTIFIER_LENGTH_MAX, KRW, TEXT_LENGTH_MAX
from trading.payments.refund_model import OPEN_STATUSES, RefundStatus

_IDENTIFIER = ascii_text(IDENTIFIER_LENGTH_MAX)
_CREDITED = [status for status in PaymentStatus if status.is_credited]


class PaymentRow(Base):
    """A payment; PortOne's id for it is the 32 hexadecimal digits of ``id``.

    ``channel_keys`` are the agreed channels, separated by commas. ``next_attempt_at`` is when the
    sweep should check it. ``notification_count`` counts notifications, ``check_count`` the checks
    since the last of them. ``finding`` is the result of the last check, ``reported_at`` the newest
    report's time, ``method`` PortOne's name of the payment method, once it is known.
    """

    __tablename__ = "payments"
    __table_args__ = (
        Index("ix_payments_next_attempt_at", "next_attempt_at", "id"),
        Index("ix_payments_user_id_id", "user_id", "id"),
        CheckConstraint(one_of("status", PaymentStatus), name="status"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint(f"currency = '{KRW}'", name="currency"),
        CheckConstraint("expires_at > created_at", name="expires_at"),
        CheckConstraint(
            f"({one_of('status', _CREDITED)}) = (credited_at IS NOT NULL)", name="credited_at"
        ),
        CheckConstraint(
            "reversed_amount = CASE status WHEN 'CANCELLED' THEN amount"
            " WHEN 'PARTIALLY_CANCELLED' THEN reversed_amount ELSE 0 END",
            name="reversed_amount",
        ),
        CheckConstraint(
            "status <> 'PARTIALLY_CANCELLED' OR (reversed_amount > 0 AND reversed_amount < amount)",
            name="partially_cancelled",
        ),
        CheckConstraint("(status = 'MISMATCHED') = (mismatches IS NOT NULL)", name="mismatches"),
        CheckConstraint("status <> 'PENDING' OR next_attempt_at IS NOT NULL", name="waits"),
        CheckConstraint("check_count >= 0 AND notification_count >= 0", name="looks"),
        CheckConstraint(
            f"finding IS NULL OR {one_of('finding', PaymentFinding.__members__)}", name="finding"
        ),
        MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"))
    order_name: Mapped[str] = mapped_column(String(OCTETS_MAX))
    amount: Mapped[int] = mapped_column(Won)
    currency: Mapped[str] = mapped_column(ascii_text(3))
    store_id: Mapped[str] = mapped_column(ascii_text(64))
    channel_keys: Mapped[str] = mapped_column(ascii_text(700))
    status: Mapped[str] = mapped_column(WORD)
    reversed_amount: Mapped[int] = mapped_column(Won)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    credited_at: Mapped[datetime | None]
    reported_at: Mapped[datetime | None]
    finding: Mapped[str | None] = mapped_column(WORD)
    mismatches: Mapped[str | None] = mapped_column(ascii_text(200))
    failure: Mapped[str | None] = mapped_column(String(TEXT_LENGTH_MAX))
    transaction_id: Mapped[str | None] = mapped_column(_IDENTIFIER)
    receipt_url: Mapped[str | None] = mapped_column(_IDENTIFIER)
    method: Mapped[str | None] = mapped_column(_IDENTIFIER)
    account_bank: Mapped[str | None] = mapped_column(_IDENTIFIER)
    account_number: Mapped[str | None] = mapped_column(_IDENTIFIER)
    account_expires_at: Mapped[datetime | None]
    check_count: Mapped[int]
    notification_count: Mapped[int]
    next_attempt_at: Mapped[datetime | None]


PAYMENTS = table_of(PaymentRow)


class PaymentRefundRow(Base):
    """A refund that a user requested; its id is the idempotency key at PortOne.

    While it is open its amount is reserved cash. ``cancellable`` (won) and ``reason`` are what was
    sent, so that every repetition is the same request; ``refusal`` is PortOne's definite refusal,
    after which only a check remains to be done. ``next_attempt_at`` is when the sweep should
    dispatch it.
    """

    __tablename__ = "payment_refunds"
    __table_args__ = (
        Index("ix_payment_refunds_next_attempt_at", "next_attempt_at", "id"),
        Index("ix_payment_refunds_payment_id", "payment_id", "id"),
        Index("ix_payment_refunds_user_id_status", "user_id", "status"),
        CheckConstraint(one_of("status", RefundStatus), name="status"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("(cancellable IS NULL) = (first_sent_at IS NULL)", name="first_sent_at"),
        CheckConstraint("cancellable IS NULL OR cancellable >= amount", name="cancellable"),
        CheckConstraint(
            "send_count >= 0 AND check_count >= 0 AND (send_count = 0) = (first_sent_at IS NULL)",
            name="sends",
        ),
        CheckConstraint(
            f"({one_of('status', OPEN_STATUSES)}) = (finished_at IS NULL)", name="finished_at"
        ),
        CheckConstraint("(finished_at IS NULL) = (next_attempt_at IS NOT NULL)", name="wake_at"),
        CheckConstraint(
            "status NOT IN ('IN_PROGRESS', 'SUCCEEDED') OR cancellation_id IS NOT NULL",
            name="cancellation_id",
        ),
        CheckConstraint("(status = 'FAILED') = (failure IS NOT NULL)", name="failure"),
        MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(Id, ForeignKey("payments.id"))
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"))
    amount: Mapped[int] = mapped_column(Won)
    status: Mapped[str] = mapped_column(WORD)
    reason: Mapped[str] = mapped_column(String(200))
    cancellable: Mapped[int | None] = mapped_column(Won)
    requested_at: Mapped[datetime]
    first_sent_at: Mapped[datetime | None]
    send_count: Mapped[int]
    check_count: Mapped[int]
    refusal: Mapped[str | None] = mapped_column(ascii_text(64))
    cancellation_id: Mapped[str | None] = mapped_column(_IDENTIFIER)
    failure: Mapped[str | None] = mapped_column(ascii_text(64))
    finished_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]


PAYMENT_REFUNDS = table_of(PaymentRefundRow)


class PaymentCancellationRow(Base):
    """Money of a payment that PortOne gave back, recorded once per cancellation id.

    ``refund_id`` is NULL where no refund of ours requested it. ``triggered_by`` is PortOne's code
    for who caused it.
    """

    __tablename__ = "payment_cancellations"
    __table_args__ = (
        UniqueConstraint("payment_id", "cancellation_id"),
        UniqueConstraint("refund_id"),
        CheckConstraint("amount > 0", name="amount"),
        MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(Id, ForeignKey("payments.id"))
    cancellation_id: Mapped[str] = mapped_column(_IDENTIFIER)
    amount: Mapped[int] = mapped_column(Won)
    triggered_by: Mapped[str | None] = mapped_column(_IDENTIFIER)
    reason: Mapped[str | None] = mapped_column(String(TEXT_LENGTH_MAX))
    refund_id: Mapped[UUID | None] = mapped_column(Id, ForeignKey("payment_refunds.id"))
    booked_at: Mapped[datetime]


PAYMENT_CANCELLATIONS = table_of(PaymentCancellationRow)


class PaymentAlertRow(Base):
    """An alert for operators about a payment, with its count.

    An operator resolves it with a note; it opens again when the cause occurs again.
    """

    __tablename__ = "payment_alerts"
    __table_args__ = (
        Index("ix_payment_alerts_open", "resolved_at", "raised_at"),
        CheckConstraint(one_of("kind", PaymentAlertKind), name="kind"),
        CheckConstraint("times > 0", name="times"),
        CheckConstraint("(resolved_at IS NULL) = (note IS NULL)", name="note"),
        MYSQL,
    )

    payment_id: Mapped[UUID] = mapped_column(Id, ForeignKey("payments.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(WORD, primary_key=True)
    detail: Mapped[str | None] = mapped_column(ascii_text(200))
    times: Mapped[int]
    raised_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    note: Mapped[str | None] = mapped_column(String(500))


PAYMENT_ALERTS = table_of(PaymentAlertRow)
