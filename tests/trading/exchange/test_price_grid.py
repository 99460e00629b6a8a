"""The exchange's price grid and daily price limits."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.exchange.price_grid import (
    Market,
    StockKind,
    ceil_to_grid,
    daily_price_range,
    floor_to_grid,
    is_on_grid,
    limit_percent,
    nearest_prices,
    tick_size,
    tick_table,
)

KINDS = st.sampled_from(["STOCK", "ETF", "ETN"])
PRICES = st.integers(1, 5_000_000)
MARKETS = st.sampled_from(["KOSPI", "KOSDAQ", "KONEX"])


@pytest.mark.parametrize(
    ("bound", "below", "from_here"),
    [
        (2_000, 1, 5),
        (5_000, 5, 10),
        (20_000, 10, 50),
        (50_000, 50, 100),
        (200_000, 100, 500),
        (500_000, 500, 1_000),
    ],
)
def test_bound_belongs_to_the_coarser_step(bound: int, below: int, from_here: int) -> None:
    assert (tick_size(bound - 1), tick_size(bound)) == (below, from_here)


@pytest.mark.parametrize("kind", ["ETF", "ETN"])
def test_etf_and_etn_have_steps_of_one_and_five_won(kind: StockKind) -> None:
    assert [tick_size(price, kind) for price in (1, 1_999, 2_000, 499_999, 900_000)] == [
        1,
        1,
        5,
        5,
        5,
    ]


def test_lowest_and_highest_prices_have_a_step() -> None:
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
def test_daily_limits_published_by_the_exchange(base: int, lower: int, upper: int) -> None:
    """The width is rounded down to the base's step, the upper limit to its own: 2,050 and not
    2,052, 46,000 and not 45,950.
    """
    assert daily_price_range(base) == (lower, upper)


def test_konex_limits_are_15_percent() -> None:
    assert daily_price_range(10_000, market="KONEX") == (8_500, 11_500)


@given(PRICES, KINDS, MARKETS)
def test_limits_are_legal_prices_around_the_base(
    price: int, kind: StockKind, market: Market
) -> None:
    """Neither is beyond the percentage."""
    base = floor_to_grid(price, kind)

    lower, upper = daily_price_range(base, kind, market)

    assert 1 <= lower <= base <= upper
    assert is_on_grid(lower, kind)
    assert is_on_grid(upper, kind)
    assert (upper - base) * 100 <= base * limit_percent(market)
    assert (base - lower) * 100 <= base * limit_percent(market)


@given(PRICES, KINDS, MARKETS)
def test_limits_exclude_no_legal_price_within_their_width(
    price: int, kind: StockKind, market: Market
) -> None:
    """One step further out is beyond the percentage, up to the base's step by which the width is
    rounded down.
    """
    base = floor_to_grid(price, kind)

    lower, upper = daily_price_range(base, kind, market)

    width = base * limit_percent(market) // 100
    assert upper + tick_size(upper, kind) > base + width - tick_size(base, kind)
    assert lower - tick_size(base, kind) < base - width


@given(PRICES, KINDS, MARKETS)
def test_base_between_two_prices_counts_as_the_upper_one(
    price: int, kind: StockKind, market: Market
) -> None:
    assert daily_price_range(price, kind, market) == daily_price_range(
        ceil_to_grid(price, kind), kind, market
    )


@given(PRICES, KINDS)
def test_rounding_down_returns_the_highest_legal_price_below(price: int, kind: StockKind) -> None:
    """Less than one step away; flooring again changes nothing."""
    floored = floor_to_grid(price, kind)
    assert 0 <= price - floored < tick_size(price, kind)
    assert floored % tick_size(floored, kind) == 0
    assert floor_to_grid(floored, kind) == floored


@given(PRICES, KINDS)
def test_ceiling_returns_the_lowest_legal_price_above(price: int, kind: StockKind) -> None:
    """Less than one step away, also where a coarser step begins."""
    ceiled = ceil_to_grid(price, kind)
    assert 0 <= ceiled - price < tick_size(price, kind)
    assert is_on_grid(ceiled, kind)
    assert ceil_to_grid(ceiled, kind) == ceiled


@pytest.mark.parametrize(
    ("close", "base"), [(2_087, 2_090), (2_102, 2_105), (2_105, 2_105), (19_995, 20_000)]
)
def test_off_grid_close_becomes_the_next_base_price(close: int, base: int) -> None:
    """As on 12 of 12 such days in March 2026."""
    assert ceil_to_grid(close) == base


@given(st.integers(-10, 5_000_000), KINDS)
def test_nearest_prices_are_legal_with_no_legal_price_in_between(
    price: int, kind: StockKind
) -> None:
    """A legal price is its own only neighbour; there is none below one won."""
    nearest = nearest_prices(price, kind)

    assert all(is_on_grid(near, kind) for near in nearest)
    assert all(nearest_prices(near, kind) == (near,) for near in nearest)
    if is_on_grid(price, kind) or price < 1:
        assert nearest == (max(price, 1),)
    else:
        below, above = nearest
        assert below < price < above
        assert not any(is_on_grid(between, kind) for between in range(below + 1, above))


@given(PRICES, KINDS, MARKETS, st.fractions(0, 1))
def test_nearest_prices_of_a_price_within_the_limits_are_within_them(
    base: int, kind: StockKind, market: Market, part: Fraction
) -> None:
    """So the prices offered by an error can be ordered."""
    lower, upper = daily_price_range(base, kind, market)
    price = lower + int((upper - lower) * part)

    for near in nearest_prices(price, kind):
        assert is_on_grid(near, kind)
        assert lower <= near <= upper


@pytest.mark.parametrize(
    ("price", "kind", "nearest"),
    [
        (70_050, "STOCK", (70_000, 70_100)),
        (70_100, "STOCK", (70_100,)),
        (49_999, "STOCK", (49_950, 50_000)),
        (499_999, "STOCK", (499_500, 500_000)),
        (2_001, "ETF", (2_000, 2_005)),
        (1_999, "ETF", (1_999,)),
        (0, "STOCK", (1,)),
        (-7, "STOCK", (1,)),
    ],
)
def test_nearest_prices_of_a_refused_price(
    price: int, kind: StockKind, nearest: tuple[int, ...]
) -> None:
    """Also across a bound of the table."""
    assert nearest_prices(price, kind) == nearest


@given(PRICES, KINDS)
def test_published_table_gives_the_step_of_every_price(price: int, kind: StockKind) -> None:
    assert tick_size(price, kind) == next(
        step for since, step in reversed(tick_table(kind)) if price >= since
    )


@pytest.mark.parametrize("base", [0, -5])
def test_non_positive_base_price_raises(base: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        daily_price_range(base)
