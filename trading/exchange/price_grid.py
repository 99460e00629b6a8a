"""The exchange's price grid: tick sizes and daily price limits, in won.

Tick sizes: KRX 업무규정, in force since 2023-01-25; ETF and ETN since December 2023.
Limits: ±30 % since 2015-06-15, KONEX ±15 %; times its leverage for a leveraged or inverse fund;
60–400 % of the offer price on the first day of a new listing since 2023-06-26; none in liquidation
trading.
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


# The largest multiple of its index that a fund may follow, in percent. Inverse ones are negative.
LEVERAGE_PERCENT_MAX = 300
# The first day on which a new listing trades at 60–400 % of its offer price.
LISTING_DAY_RULE_SINCE = date(2023, 6, 26)
LISTING_DAY_PERCENTS = (60, 400)
_LIMIT_PERCENTS: dict[Market, int] = {"KOSPI": 30, "KOSDAQ": 30, "KONEX": 15}


class PriceRange(NamedTuple):
    """The lowest and highest legal price of a day in won; ``upper`` is None without a limit."""

    lower: int
    upper: int | None

    def contains(self, price: int) -> bool:
        return self.lower <= price and (self.upper is None or price <= self.upper)

    def clamp(self, price: int) -> int:
        """Return the price of the range that is nearest to ``price``."""
        raised = max(price, self.lower)
        return raised if self.upper is None else min(raised, self.upper)


class LimitRules(NamedTuple):
    """The master data of a stock that decide its daily price limits.

    ``leverage_percent`` is the multiple of its index that a fund follows: 200 for twice, -200 for
    twice inverse. ``listed_on`` is the first trading day, if known. A stock in liquidation has no
    limits.
    """

    kind: StockKind = "STOCK"
    market: Market = "KOSPI"
    leverage_percent: int = 100
    listed_on: date | None = None
    in_liquidation: bool = False

    def is_listing_day(self, day: date) -> bool:
        """Return True if the limits of a first day apply: to new shares, not to funds."""
        return self.kind == "STOCK" and day == self.listed_on and day >= LISTING_DAY_RULE_SINCE


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


def daily_price_range(base_price: int | None, rules: LimitRules, *, day: date) -> PriceRange | None:
    """Return the legal prices of a stock on a trading day; None if they cannot be known.

    ``base_price`` (won) is that of this day, None if it is not known yet: then only liquidation
    trading has a known range. Raise ValueError if it is not positive.

    A base price between two grid prices counts as the upper one. The widths are rounded down to the
    base price's tick; the upper limit is then rounded down to its own, coarser tick. The lower
    limit is on the finer grid already. Verified against every limit close of KRX from 2026-03-09 to
    03-20.
    """
    if base_price is not None and base_price <= 0:
        raise ValueError("A base price is positive.")
    if rules.in_liquidation:
        return PriceRange(lower=1, upper=None)
    if base_price is None:
        return None
    base_price = ceil_to_grid(base_price, rules.kind)
    step = tick_size(base_price, rules.kind)
    lower, upper = limit_percents(rules, day=day)
    down = base_price * (100 - lower) // 100 // step * step
    up = base_price * (upper - 100) // 100 // step * step
    return PriceRange(
        lower=max(base_price - down, 1), upper=floor_to_grid(base_price + up, rules.kind)
    )


def limit_percents(rules: LimitRules, *, day: date) -> tuple[int, int]:
    """Return the lowest and highest price of a day in percent of the base price.

    Liquidation trading is not considered.
    """
    if rules.is_listing_day(day):
        return LISTING_DAY_PERCENTS
    width = limit_percent(rules.market) * max(abs(rules.leverage_percent), 100) // 100
    return max(100 - width, 0), 100 + width


def limit_percent(market: Market) -> int:
    """Return how far a day's prices may be from the base price on a usual day, in percent."""
    return _LIMIT_PERCENTS[market]


def tick_table(kind: StockKind) -> tuple[tuple[int, int], ...]:
    """Return the grid as (first price, tick size) pairs in won, ascending."""
    bounds, ticks = (
        (_STOCK_BOUNDS, _STOCK_TICKS) if kind == "STOCK" else (_FUND_BOUNDS, _FUND_TICKS)
    )
    return tuple(zip((1, *bounds), ticks, strict=True))
