"""A payment of ours: its id, the amounts that it may have, its states and what leads from one to another."""

import re
from enum import StrEnum
from uuid import UUID

from trading.errors import ValidationFailed
from trading.state_machine import Transitions

# Some payment gateways take letters and digits alone, one cuts off after 40 of them, and a path knows no dots.
_PAYMENT_ID = re.compile(r"[a-z0-9]{32}")


class PaymentStatus(StrEnum):
    """FAILED is missing on purpose: a payment that failed may be tried again under its id, and some are approved afterwards."""

    PENDING = "PENDING"
    EXPIRED = "EXPIRED"
    MISMATCHED = "MISMATCHED"
    CREDITED = "CREDITED"
    PARTIALLY_CANCELLED = "PARTIALLY_CANCELLED"
    CANCELLED = "CANCELLED"

    @property
    def is_credited(self) -> bool:
        """Whether its money was credited, whatever of it was given back since."""
        return self in (
            PaymentStatus.CREDITED,
            PaymentStatus.PARTIALLY_CANCELLED,
            PaymentStatus.CANCELLED,
        )


class PaymentEvent(StrEnum):
    """What can happen to a payment after it was prepared."""

    CREDIT = "credit"
    EXPIRE = "expire"
    REJECT = "reject"
    CANCEL_IN_PART = "cancel in part"
    CANCEL = "cancel"


# Money may arrive late, so an expired payment can still be credited.
PAYMENT_TRANSITIONS = Transitions(
    {
        (PaymentStatus.PENDING, PaymentEvent.CREDIT): PaymentStatus.CREDITED,
        (PaymentStatus.PENDING, PaymentEvent.EXPIRE): PaymentStatus.EXPIRED,
        (PaymentStatus.PENDING, PaymentEvent.REJECT): PaymentStatus.MISMATCHED,
        (PaymentStatus.EXPIRED, PaymentEvent.CREDIT): PaymentStatus.CREDITED,
        (PaymentStatus.EXPIRED, PaymentEvent.REJECT): PaymentStatus.MISMATCHED,
        (PaymentStatus.CREDITED, PaymentEvent.CANCEL_IN_PART): PaymentStatus.PARTIALLY_CANCELLED,
        (PaymentStatus.CREDITED, PaymentEvent.CANCEL): PaymentStatus.CANCELLED,
        (
            PaymentStatus.PARTIALLY_CANCELLED,
            PaymentEvent.CANCEL_IN_PART,
        ): PaymentStatus.PARTIALLY_CANCELLED,
        (PaymentStatus.PARTIALLY_CANCELLED, PaymentEvent.CANCEL): PaymentStatus.CANCELLED,
    },
    initial=PaymentStatus.PENDING,
    created_by="prepare",
)


def payment_id_of(identifier: UUID) -> str:
    """The id under which PortOne and every payment gateway behind it know a payment: the UUID's 32 hexadecimal digits."""
    return identifier.hex


def is_payment_id(text: str) -> bool:
    """Whether ``text`` can be a payment's id. Anything else must never become a part of an address: ``..`` would lead elsewhere."""
    return _PAYMENT_ID.fullmatch(text) is not None


def check_amount(amount: int, *, minimum: int, maximum: int) -> None:
    """Raises ValidationFailed unless ``amount`` (won) is from ``minimum`` to ``maximum``, both included."""
    if not minimum <= amount <= maximum:
        raise ValidationFailed(field="amount", minimum=minimum, limit=maximum)
