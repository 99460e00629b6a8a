"""The exchange's price grid: tick sizes and daily price limits, in won.

Tick sizes: KRX 업무규정, in force since 2023-01-25; ETF and ETN since December 2023. Limits: ±30 % since 2015-06-15, KONEX ±15 %.
"""

from bisect import bisect_right
from typing import Literal, NamedTuple

StockKind = Literal["STOCK", "ETF", "ETN"]
Market = Literal["KOSPI", "KOSDAQ", "KONEX"]

_STOCK_BOUNDS = (2_000, 5_000, 20_000, 50_000, 200_000, 500_000)
_STOCK_TICKS = (1, 5, 10, 50, 100, 500, 1_000)
_FUND_BOUNDS = (2_000,)
_FUND_TICKS = (1, 5)


class PriceRange(NamedTuple):
    """The lowest and the highest price of a day, both legal, in won."""

    lower: int
    upper: int


def tick_size(price: int, kind: StockKind = "STOCK") -> int:
    """The step between legal order prices at ``price``; a boundary belongs to the coarser step (2,000 won steps by 5)."""
    if kind == "STOCK":
        return _STOCK_TICKS[bisect_right(_STOCK_BOUNDS, price)]
    return _FUND_TICKS[bisect_right(_FUND_BOUNDS, price)]


def floor_to_grid(price: int, kind: StockKind = "STOCK") -> int:
    """The highest grid price that is not above ``price``."""
    return price - price % tick_size(price, kind)


def daily_price_range(base_price: int, kind: StockKind = "STOCK", market: Market = "KOSPI") -> PriceRange:
    """The day's limits around ``base_price``.

    The width is rounded down to the base price's tick; the upper limit is then rounded down to its own, coarser, tick.
    The lower limit lies on the finer grid already. Verified against every limit close of KRX from 2026-03-09 to 03-20.
    """
    if base_price <= 0:
        raise ValueError("A base price is positive.")
    percent = 15 if market == "KONEX" else 30
    step = tick_size(base_price, kind)
    width = base_price * percent // 100 // step * step
    return PriceRange(lower=max(base_price - width, 1), upper=floor_to_grid(base_price + width, kind))
