"""Payment ids, allowed amounts, payment states and their transitions."""

import re
from enum import StrEnum
from uuid import UUID

from trading.errors import ValidationFailed
from trading.state_machine import Transitions

# Some payment gateways accept only letters and digits, one truncates after 40 of them, and URL
# paths must not contain dots.
_PAYMENT_ID = re.compile(r"[a-z0-9]{32}")


class PaymentStatus(StrEnum):
    """States of a payment.

    There is no FAILED: a failed payment may be retried under its id, and some are approved later.
    """

    PENDING = "PENDING"
    EXPIRED = "EXPIRED"
    MISMATCHED = "MISMATCHED"
    CREDITED = "CREDITED"
    PARTIALLY_CANCELLED = "PARTIALLY_CANCELLED"
    CANCELLED = "CANCELLED"

    @property
    def is_credited(self) -> bool:
        """Whether its money was credited, even if part or all of it was given back later."""
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
    """Return the payment's id at PortOne and its gateways: the UUID's hexadecimal digits."""
    return identifier.hex


def is_payment_id(text: str) -> bool:
    """Return whether ``text`` can be a payment id.

    Nothing else may become part of a URL: ``..`` would address another resource.
    """
    return _PAYMENT_ID.fullmatch(text) is not None


def check_amount(amount: int, *, minimum: int, maximum: int) -> None:
    """Raise ValidationFailed unless ``amount`` (won) is from ``minimum`` to ``maximum``."""
    if not minimum <= amount <= maximum:
        raise ValidationFailed(field="amount", minimum=minimum, limit=maximum)
