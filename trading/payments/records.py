"""Records of payments as the API and the command line show them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from trading.payments.refund_model import VIRTUAL_ACCOUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRecord:
    """A refund that a user requested; ``failure`` is the code of why it failed."""

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
    """Money of a payment that was given back.

    ``trigger`` is PortOne's code for who caused it; ``refund_id`` is None when no refund requested
    it.
    """

    id: str
    amount: int
    trigger: str | None
    refund_id: UUID | None
    booked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualAccountRecord:
    """Bank account to which the payer sends the money."""

    bank: str | None
    number: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRecord:
    """A payment. Amounts in won.

    ``held_amount`` is the sum of open refunds; ``failure`` is the payment gateway's text about the
    last failure.
    """

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
    method: str | None
    virtual_account: VirtualAccountRecord | None
    receipt_url: str | None
    cancellations: tuple[CancellationRecord, ...] = ()
    refunds: tuple[RefundRecord, ...] = ()

    @property
    def refundable_amount(self) -> int:
        """Amount that could be refunded now according to the payment alone, in won.

        0 for a payment into a virtual account, which is refunded only to a bank account.
        """
        return (
            0
            if self.credited_at is None or self.method == VIRTUAL_ACCOUNT
            else self.amount - self.cancelled_amount - self.held_amount
        )
