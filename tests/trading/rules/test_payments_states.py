"""A payment's id, amounts and states."""

from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.rules.errors import ValidationFailed
from trading.rules.orders import ImpossibleTransition
from trading.rules.payments.states import (
    MACHINE,
    PaymentEvent,
    PaymentStatus,
    check_amount,
    is_payment_id,
    payment_id_of,
    state_diagram,
    status_after,
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


@pytest.mark.parametrize(("status", "event"), list(product(PaymentStatus, PaymentEvent)))
def test_an_event_leads_where_the_table_says_and_nowhere_else(
    status: PaymentStatus, event: PaymentEvent
) -> None:
    if (status, event) in MACHINE:
        assert status_after(status, event) is MACHINE[status, event]
    else:
        with pytest.raises(ImpossibleTransition):
            status_after(status, event)


def test_what_was_credited_is_never_uncredited() -> None:
    """From the three credited states only cancellations lead on, and into them only a credit."""
    for (before, event), after in MACHINE.items():
        assert after.is_credited == (before.is_credited or event is PaymentEvent.CREDIT)
        assert before.is_credited == (event in (PaymentEvent.CANCEL, PaymentEvent.CANCEL_IN_PART))


def test_only_the_end_of_the_money_and_a_mismatch_are_final() -> None:
    """An expired payment can still be paid."""
    final = set(PaymentStatus) - {before for before, _event in MACHINE}
    assert final == {PaymentStatus.CANCELLED, PaymentStatus.MISMATCHED}


def test_the_diagram_shows_every_arrow_and_every_end() -> None:
    lines = [line.strip() for line in state_diagram().splitlines()]
    assert lines[:2] == ["stateDiagram-v2", "[*] --> PENDING: prepare"]
    assert {f"{before} --> {after}: {event}" for (before, event), after in MACHINE.items()} < set(
        lines
    )
    assert lines[-2:] == ["MISMATCHED --> [*]", "CANCELLED --> [*]"]
    assert len(lines) == len(set(lines)) == len(MACHINE) + 4
