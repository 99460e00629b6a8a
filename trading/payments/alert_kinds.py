"""What a person is called for: what no program should decide about money, or can't."""

from enum import StrEnum


class PaymentAlertKind(StrEnum):
    """Why somebody should look at a payment. What he does about each is written in docs/payments.md."""

    MISMATCH = "mismatch"
    CONTRADICTORY = "contradictory"
    UNKNOWN_STATUS = "unknown-status"
    UNEXPECTED_REPORT = "unexpected-report"
    DISPUTED = "disputed"
    CHARGEBACK = "chargeback"
    OVERDRAWN = "overdrawn"
    ACCOUNT_CLOSED = "account-closed"
    CHECK_REFUSED = "look-refused"
    REFUND_REFUSED = "refund-refused"
    REFUND_STUCK = "refund-stuck"
