"""The moving average: no won is created or lost by buying and selling in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.ledger.positions import HoldingPosition, Sale
from trading.money import average_price

BUYS = st.tuples(st.integers(1, 10_000), st.integers(1, 10**12), st.integers(0, 10**9))
# A positive step buys (quantity, amount, commission); a fraction sells that part of what is held.
STEPS = st.lists(st.one_of(BUYS, st.fractions(0, 1)), min_size=1, max_size=40)


def run(steps: list[object]) -> tuple[HoldingPosition, list[Sale], int, int]:
    """Apply the steps; return position, sales, and the total amount and commission bought."""
    position, sales, amounts, commissions = HoldingPosition(), [], 0, 0
    for step in steps:
        if isinstance(step, tuple):
            quantity, amount, commission = step
            position = position.bought(quantity=quantity, amount=amount, commission=commission)
            amounts, commissions = amounts + amount, commissions + commission
        elif position.quantity and (quantity := int(position.quantity * step)):
            position, sale = position.sold(
                quantity=quantity, amount=quantity * 7, commission=3, tax=2
            )
            sales.append(sale)
    return position, sales, amounts, commissions


def test_worked_example() -> None:
    """10 at 70,000 and 10 at 80,000, sell 5: a quarter of the cost is removed, and the profit bears
    all costs.
    """
    position = HoldingPosition().bought(quantity=10, amount=700_000, commission=105)
    position = position.bought(quantity=10, amount=800_000, commission=120)

    left, sale = position.sold(quantity=5, amount=400_000, commission=60, tax=800)

    assert sale == Sale(
        cost=375_000, buy_commission=56, realized_profit=400_000 - 60 - 800 - 375_000 - 56
    )
    assert left == HoldingPosition(15, 1_125_000, 169)


@given(STEPS)
def test_cost_is_conserved_in_any_order(steps: list[object]) -> None:
    position, sales, amounts, commissions = run(steps)
    assert sum(sale.cost for sale in sales) + position.cost == amounts
    assert sum(sale.buy_commission for sale in sales) + position.buy_commission == commissions


@given(STEPS)
def test_selling_everything_leaves_no_cost(steps: list[object]) -> None:
    position, *_ = run(steps)
    if position.quantity:
        position, _sale = position.sold(quantity=position.quantity, amount=1, commission=0, tax=0)
    assert position == HoldingPosition()


@given(BUYS, st.integers(0, 10**12), st.integers(0, 10**6), st.integers(0, 10**6))
def test_realised_profit_equals_the_cash_earned_by_a_round_trip(
    buy: tuple[int, int, int], amount: int, commission: int, tax: int
) -> None:
    quantity, paid, paid_commission = buy
    position = HoldingPosition().bought(quantity=quantity, amount=paid, commission=paid_commission)
    _left, sale = position.sold(quantity=quantity, amount=amount, commission=commission, tax=tax)
    assert sale.realized_profit == (amount - commission - tax) - (paid + paid_commission)


@given(STEPS)
def test_one_share_takes_at_most_the_average_cost(steps: list[object]) -> None:
    """And less than one won below it."""
    position, *_ = run(steps)
    if position.quantity:
        _left, sale = position.sold(quantity=1, amount=0, commission=0, tax=0)
        assert 0 <= position.cost - sale.cost * position.quantity < position.quantity


@pytest.mark.parametrize("quantity", [0, -1, 11])
def test_selling_more_than_held_raises(quantity: int) -> None:
    with pytest.raises(ValueError, match="no more than are held"):
        HoldingPosition(10, 100, 1).sold(quantity=quantity, amount=1, commission=0, tax=0)


@pytest.mark.parametrize("figures", [(-1, 0, 0), (1, -1, 0), (1, 1, -1), (0, 1, 0), (0, 0, 1)])
def test_impossible_position_raises(figures: tuple[int, int, int]) -> None:
    """A negative number, or a cost without shares."""
    with pytest.raises(ValueError, match="position"):
        HoldingPosition(*figures)


def test_purchase_without_shares_raises() -> None:
    with pytest.raises(ValueError, match="at least one share"):
        HoldingPosition().bought(quantity=0, amount=5, commission=0)


@pytest.mark.parametrize(
    ("cost", "quantity", "average"), [(100, 3, 33), (101, 2, 51), (200, 3, 67), (7, 7, 1)]
)
def test_average_price_is_rounded_half_up(cost: int, quantity: int, average: int) -> None:
    assert average_price(cost, quantity) == average
