"""Rates on whole won, and their rounding."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.money import raised_by_basis_points, rate_rounded_down

AMOUNTS = st.integers(0, 10**15)
RATES = st.integers(0, 1_000_000)


@pytest.mark.parametrize(
    ("amount", "ppm", "won"),
    [
        (700_000, 150, 105),
        (6_666, 150, 0),
        (6_667, 150, 1),
        (0, 150, 0),
        (1, 999_999, 0),
        (10**15, 150, 150 * 10**9),
    ],
)
def test_rate_is_rounded_down_to_the_won(amount: int, ppm: int, won: int) -> None:
    """At 0.015 %, 6,667 won is the lowest amount that costs one won."""
    assert rate_rounded_down(amount, ppm) == won


@given(AMOUNTS, RATES)
def test_rounding_down_loses_less_than_one_won(amount: int, ppm: int) -> None:
    assert 0 <= Fraction(amount * ppm, 1_000_000) - rate_rounded_down(amount, ppm) < 1


@given(AMOUNTS, AMOUNTS, RATES)
def test_sum_of_parts_never_costs_more_than_the_whole(one: int, other: int, ppm: int) -> None:
    whole = rate_rounded_down(one + other, ppm)
    assert whole - 1 <= rate_rounded_down(one, ppm) + rate_rounded_down(other, ppm) <= whole


@given(AMOUNTS, st.integers(0, 10_000))
def test_raise_is_rounded_up(amount: int, basis_points: int) -> None:
    exact = Fraction(amount * (10_000 + basis_points), 10_000)
    assert 0 <= raised_by_basis_points(amount, basis_points) - exact < 1


@pytest.mark.parametrize(("amount", "ppm"), [(-1, 150), (1, -150)])
def test_negative_amount_or_rate_raises(amount: int, ppm: int) -> None:
    """Rounding a negative number down would round away from zero."""
    with pytest.raises(ValueError, match="never negative"):
        rate_rounded_down(amount, ppm)
