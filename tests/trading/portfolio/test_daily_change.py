"""Today's change of a stock, compared with a simulation share by share."""

from hypothesis import given
from hypothesis import strategies as st

from trading.portfolio.daily_change import DayTrades, change_of_day, change_of_held

PRICES = st.integers(1, 10**6)


@st.composite
def days(draw: st.DrawFn) -> tuple[int, DayTrades]:
    """Generate the shares held at the end of a day and the day's trades."""
    before, bought = draw(st.integers(0, 50)), draw(st.integers(0, 50))
    sold = draw(st.integers(0, before + bought))
    spent = draw(st.integers(bought, bought * 10**6)) if bought else 0
    earned = draw(st.integers(0, sold * 10**6)) if sold else 0
    return before + bought - sold, DayTrades(bought, spent, sold, earned)


@given(day=days(), price=PRICES, base=PRICES)
def test_oldest_shares_are_sold_first_and_todays_cost_their_average(
    day: tuple[int, DayTrades], price: int, base: int
) -> None:
    """Simulate a queue: old shares at the base price and today's at their average, sold from its
    head.
    """
    quantity, trades = day
    before = quantity - trades.bought + trades.sold
    queue = ["old"] * before + ["new"] * trades.bought
    held = queue[trades.sold :]
    new = held.count("new")
    change = change_of_held(quantity, trades, price=price, base=base)
    assert change is not None
    exact = held.count("old") * (price - base) * trades.bought + new * (
        price * trades.bought - trades.spent
    )
    # The average is not a whole number of won; the remainder stays with the held shares.
    assert 0 <= exact - change * trades.bought < max(trades.bought, 1)


@given(day=days(), price=PRICES, base=PRICES)
def test_days_change_equals_change_of_value(
    day: tuple[int, DayTrades], price: int, base: int
) -> None:
    """The value now less the value before, plus the cash moved."""
    quantity, trades = day
    before = quantity - trades.bought + trades.sold
    worth_then, worth_now = before * base, quantity * price - trades.spent + trades.earned
    assert change_of_day(quantity, trades, price=price, base=base) == worth_now - worth_then


@given(day=days(), price=PRICES, base=PRICES)
def test_both_changes_are_equal_without_a_sale(
    day: tuple[int, DayTrades], price: int, base: int
) -> None:
    quantity, trades = day
    held = DayTrades(trades.bought, trades.spent)
    quantity += trades.sold
    of_held = change_of_held(quantity, held, price=price, base=base)
    assert of_held == change_of_day(quantity, held, price=price, base=base)


def test_change_is_none_without_a_required_price() -> None:
    """The base price is needed for shares from before today, the price for held shares."""
    new = DayTrades(bought=2, spent=200)
    assert (
        change_of_held(2, new, price=110, base=None)
        == change_of_day(2, new, price=110, base=None)
        == 20
    )
    assert (
        change_of_held(3, new, price=110, base=None)
        is change_of_day(3, new, price=110, base=None)
        is None
    )
    assert (
        change_of_held(2, new, price=None, base=100)
        is change_of_day(2, new, price=None, base=100)
        is None
    )
    gone = DayTrades(bought=2, spent=200, sold=2, earned=230)
    assert change_of_day(0, gone, price=None, base=None) == 30
    assert change_of_day(0, DayTrades(sold=1, earned=90), price=None, base=None) is None
