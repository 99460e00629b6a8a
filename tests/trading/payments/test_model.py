"""Payment ids, amounts and states."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.errors import ValidationFailed
from trading.payments.model import (
    PAYMENT_TRANSITIONS,
    PaymentEvent,
    PaymentStatus,
    check_amount,
    is_payment_id,
    payment_id_of,
)


@given(st.uuids(), st.uuids())
def test_uuid_gives_a_unique_valid_payment_id(one: UUID, other: UUID) -> None:
    assert is_payment_id(payment_id_of(one))
    assert (payment_id_of(one) == payment_id_of(other)) == (one == other)
    assert UUID(payment_id_of(one)) == one


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../cancel",
        "a" * 31,
        "a" * 33,
        "A" * 32,
        "a" * 31 + "-",
        "a" * 32 + "\n",
        "a" * 31 + "٣",
        "a" * 31 + "ä",
    ],
)
def test_other_text_is_not_a_payment_id(text: str) -> None:
    """Text that could change a URL is refused before the URL is built."""
    assert not is_payment_id(text)


@given(st.integers(), st.integers(1, 10**6), st.integers(10**6, 10**9))
def test_amount_outside_its_bounds_is_refused_with_the_bounds(
    amount: int, minimum: int, maximum: int
) -> None:
    if minimum <= amount <= maximum:
        check_amount(amount, minimum=minimum, maximum=maximum)
    else:
        with pytest.raises(ValidationFailed) as refusal:
            check_amount(amount, minimum=minimum, maximum=maximum)
        assert refusal.value.facts == {"field": "amount", "minimum": minimum, "limit": maximum}


def test_both_bounds_are_allowed() -> None:
    check_amount(1_000, minimum=1_000, maximum=1_000)


def test_credited_payment_never_returns_to_uncredited() -> None:
    """Only cancellations leave the three credited states, and only a credit enters them."""
    for (before, event), after in PAYMENT_TRANSITIONS.table.items():
        assert after.is_credited == (before.is_credited or event is PaymentEvent.CREDIT)
        assert before.is_credited == (event in (PaymentEvent.CANCEL, PaymentEvent.CANCEL_IN_PART))


def test_only_mismatched_and_cancelled_are_final() -> None:
    """An expired payment can still be paid."""
    final = {status for status in PaymentStatus if PAYMENT_TRANSITIONS.is_final(status)}
    assert final == {PaymentStatus.CANCELLED, PaymentStatus.MISMATCHED}
