"""Decide whether a trade on the market fills an order, and at which price.

Every fill has the price of a trade on the market, or the limit of a resting order that a trade met.

A trade is evidence for a fill only by the time at which it was traded: the feed may report a trade
late or twice, for example after a restart of the relayer.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trading.exchange.hours import MarketHours
from trading.exchange.order_types import Side, TimeInForce
from trading.exchange.price_grid import PriceRange, StockKind, tick_size


class Postponement(StrEnum):
    """Why an order is not filled now. It stays open and is tried again."""

    NO_TICK = "no-tick"
    STALE_TICK = "stale-tick"
    CLOSED_SESSION = "closed-session"
    PRICE_NOT_MET = "price-not-met"


class FillRule(StrEnum):
    """The rule that gave an execution its price; stored as evidence."""

    MARKET_AT_LAST_TRADE = "market-at-last-trade"
    LIMIT_AT_LAST_TRADE = "limit-at-last-trade"
    MARKET_AT_PRINT = "market-at-print"
    ARRIVING_AT_PRINT = "arriving-at-print"
    RESTING_AT_LIMIT = "resting-at-limit"
    RESTING_AT_AUCTION = "resting-at-auction"


@dataclass(frozen=True, slots=True)
class TickEvidence:
    """What decides a fill at a tick: price (won), age (ms) and session (None: fills nothing)."""

    price: int
    age_ms: int
    session: str | None


@dataclass(frozen=True, slots=True)
class Fill:
    price: int
    rule: FillRule


def is_met(side: Side, limit_price: int | None, price: int) -> bool:
    """Return True if a trade at ``price`` won is within the limit of an order.

    Not above a buy's limit, not below a sale's; a market order has none.
    """
    if limit_price is None:
        return True
    return price <= limit_price if side is Side.BUY else price >= limit_price


def is_within_order_life(
    hours: MarketHours, time_in_force: TimeInForce, *, accepted_at: datetime, traded_at: datetime
) -> bool:
    """Return True if a trade was made before the end of an order's life.

    A DAY order's life ends with its day, even if the expiry is recorded later.
    """
    return time_in_force is not TimeInForce.DAY or hours.day_end_before(traded_at) <= accepted_at


def fill_at_last_trade(
    side: Side, limit_price: int | None, tick: TickEvidence | None, *, freshness_ms: int
) -> Fill | Postponement:
    """Return the fill of an order at the last trade, or why there is none.

    Market orders, and limit orders that are marketable on arrival, are filled at the last trade if
    it is at most ``freshness_ms`` old and was printed in a session that fills orders.
    """
    if tick is None:
        return Postponement.NO_TICK
    if tick.age_ms > freshness_ms:
        return Postponement.STALE_TICK
    if tick.session is None:
        return Postponement.CLOSED_SESSION
    if not is_met(side, limit_price, tick.price):
        return Postponement.PRICE_NOT_MET
    return Fill(
        price=tick.price,
        rule=FillRule.MARKET_AT_LAST_TRADE if limit_price is None else FillRule.LIMIT_AT_LAST_TRADE,
    )


def apply_slippage(
    side: Side, price: int, *, ticks: int, kind: StockKind, limits: PriceRange | None
) -> int:
    """Return ``price`` (won) moved by ``ticks`` steps of the grid against the trader.

    Never beyond the day's limits or below one won.
    """
    moved = price
    for _ in range(ticks):
        # Steps are finer below a boundary of the grid, so a step down is measured just below the
        # price.
        moved += tick_size(moved, kind) if side is Side.BUY else -tick_size(moved - 1, kind)
    if limits is not None:
        moved = limits.clamp(moved)
    # A print outside the known limits still fills at its own price.
    return max(price, moved) if side is Side.BUY else max(1, min(price, moved))
