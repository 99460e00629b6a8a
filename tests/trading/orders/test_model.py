"""Order states, reservations, signs of ledger entries and stock codes."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.exchange.fees import cost_of_buying
from trading.ledger.model import DIRECTION, TransactionType, cash_change
from trading.marketdata.stock_codes import product_code
from trading.orders.model import (
    OPEN_STATUSES,
    ORDER_TRANSITIONS,
    OrderStatus,
    buy_reservation,
    collared_price,
    status_after_fill,
)

FINAL = {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED}


def test_every_state_is_open_or_final() -> None:
    """Exactly two states are open, and no transition leaves the others."""
    assert set(OPEN_STATUSES) == set(OrderStatus) - FINAL
    assert all(not status.is_open for status in FINAL)


def test_partly_filled_order_is_never_rejected_or_pending_again() -> None:
    after = {
        after
        for (before, _event), after in ORDER_TRANSITIONS.table.items()
        if before is OrderStatus.PARTIALLY_FILLED
    }
    assert after == set(OrderStatus) - {OrderStatus.PENDING, OrderStatus.REJECTED}
    assert OrderStatus.PENDING not in ORDER_TRANSITIONS.table.values()


@given(st.sampled_from(OPEN_STATUSES), st.integers(1, 10**9), st.integers(1, 10**9))
def test_fill_leads_to_the_state_of_the_transition_table(
    status: OrderStatus, ordered: int, executed: int
) -> None:
    """FILLED exactly when nothing remains."""
    executed = min(ordered, executed)
    after = status_after_fill(status, ordered=ordered, executed=executed)
    assert after is (OrderStatus.FILLED if executed == ordered else OrderStatus.PARTIALLY_FILLED)


@pytest.mark.parametrize("executed", [0, -1, 11])
def test_fill_of_an_impossible_quantity_raises(executed: int) -> None:
    with pytest.raises(ValueError, match="never more than were ordered"):
        status_after_fill(OrderStatus.PENDING, ordered=10, executed=executed)


@given(
    st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10_000), st.integers(0, 100_000)
)
def test_reservation_pays_for_any_fill_within_the_collar(
    quantity: int, price: int, collar: int, ppm: int
) -> None:
    reserved = buy_reservation(
        quantity=quantity, price=collared_price(price, collar), commission_ppm=ppm
    )
    highest = price * (10_000 + collar) // 10_000
    assert cost_of_buying(quantity * highest, ppm) <= reserved


def test_every_transaction_type_has_a_direction() -> None:
    """Only sales, deposits and dividends add cash."""
    incoming = {kind for kind, sign in DIRECTION.items() if sign == +1}
    assert incoming == {TransactionType.SELL, TransactionType.DEPOSIT, TransactionType.DIVIDEND}
    assert set(DIRECTION) == set(TransactionType)
    assert set(DIRECTION.values()) == {1, -1}


@given(
    st.sampled_from(TransactionType),
    st.integers(0, 10**13),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
def test_commission_and_tax_always_reduce_the_cash(
    kind: TransactionType, amount: int, commission: int, tax: int
) -> None:
    assert (
        cash_change(kind, amount=amount, commission=commission, tax=tax)
        == DIRECTION[kind] * amount - commission - tax
    )


@pytest.mark.parametrize("figures", [f for f in product((0, -1), repeat=3) if any(f)])
def test_negative_ledger_amounts_raise(figures: tuple[int, int, int]) -> None:
    amount, commission, tax = figures
    with pytest.raises(ValueError, match="never negative"):
        cash_change(TransactionType.BUY, amount=amount, commission=commission, tax=tax)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("005930", "A005930"),
        (" a005930 ", "A005930"),
        ("0126Z0", "A0126Z0"),
        ("A0126z0", "A0126Z0"),
        ("00593", None),
        ("A0059300", None),
        ("B005930", None),
        ("００５９３０", None),
        ("005930\n1", None),
        ("", None),
    ],
)
def test_stock_code_is_accepted_in_either_form(text: str, code: str | None) -> None:
    """Six characters with or without the A; full-width digits and other lengths are invalid."""
    assert product_code(text) == code
