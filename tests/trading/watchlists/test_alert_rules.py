"""Which prices meet a bound, from where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.watchlists.alert_rules import (
    AlertKind,
    Approach,
    approach_by_first_trade,
    approach_when_armed,
    is_met,
)

BELOW, ABOVE, UNKNOWN = Approach.FROM_BELOW, Approach.FROM_ABOVE, Approach.UNKNOWN
PRICE = st.integers(1, 10**9)


@pytest.mark.parametrize(
    ("kind", "last", "expected"),
    [
        (AlertKind.TARGET, 69_999, BELOW),
        (AlertKind.TARGET, 70_001, ABOVE),
        (AlertKind.TARGET, 70_000, UNKNOWN),
        (AlertKind.TARGET, None, UNKNOWN),
        (AlertKind.UPPER, 80_000, BELOW),
        (AlertKind.UPPER, None, BELOW),
        (AlertKind.LOWER, 60_000, ABOVE),
        (AlertKind.LOWER, None, ABOVE),
    ],
)
def test_a_target_is_approached_from_where_the_price_is(
    kind: AlertKind, last: int | None, expected: Approach
) -> None:
    """An upper bound always from below and a lower one always from above, wherever the price stands."""
    assert approach_when_armed(kind, 70_000, last) is expected


@pytest.mark.parametrize(
    ("price", "base", "expected", "met"),
    [
        (73_000, 69_000, BELOW, True),
        (69_500, 69_000, BELOW, False),
        (67_000, 71_000, ABOVE, True),
        (73_000, 71_000, ABOVE, False),
        (73_000, None, ABOVE, False),
        (73_000, 70_000, ABOVE, False),
        (67_000, 70_000, BELOW, False),
        (70_000, 70_000, BELOW, True),
        (70_000, None, BELOW, True),
    ],
)
def test_the_first_trade_tells_the_side_of_a_target(
    price: int, base: int | None, expected: Approach, met: bool
) -> None:
    """By the day's base price: a stock that opens beyond the target has come through it."""
    approach = approach_by_first_trade(70_000, price, base)
    assert approach is expected
    assert is_met(approach, 70_000, price) is met


@given(bound=PRICE, last=PRICE, price=PRICE)
def test_a_target_is_not_met_on_its_own_side(bound: int, last: int, price: int) -> None:
    """Whatever the price was, a trade meets the target exactly if it is not strictly on the side where that was."""
    approach = approach_when_armed(AlertKind.TARGET, bound, last)
    if approach is not UNKNOWN:
        assert is_met(approach, bound, price) == ((price - bound) * (last - bound) <= 0)
