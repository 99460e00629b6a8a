"""Tests of the rules that decide which trade prices meet an alert's bound."""

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
def test_target_approach_depends_on_last_price_and_other_bounds_are_fixed(
    kind: AlertKind, last: int | None, expected: Approach
) -> None:
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
def test_first_trade_determines_approach_of_an_unknown_target(
    price: int, base: int | None, expected: Approach, met: bool
) -> None:
    """The base price decides first: a stock that opens beyond the target has passed through it."""
    approach = approach_by_first_trade(70_000, price, base)
    assert approach is expected
    assert is_met(approach, 70_000, price) is met


@given(bound=PRICE, last=PRICE, price=PRICE)
def test_target_is_met_only_at_or_beyond_the_bound_from_the_last_price(
    bound: int, last: int, price: int
) -> None:
    approach = approach_when_armed(AlertKind.TARGET, bound, last)
    if approach is not UNKNOWN:
        assert is_met(approach, bound, price) == ((price - bound) * (last - bound) <= 0)
