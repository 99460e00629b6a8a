"""How far the last trade is from an order's limit."""

from dataclasses import dataclass

from trading.exchange.order_types import Side
from trading.exchange.price_grid import StockKind, tick_table
from trading.marketdata.ticks import Tick
from trading.money import BASIS_POINTS
from trading.orders.fill_price import is_met


@dataclass(frozen=True, slots=True)
class Distance:
    """How far the last trade is from the limit; 0 where the limit is met.

    In won, in basis points of the last price (rounded up) and in steps of the price grid.
    """

    won: int
    basis_points: int
    steps: int


def distance_to_limit(
    side: Side, limit: int | None, tick: Tick | None, *, kind: StockKind
) -> Distance | None:
    """Return the distance of the last trade from a limit (won); None without one of them."""
    if limit is None or tick is None:
        return None
    if is_met(side, limit, tick.price):
        return Distance(0, 0, 0)
    won = abs(tick.price - limit)
    # The legal prices between the last trade, which may be off the grid itself, and the limit.
    first, last = (limit, tick.price - 1) if side is Side.BUY else (tick.price + 1, limit)
    return Distance(
        won=won,
        basis_points=-(-won * BASIS_POINTS // tick.price),
        steps=_legal_prices_up_to(last, kind) - _legal_prices_up_to(first - 1, kind),
    )


def _legal_prices_up_to(price: int, kind: StockKind) -> int:
    """Return how many prices of the grid are at most ``price`` (won)."""
    table = tick_table(kind)
    ends = [start for start, _step in table[1:]] + [price + 1]
    return sum(
        (min(price, end - 1) - start) // step + 1
        for (start, step), end in zip(table, ends, strict=True)
        if start <= price
    )
