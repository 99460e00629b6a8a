"""Fills at the last trade, and slippage."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.exchange.order_types import Side
from trading.exchange.price_grid import LimitRules, PriceRange, daily_price_range
from trading.orders.fill_price import (
    Fill,
    FillRule,
    Postponement,
    TickEvidence,
    apply_slippage,
    fill_at_last_trade,
    is_met,
)

PRICES = st.integers(1, 2_000_000)


def tick(price: int = 70_000, age_ms: int = 0, session: str | None = "REGULAR") -> TickEvidence:
    return TickEvidence(price=price, age_ms=age_ms, session=session)


@pytest.mark.parametrize(
    ("age", "fills"), [(0, True), (9_999, True), (10_000, True), (10_001, False)]
)
def test_tick_fills_up_to_the_freshness_limit(age: int, fills: bool) -> None:
    decision = fill_at_last_trade(Side.BUY, None, tick(age_ms=age), freshness_ms=10_000)
    assert decision == (
        Fill(70_000, FillRule.MARKET_AT_LAST_TRADE) if fills else Postponement.STALE_TICK
    )


def test_nothing_fills_without_a_tick_or_a_session() -> None:
    assert fill_at_last_trade(Side.BUY, None, None, freshness_ms=10_000) is Postponement.NO_TICK
    assert (
        fill_at_last_trade(Side.BUY, None, tick(session=None), freshness_ms=10_000)
        is Postponement.CLOSED_SESSION
    )


@given(st.sampled_from(Side), PRICES, PRICES)
def test_marketable_limit_order_fills_at_the_market_and_never_beyond_its_limit(
    side: Side, limit: int, price: int
) -> None:
    decision = fill_at_last_trade(side, limit, tick(price), freshness_ms=10_000)
    if is_met(side, limit, price):
        assert decision == Fill(price, FillRule.LIMIT_AT_LAST_TRADE)
        assert (limit - price) * (1 if side is Side.BUY else -1) >= 0
    else:
        assert decision is Postponement.PRICE_NOT_MET


@given(PRICES, PRICES)
def test_every_price_meets_a_buy_or_a_sale_at_the_same_limit(limit: int, price: int) -> None:
    """Both only at the limit itself."""
    assert is_met(Side.BUY, limit, price) or is_met(Side.SELL, limit, price)
    assert (is_met(Side.BUY, limit, price) and is_met(Side.SELL, limit, price)) == (limit == price)


@given(st.sampled_from(Side), st.integers(100, 2_000_000), st.integers(0, 10), st.booleans())
def test_slippage_is_against_the_trader_and_within_the_days_limits(
    side: Side, base: int, ticks: int, bounded: bool
) -> None:
    """More steps never give a better price; limits apply if the trade was inside them."""
    limits = daily_price_range(base, LimitRules(), day=date(2026, 11, 20)) if bounded else None
    price = apply_slippage(side, base, ticks=ticks, kind="STOCK", limits=limits)
    further = apply_slippage(side, base, ticks=ticks + 1, kind="STOCK", limits=limits)
    sign = 1 if side is Side.BUY else -1
    assert 0 <= (price - base) * sign <= (further - base) * sign
    assert ticks or price == base
    if limits:
        assert limits.lower <= price <= limits.upper


def test_slippage_examples() -> None:
    """Steps follow the grid across its bounds; limits never improve a trade outside them."""
    assert apply_slippage(Side.BUY, 49_950, ticks=2, kind="STOCK", limits=None) == 50_100
    assert apply_slippage(Side.SELL, 50_000, ticks=2, kind="STOCK", limits=None) == 49_900
    assert apply_slippage(Side.SELL, 1, ticks=1, kind="STOCK", limits=None) == 1
    assert (
        apply_slippage(Side.BUY, 130_000, ticks=1, kind="STOCK", limits=PriceRange(70_000, 129_900))
        == 130_000
    )
