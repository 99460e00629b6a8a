"""Rates on whole won: one function, one named rounding."""

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
def test_a_rate_is_rounded_down_to_the_won(amount: int, ppm: int, won: int) -> None:
    """Worked examples: 0.015 % of 6,667 won is the first that costs a won."""
    assert rate_rounded_down(amount, ppm) == won


@given(AMOUNTS, RATES)
def test_rounding_down_never_reaches_the_next_won(amount: int, ppm: int) -> None:
    """The result is the exact product less a fraction of one won, for any amount and rate."""
    assert 0 <= Fraction(amount * ppm, 1_000_000) - rate_rounded_down(amount, ppm) < 1


@given(AMOUNTS, AMOUNTS, RATES)
def test_parts_never_cost_more_than_the_whole(one: int, other: int, ppm: int) -> None:
    """Splitting an amount can save a won by rounding but never cost one."""
    whole = rate_rounded_down(one + other, ppm)
    assert whole - 1 <= rate_rounded_down(one, ppm) + rate_rounded_down(other, ppm) <= whole


@given(AMOUNTS, st.integers(0, 10_000))
def test_a_raise_is_rounded_up(amount: int, basis_points: int) -> None:
    """A raised amount is never below the exact one and less than a won above it."""
    exact = Fraction(amount * (10_000 + basis_points), 10_000)
    assert 0 <= raised_by_basis_points(amount, basis_points) - exact < 1


@pytest.mark.parametrize(("amount", "ppm"), [(-1, 150), (1, -150)])
def test_a_negative_amount_or_rate_is_a_fault(amount: int, ppm: int) -> None:
    """Rounding down a negative would round away from zero unnoticed, so it is refused."""
    with pytest.raises(ValueError, match="never negative"):
        rate_rounded_down(amount, ppm)
