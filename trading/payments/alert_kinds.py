"""Kinds of alerts about payments: cases that an operator has to decide."""

from enum import StrEnum


class PaymentAlertKind(StrEnum):
    """Why an operator should examine a payment; docs/payments.md says what to do about each."""

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
