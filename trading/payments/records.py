"""Records of payments."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRecord:
    """A refund that a user asked for; ``failure`` is a word for why it failed."""

    id: UUID
    payment_id: str
    amount: int
    status: str
    reason: str
    failure: str | None
    requested_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationRecord:
    """Money of a payment that went back. ``trigger`` is the payment service's word for whose doing it was; ``refund_id`` is None when no refund
    asked for it."""

    id: str
    amount: int
    trigger: str | None
    refund_id: UUID | None
    booked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualAccountRecord:
    """Where the payer is to send the money."""

    bank: str | None
    number: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRecord:
    """A payment. ``held_amount`` is what refunds under way set aside; ``failure`` what the payment gateway said when it last failed."""

    payment_id: str
    order_name: str
    amount: int
    currency: str
    status: str
    cancelled_amount: int
    held_amount: int
    created_at: datetime
    expires_at: datetime
    credited_at: datetime | None
    failure: str | None
    virtual_account: VirtualAccountRecord | None
    receipt_url: str | None
    cancellations: tuple[CancellationRecord, ...] = ()
    refunds: tuple[RefundRecord, ...] = ()

    @property
    def refundable_amount(self) -> int:
        """What could be asked back now, as far as the payment goes."""
        return (
            0
            if self.credited_at is None
            else self.amount - self.cancelled_amount - self.held_amount
        )
