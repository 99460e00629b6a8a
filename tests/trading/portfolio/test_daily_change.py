"""Today's change of a stock: any day's trades, held against the shares gone through one by one."""

from hypothesis import given
from hypothesis import strategies as st

from trading.portfolio.daily_change import DayTrades, change_of_day, change_of_held

PRICES = st.integers(1, 10**6)


@st.composite
def days(draw: st.DrawFn) -> tuple[int, DayTrades]:
    """Shares held at the end of a day, and the day's trades."""
    before, bought = draw(st.integers(0, 50)), draw(st.integers(0, 50))
    sold = draw(st.integers(0, before + bought))
    spent = draw(st.integers(bought, bought * 10**6)) if bought else 0
    earned = draw(st.integers(0, sold * 10**6)) if sold else 0
    return before + bought - sold, DayTrades(bought, spent, sold, earned)


@given(day=days(), price=PRICES, base=PRICES)
def test_the_longest_held_are_sold_first_and_todays_cost_their_average(
    day: tuple[int, DayTrades], price: int, base: int
) -> None:
    """A queue of shares, old ones at the base and today's at their average, from whose head the sold ones go."""
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
    # The average is no whole won; what it leaves stays with the shares that are held.
    assert 0 <= exact - change * trades.bought < max(trades.bought, 1)


@given(day=days(), price=PRICES, base=PRICES)
def test_the_days_change_is_the_change_of_worth(
    day: tuple[int, DayTrades], price: int, base: int
) -> None:
    """Shares now less shares then, and the cash that moved."""
    quantity, trades = day
    before = quantity - trades.bought + trades.sold
    worth_then, worth_now = before * base, quantity * price - trades.spent + trades.earned
    assert change_of_day(quantity, trades, price=price, base=base) == worth_now - worth_then


@given(day=days(), price=PRICES, base=PRICES)
def test_without_a_sale_both_are_the_same(
    day: tuple[int, DayTrades], price: int, base: int
) -> None:
    quantity, trades = day
    held = DayTrades(trades.bought, trades.spent)
    quantity += trades.sold
    of_held = change_of_held(quantity, held, price=price, base=base)
    assert of_held == change_of_day(quantity, held, price=price, base=base)


def test_what_is_not_known_is_not_made_up() -> None:
    """A base price is needed for shares from before today alone, a price for shares that are held."""
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
