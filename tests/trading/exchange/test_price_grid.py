"""The exchange's price grid and daily price limits."""

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.exchange.price_grid import (
    LEVERAGE_PERCENT_MAX,
    LimitRules,
    PriceRange,
    StockKind,
    ceil_to_grid,
    daily_price_range,
    floor_to_grid,
    is_on_grid,
    limit_percents,
    nearest_prices,
    tick_size,
    tick_table,
)

KINDS = st.sampled_from(["STOCK", "ETF", "ETN"])
PRICES = st.integers(1, 5_000_000)
MARKETS = st.sampled_from(["KOSPI", "KOSDAQ", "KONEX"])
DAY = date(2026, 11, 20)
LEVERAGES = st.integers(-LEVERAGE_PERCENT_MAX, LEVERAGE_PERCENT_MAX).filter(bool)
# Every regime that has limits.
RULES = st.builds(
    LimitRules,
    kind=KINDS,
    market=MARKETS,
    leverage_percent=LEVERAGES,
    listed_on=st.sampled_from([None, DAY, DAY - timedelta(days=1)]),
    in_liquidation=st.just(False),
)


def limits_of(base: int, rules: LimitRules = LimitRules(), *, day: date = DAY) -> tuple[int, int]:  # noqa: B008 - immutable
    limits = daily_price_range(base, rules, day=day)
    assert limits is not None
    assert limits.upper is not None
    return limits.lower, limits.upper


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
    assert limits_of(base) == (lower, upper)


def test_konex_limits_are_15_percent() -> None:
    assert limits_of(10_000, LimitRules(market="KONEX")) == (8_500, 11_500)


@pytest.mark.parametrize(
    ("kind", "leverage_percent", "base", "lower", "upper"),
    [
        ("ETF", 200, 20_000, 8_000, 32_000),
        ("ETF", -200, 20_000, 8_000, 32_000),
        ("ETF", -100, 20_000, 14_000, 26_000),
        ("ETF", 100, 20_000, 14_000, 26_000),
        ("ETN", 300, 10_000, 1_000, 19_000),
        ("ETN", 150, 10_000, 5_500, 14_500),
        ("ETN", 50, 10_000, 7_000, 13_000),
        # 60 % of 1,333 is 799.8, of 8,885 is 5,331 and off the grid of 5.
        ("ETF", 200, 1_333, 534, 2_130),
        ("ETF", 200, 8_885, 3_555, 14_215),
    ],
)
def test_limits_of_a_leveraged_fund_are_its_multiple_as_wide(
    kind: StockKind, leverage_percent: int, base: int, lower: int, upper: int
) -> None:
    rules = LimitRules(kind=kind, leverage_percent=leverage_percent)
    assert limits_of(base, rules) == (lower, upper)


@pytest.mark.parametrize(
    ("offer", "lower", "upper"),
    [
        (10_000, 6_000, 40_000),
        (8_500, 5_100, 34_000),
        (11_500, 6_900, 46_000),
        (26_000, 15_600, 104_000),
        (1_999, 1_200, 7_990),
        (1, 1, 4),
    ],
)
def test_first_day_of_a_listing_has_60_to_400_percent(offer: int, lower: int, upper: int) -> None:
    rules = LimitRules(listed_on=DAY)
    assert limits_of(offer, rules) == (lower, upper)
    assert limits_of(offer, rules, day=DAY + timedelta(days=1)) == limits_of(offer)
    assert limits_of(offer, rules, day=DAY - timedelta(days=1)) == limits_of(offer)


def test_first_day_of_a_fund_has_the_usual_limits() -> None:
    assert limits_of(10_000, LimitRules(kind="ETF", listed_on=DAY)) == (7_000, 13_000)


def test_first_days_before_june_2023_had_the_usual_limits() -> None:
    """The earlier regime, 90–200 % by an auction, is not kept."""
    before, since = date(2023, 6, 23), date(2023, 6, 26)
    assert limits_of(10_000, LimitRules(listed_on=before), day=before) == (7_000, 13_000)
    assert limits_of(10_000, LimitRules(listed_on=since), day=since) == (6_000, 40_000)


@given(st.none() | PRICES, RULES)
def test_liquidation_trading_has_no_limit_but_one_won(base: int | None, rules: LimitRules) -> None:
    limits = daily_price_range(base, rules._replace(in_liquidation=True), day=DAY)

    assert limits == PriceRange(1, None)
    assert limits.contains(1)
    assert limits.contains(10**9)
    assert not limits.contains(0)
    assert limits.clamp(-3) == 1
    assert limits.clamp(10**9) == 10**9


@given(RULES)
def test_limits_of_an_unknown_base_price_are_unknown(rules: LimitRules) -> None:
    assert daily_price_range(None, rules, day=DAY) is None


@given(PRICES, RULES)
def test_limits_are_legal_prices_around_the_base(price: int, rules: LimitRules) -> None:
    """Neither is beyond the percentage."""
    base = floor_to_grid(price, rules.kind)

    lower, upper = limits_of(base, rules)

    lower_percent, upper_percent = limit_percents(rules, day=DAY)
    assert 1 <= lower <= base <= upper
    assert is_on_grid(lower, rules.kind)
    assert is_on_grid(upper, rules.kind)
    assert upper * 100 <= base * upper_percent
    assert lower * 100 >= base * lower_percent


@given(PRICES, RULES)
def test_limits_exclude_no_legal_price_within_their_width(price: int, rules: LimitRules) -> None:
    """One step further out is beyond the percentage, up to the base's step by which the width is
    rounded down.
    """
    base = floor_to_grid(price, rules.kind)
    step = tick_size(base, rules.kind)

    lower, upper = limits_of(base, rules)

    lower_percent, upper_percent = limit_percents(rules, day=DAY)
    assert (upper + tick_size(upper, rules.kind) + step) * 100 > base * upper_percent
    assert lower == 1 or (lower - step) * 100 < base * lower_percent


@given(PRICES, RULES, st.integers(-5, 3_000_000))
def test_range_contains_the_prices_that_it_does_not_clamp(
    base: int, rules: LimitRules, price: int
) -> None:
    limits = daily_price_range(base, rules, day=DAY)

    assert limits is not None
    assert limits.contains(limits.clamp(price))
    assert limits.contains(price) == (limits.clamp(price) == price)


@given(PRICES, RULES)
def test_base_between_two_prices_counts_as_the_upper_one(price: int, rules: LimitRules) -> None:
    assert limits_of(price, rules) == limits_of(ceil_to_grid(price, rules.kind), rules)


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


@given(PRICES, RULES, st.fractions(0, 1))
def test_nearest_prices_of_a_price_within_the_limits_are_within_them(
    base: int, rules: LimitRules, part: Fraction
) -> None:
    """So the prices offered by an error can be ordered."""
    lower, upper = limits_of(base, rules)
    price = lower + int((upper - lower) * part)

    for near in nearest_prices(price, rules.kind):
        assert is_on_grid(near, rules.kind)
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
        daily_price_range(base, LimitRules(), day=DAY)
