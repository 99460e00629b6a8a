"""Refunds as rules: their states, the mark by which one is found again, and what a refusal means."""

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
    reason_with_mark,
    refund_id_in,
)


def test_money_that_went_back_ends_every_refund() -> None:
    """From any state but itself SUCCEEDED can be reached, and nothing leads from it."""
    for status in set(RefundStatus) - {RefundStatus.SUCCEEDED}:
        assert REFUND_TRANSITIONS.after(status, RefundEvent.SUCCEED) is RefundStatus.SUCCEEDED
    assert all(before is not RefundStatus.SUCCEEDED for before, _ in REFUND_TRANSITIONS.table)
    assert set(OPEN_STATUSES) == {
        before for before, event in REFUND_TRANSITIONS.table if event is RefundEvent.FAIL
    }


@given(st.uuids(), st.text(max_size=50))
def test_a_refund_is_found_by_its_reason(refund_id: UUID, words: str) -> None:
    """Whatever the user wrote behind the mark, and if a payment gateway cuts off all of it."""
    reason = reason_with_mark(refund_id, words)
    assert refund_id_in(reason) == refund_id
    assert refund_id_in(reason[:34]) == refund_id


@given(st.text(max_size=60))
def test_other_reasons_are_nobodys(text: str) -> None:
    """A mark counts at the beginning only, so that no user can write another's into his words."""
    assert refund_id_in(f" {text}") is None
    assert refund_id_in(f"환불 R-{'0' * 32} {text}") is None


@pytest.mark.parametrize(
    "reason", [None, "", "R-", "R-" + "0" * 31, "R-" + "0" * 33, "R-" + "g" * 32, "r-" + "0" * 32]
)
def test_what_looks_like_a_mark_is_none(reason: str | None) -> None:
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
def test_what_a_refusal_means(kind: str, meaning: RefusalMeaning) -> None:
    assert classify_refusal(kind) is meaning
