"""A payment's id, amounts and states."""

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
def test_a_uuid_gives_an_id_of_its_own_that_every_gateway_takes(one: UUID, other: UUID) -> None:
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
def test_nothing_else_is_an_id(text: str) -> None:
    """What could lead an address elsewhere, or what some gateway would change, is refused before any address is built."""
    assert not is_payment_id(text)


@given(st.integers(), st.integers(1, 10**6), st.integers(10**6, 10**9))
def test_an_amount_is_within_its_bounds_or_refused_with_them(
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


def test_what_was_credited_is_never_uncredited() -> None:
    """From the three credited states only cancellations lead on, and into them only a credit."""
    for (before, event), after in PAYMENT_TRANSITIONS.table.items():
        assert after.is_credited == (before.is_credited or event is PaymentEvent.CREDIT)
        assert before.is_credited == (event in (PaymentEvent.CANCEL, PaymentEvent.CANCEL_IN_PART))


def test_only_the_end_of_the_money_and_a_mismatch_are_final() -> None:
    """An expired payment can still be paid."""
    final = {status for status in PaymentStatus if PAYMENT_TRANSITIONS.is_final(status)}
    assert final == {PaymentStatus.CANCELLED, PaymentStatus.MISMATCHED}
