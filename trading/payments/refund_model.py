"""A refund that a user asked for: its states, the words by which it is found again, and what a refusal of PortOne's means for it."""

import re
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from trading.state_machine import Transitions

# PortOne keeps an idempotency key for three hours. Well before that a refund is no longer asked for again, as it might be carried out twice.
RESEND_WITHIN = timedelta(hours=2, minutes=30)

# What the payer reads follows the mark, so that a payment gateway that shortens the reason leaves the mark whole.
_MARK = re.compile(r"R-([0-9a-f]{32})(?![0-9a-z])")


class RefundStatus(StrEnum):
    """REQUESTED: accepted by us; IN_PROGRESS: accepted by PortOne, and the payment gateway has the last word."""

    REQUESTED = "REQUESTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class RefundEvent(StrEnum):
    """What can happen to a refund."""

    ACCEPT = "accept"
    SUCCEED = "succeed"
    FAIL = "fail"


# A refund that was recorded as failed may turn out to have succeeded.
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
    created_by="ask",
)

# Those whose amount is set aside from the user's cash.
OPEN_STATUSES = (RefundStatus.REQUESTED, RefundStatus.IN_PROGRESS)


class RefundFailure(StrEnum):
    """Why a refund failed, where PortOne's own word does not say it."""

    NOTHING_LEFT = "NOTHING_LEFT"
    ACCOUNT_OVERDRAWN = "ACCOUNT_OVERDRAWN"
    CANCELLATION_FAILED = "CANCELLATION_FAILED"
    GIVEN_UP = "GIVEN_UP"


class RefusalMeaning(StrEnum):
    """What a definite refusal of PortOne's means for a refund."""

    FAIL = "fail"
    FAIL_AND_ALERT = "fail, and call a person"
    KEEP_AND_ALERT = "keep, and call a person"


# The books of the two sides differ, or somebody cancelled at the same time: what happened is looked up before the refund is given up.
_DRIFT = frozenset(
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
# Faults of our set-up: the same request is good once they are mended.
_OURS = frozenset({"UNAUTHORIZED", "FORBIDDEN", "PAYMENT_NOT_FOUND"})


def reason_with_mark(refund_id: UUID, words: str) -> str:
    """The reason that is sent to PortOne. It holds the refund's id, for an answer does not name the request that it belongs to."""
    return f"R-{refund_id.hex} {words}"


def refund_id_in(reason: str | None) -> UUID | None:
    """The refund of ours that a cancellation's reason begins with; None for a cancellation that somebody else asked for."""
    found = _MARK.match(reason or "")
    return UUID(hex=found[1]) if found else None


def classify_refusal(refusal: str) -> RefusalMeaning:
    """What PortOne's type of a definite refusal means: by it the refund was not, and will not be, carried out as it was asked for."""
    if refusal in _OURS:
        return RefusalMeaning.KEEP_AND_ALERT
    return RefusalMeaning.FAIL if refusal in _DRIFT else RefusalMeaning.FAIL_AND_ALERT
