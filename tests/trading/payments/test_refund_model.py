"""Refund states, the mark in the reason, and the meaning of refusals."""

from datetime import datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.payments.refund_model import (
    OPEN_STATUSES,
    REFUND_TRANSITIONS,
    RefundEvent,
    RefundStatus,
    RefusalMeaning,
    classify_refusal,
    needs_bank_account,
    reason_with_mark,
    reason_without_mark,
    refund_id_in,
)


def test_succeeded_is_final_and_reachable_from_every_state() -> None:
    for status in set(RefundStatus) - {RefundStatus.SUCCEEDED}:
        assert REFUND_TRANSITIONS.after(status, RefundEvent.SUCCEED) is RefundStatus.SUCCEEDED
    assert all(before is not RefundStatus.SUCCEEDED for before, _ in REFUND_TRANSITIONS.table)
    assert set(OPEN_STATUSES) == {
        before for before, event in REFUND_TRANSITIONS.table if event is RefundEvent.FAIL
    }


@given(st.uuids(), st.text(max_size=50))
def test_refund_id_is_read_from_the_reason(refund_id: UUID, words: str) -> None:
    """Whatever the user wrote after the mark, and if a payment gateway truncates all of it."""
    reason = reason_with_mark(refund_id, words)
    assert refund_id_in(reason) == refund_id
    assert refund_id_in(reason[:34]) == refund_id
    assert reason_without_mark(refund_id, reason) == words


@given(st.text(max_size=60))
def test_reason_without_leading_mark_names_no_refund(text: str) -> None:
    """A mark counts only at the start, so a user cannot write another refund's mark."""
    assert refund_id_in(f" {text}") is None
    assert refund_id_in(f"환불 R-{'0' * 32} {text}") is None


@pytest.mark.parametrize(
    "reason", [None, "", "R-", "R-" + "0" * 31, "R-" + "0" * 33, "R-" + "g" * 32, "r-" + "0" * 32]
)
def test_similar_marks_are_rejected(reason: str | None) -> None:
    assert refund_id_in(reason) is None


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("PAYMENT_ALREADY_CANCELLED", RefusalMeaning.FAIL),
        ("CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN", RefusalMeaning.FAIL),
        ("PAYMENT_NOT_PAID", RefusalMeaning.FAIL),
        ("INVALID_REQUEST", RefusalMeaning.FAIL_AND_ALERT),
        ("MAX_CANCEL_COUNT_REACHED", RefusalMeaning.FAIL_AND_ALERT),
        ("A_TYPE_OF_TOMORROW", RefusalMeaning.FAIL_AND_ALERT),
        ("UNAUTHORIZED", RefusalMeaning.KEEP_AND_ALERT),
        ("FORBIDDEN", RefusalMeaning.KEEP_AND_ALERT),
        ("PAYMENT_NOT_FOUND", RefusalMeaning.KEEP_AND_ALERT),
    ],
)
def test_meaning_of_refusals(kind: str, meaning: RefusalMeaning) -> None:
    assert classify_refusal(kind) is meaning


@pytest.mark.parametrize(
    ("method", "paid", "now", "needed"),
    [
        ("PaymentMethodVirtualAccount", "2026-11-20T10:00", "2026-11-20T10:01", True),
        ("PaymentMethodMobile", "2026-11-30T23:59", "2026-11-30T23:59:59", False),
        ("PaymentMethodMobile", "2026-11-30T23:59", "2026-12-01T00:00", True),
        ("PaymentMethodMobile", "2025-11-20T10:00", "2026-11-20T10:00", True),
        ("PaymentMethodCard", "2025-11-20T10:00", "2026-11-20T10:00", False),
        ("PaymentMethodEasyPay", "2025-11-20T10:00", "2026-11-20T10:00", False),
        (None, "2025-11-20T10:00", "2026-11-20T10:00", False),
    ],
)
def test_refund_to_a_bank_account(method: str | None, paid: str, now: str, needed: bool) -> None:
    """Times are in Korea."""
    paid_at, at = (datetime.fromisoformat(f"{time}+09:00") for time in (paid, now))
    assert needs_bank_account(method, paid_at=paid_at, now=at) is needed
