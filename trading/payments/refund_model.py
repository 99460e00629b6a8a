"""A refund requested by a user: states, the mark that identifies it, and PortOne's refusals."""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from trading.exchange.time import KST
from trading.state_machine import Transitions

# PortOne keeps an idempotency key for three hours. Stop resending well before that: a later request
# might be carried out a second time.
RESEND_WITHIN = timedelta(hours=2, minutes=30)

# The reason that the payer reads follows the mark, so that a payment gateway that truncates the
# reason keeps the mark.
_MARK = re.compile(r"R-([0-9a-f]{32})(?![0-9a-z])")


class RefundStatus(StrEnum):
    """REQUESTED: accepted by us. IN_PROGRESS: accepted by PortOne, pending at the gateway."""

    REQUESTED = "REQUESTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class RefundEvent(StrEnum):
    """What can happen to a refund."""

    ACCEPT = "accept"
    SUCCEED = "succeed"
    FAIL = "fail"


# A refund recorded as failed may turn out to have succeeded.
REFUND_TRANSITIONS = Transitions(
    {
        (RefundStatus.REQUESTED, RefundEvent.ACCEPT): RefundStatus.IN_PROGRESS,
        (RefundStatus.REQUESTED, RefundEvent.SUCCEED): RefundStatus.SUCCEEDED,
        (RefundStatus.REQUESTED, RefundEvent.FAIL): RefundStatus.FAILED,
        (RefundStatus.IN_PROGRESS, RefundEvent.SUCCEED): RefundStatus.SUCCEEDED,
        (RefundStatus.IN_PROGRESS, RefundEvent.FAIL): RefundStatus.FAILED,
        (RefundStatus.FAILED, RefundEvent.SUCCEED): RefundStatus.SUCCEEDED,
    },
    initial=RefundStatus.REQUESTED,
    created_by="request",
)

# Refunds in these states reserve their amount from the user's cash.
OPEN_STATUSES = (RefundStatus.REQUESTED, RefundStatus.IN_PROGRESS)


class RefundFailure(StrEnum):
    """Why a refund failed, where PortOne's own code does not say so."""

    NOTHING_LEFT = "NOTHING_LEFT"
    ACCOUNT_OVERDRAWN = "ACCOUNT_OVERDRAWN"
    CANCELLATION_FAILED = "CANCELLATION_FAILED"
    GIVEN_UP = "GIVEN_UP"


# A refund of these goes to a bank account: always, or once the month of the payment is over.
VIRTUAL_ACCOUNT = "PaymentMethodVirtualAccount"
_MOBILE = "PaymentMethodMobile"


def needs_bank_account(method: str | None, *, paid_at: datetime, now: datetime) -> bool:
    """Return True if PortOne refunds a payment by this method only to a bank account.

    The months are Korea's. An unknown method is assumed to need none.
    """
    if method == _MOBILE:
        paid, today = paid_at.astimezone(KST), now.astimezone(KST)
        return (paid.year, paid.month) != (today.year, today.month)
    return method == VIRTUAL_ACCOUNT


class RefusalMeaning(StrEnum):
    """What a definite refusal by PortOne means for a refund."""

    FAIL = "fail"
    FAIL_AND_ALERT = "fail and alert"
    KEEP_AND_ALERT = "keep and alert"


# The two sides' records differ, or there was a concurrent cancellation: check the payment before
# failing the refund.
_RECORDS_DIFFER = frozenset(
    {
        "PAYMENT_NOT_PAID",
        "PAYMENT_ALREADY_CANCELLED",
        "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN",
        "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT",
        "SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT",
        "CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT",
        "CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT",
    }
)
# Faults of our settings: the same request is valid once they are corrected.
_WRONG_SETTINGS = frozenset({"UNAUTHORIZED", "FORBIDDEN", "PAYMENT_NOT_FOUND"})


def reason_with_mark(refund_id: UUID, text: str) -> str:
    """Return the reason sent to PortOne, marked with the refund's id.

    The mark is needed because a cancellation does not name the request that caused it.
    """
    return f"R-{refund_id.hex} {text}"


def reason_without_mark(refund_id: UUID, reason: str) -> str:
    """Return the text that `reason_with_mark` marked, as the user wrote it."""
    return reason.removeprefix(reason_with_mark(refund_id, ""))


def refund_id_in(reason: str | None) -> UUID | None:
    """Return the refund id that a cancellation's reason starts with; None without one."""
    match = _MARK.match(reason or "")
    return UUID(hex=match[1]) if match else None


def classify_refusal(refusal: str) -> RefusalMeaning:
    """Return what the ``type`` of a definite refusal means.

    After a definite refusal the request was not and will not be carried out.
    """
    if refusal in _WRONG_SETTINGS:
        return RefusalMeaning.KEEP_AND_ALERT
    return RefusalMeaning.FAIL if refusal in _RECORDS_DIFFER else RefusalMeaning.FAIL_AND_ALERT
