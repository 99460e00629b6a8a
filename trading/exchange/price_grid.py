"""The exchange's price grid: tick sizes and daily price limits, in won.

Tick sizes: KRX 업무규정, in force since 2023-01-25; ETF and ETN since December 2023.
Limits: ±30 % since 2015-06-15, KONEX ±15 %.
"""

from bisect import bisect_right
from datetime import date
from typing import Literal, NamedTuple

StockKind = Literal["STOCK", "ETF", "ETN"]
Market = Literal["KOSPI", "KOSDAQ", "KONEX"]

_STOCK_BOUNDS = (2_000, 5_000, 20_000, 50_000, 200_000, 500_000)
_STOCK_TICKS = (1, 5, 10, 50, 100, 500, 1_000)
_FUND_BOUNDS = (2_000,)
_FUND_TICKS = (1, 5)

# The first day of the current grid; earlier grids are not kept. The grid of funds was announced for
# 8, 11 and 18 December.
GRID_SINCE: dict[StockKind, date] = {
    "STOCK": date(2023, 1, 25),
    "ETF": date(2023, 12, 18),
    "ETN": date(2023, 12, 18),
}


class PriceRange(NamedTuple):
    """The lowest and the highest legal price of a day, in won."""

    lower: int
    upper: int


def tick_size(price: int, kind: StockKind = "STOCK") -> int:
    """Return the step between legal order prices at ``price``, in won.

    A boundary belongs to the coarser step (2,000 won steps by 5).
    """
    if kind == "STOCK":
        return _STOCK_TICKS[bisect_right(_STOCK_BOUNDS, price)]
    return _FUND_TICKS[bisect_right(_FUND_BOUNDS, price)]


def floor_to_grid(price: int, kind: StockKind = "STOCK") -> int:
    """Return the highest grid price that is not above ``price``."""
    return price - price % tick_size(price, kind)


def ceil_to_grid(price: int, kind: StockKind = "STOCK") -> int:
    """Return the lowest grid price that is not below ``price``.

    The exchange turns an off-grid close into a base price this way (2,087 into 2,090).
    """
    step = tick_size(price, kind)
    return -(-price // step) * step


def is_on_grid(price: int, kind: StockKind = "STOCK") -> bool:
    """Return True if ``price`` is a positive multiple of its tick size."""
    return price > 0 and price % tick_size(price, kind) == 0


def nearest_prices(price: int, kind: StockKind = "STOCK") -> tuple[int, ...]:
    """Return the nearest legal prices below and above ``price``, ascending.

    ``price`` alone if it is legal itself, 1 alone if it is below 1.
    """
    if price < 1:
        return (1,)
    # Every bound of the table is a multiple of the steps on both its sides, so rounding up never
    # crosses one.
    return tuple(sorted({floor_to_grid(price, kind), ceil_to_grid(price, kind)}))


def daily_price_range(
    base_price: int, kind: StockKind = "STOCK", market: Market = "KOSPI"
) -> PriceRange:
    """Return the day's price limits around ``base_price``. Raise ValueError if it is not positive.

    A base price between two grid prices counts as the upper one. The width is rounded down to the
    base price's tick; the upper limit is then rounded down to its own, coarser tick. The lower
    limit is on the finer grid already. Verified against every limit close of KRX from 2026-03-09 to
    03-20.
    """
    if base_price <= 0:
        raise ValueError("A base price is positive.")
    base_price = ceil_to_grid(base_price, kind)
    step = tick_size(base_price, kind)
    width = base_price * limit_percent(market) // 100 // step * step
    return PriceRange(
        lower=max(base_price - width, 1), upper=floor_to_grid(base_price + width, kind)
    )


def limit_percent(market: Market) -> int:
    """Return how far a day's prices may be from the base price, in percent."""
    return 15 if market == "KONEX" else 30


def tick_table(kind: StockKind) -> tuple[tuple[int, int], ...]:
    """Return the grid as (first price, tick size) pairs in won, ascending."""
    bounds, ticks = (
        (_STOCK_BOUNDS, _STOCK_TICKS) if kind == "STOCK" else (_FUND_BOUNDS, _FUND_TICKS)
    )
    return tuple(zip((1, *bounds), ticks, strict=True))
