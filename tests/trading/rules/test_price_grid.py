"""The exchange's price grid and the day's limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.rules.price_grid import Market, StockKind, daily_price_range, floor_to_grid, tick_size

KINDS = st.sampled_from(["STOCK", "ETF", "ETN"])
PRICES = st.integers(1, 5_000_000)
MARKETS = st.sampled_from(["KOSPI", "KOSDAQ", "KONEX"])


@pytest.mark.parametrize(
    ("bound", "below", "from_here"),
    [(2_000, 1, 5), (5_000, 5, 10), (20_000, 10, 50), (50_000, 50, 100), (200_000, 100, 500), (500_000, 500, 1_000)],
)
def test_a_bound_belongs_to_the_coarser_step(bound: int, below: int, from_here: int) -> None:
    """One won below each bound of the table the finer step holds, at the bound the coarser one."""
    assert (tick_size(bound - 1), tick_size(bound)) == (below, from_here)


@pytest.mark.parametrize("kind", ["ETF", "ETN"])
def test_funds_step_by_one_then_by_five(kind: StockKind) -> None:
    """ETF and ETN know one bound only, however dear they are."""
    assert [tick_size(price, kind) for price in (1, 1_999, 2_000, 499_999, 900_000)] == [1, 1, 5, 5, 5]


def test_the_table_begins_at_one_won_and_has_no_end() -> None:
    """The cheapest and the dearest prices have a step too."""
    assert (tick_size(1), tick_size(1_500_000)) == (1, 1_000)


@pytest.mark.parametrize(
    ("base", "lower", "upper"),
    [
        (1_579, 1_106, 2_050),
        (4_245, 2_975, 5_510),
        (19_030, 13_330, 24_700),
        (65_600, 46_000, 85_200),
        (99_000, 69_300, 128_700),
        (1, 1, 1),
    ],
)
def test_daily_limits_as_the_exchange_printed_them(base: int, lower: int, upper: int) -> None:
    """The width is rounded down to the base's step, the upper limit to its own: 2,050 and not 2,052, 46,000 and not 45,950."""
    assert daily_price_range(base) == (lower, upper)


def test_konex_moves_half_as_far() -> None:
    """KONEX has ±15 %."""
    assert daily_price_range(10_000, market="KONEX") == (8_500, 11_500)


@given(PRICES, KINDS, MARKETS)
def test_every_limit_is_a_legal_price_around_the_base(price: int, kind: StockKind, market: Market) -> None:
    """For any legal base price: lower ≤ base ≤ upper, both on the grid, neither beyond the percentage."""
    base = floor_to_grid(price, kind)
    percent = 15 if market == "KONEX" else 30

    lower, upper = daily_price_range(base, kind, market)

    assert 1 <= lower <= base <= upper
    assert floor_to_grid(lower, kind) == lower
    assert floor_to_grid(upper, kind) == upper
    assert (upper - base) * 100 <= base * percent
    assert (base - lower) * 100 <= base * percent


@given(PRICES, KINDS)
def test_flooring_lands_on_the_highest_legal_price_below(price: int, kind: StockKind) -> None:
    """A floored price is legal, not above, and less than one step away; flooring again changes nothing."""
    floored = floor_to_grid(price, kind)
    assert 0 <= price - floored < tick_size(price, kind)
    assert floored % tick_size(floored, kind) == 0
    assert floor_to_grid(floored, kind) == floored


@pytest.mark.parametrize("base", [0, -5])
def test_a_base_price_is_positive(base: int) -> None:
    """Limits around nothing are a fault."""
    with pytest.raises(ValueError, match="positive"):
        daily_price_range(base)
