"""How long shares were held: sales take the shares that were bought first (FIFO).

Only holding times go by lots. Profits go by the moving average (trading/rules/positions.py), as the books do.
"""

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from trading.rules.orders import Side

Trade = TypeVar("Trade", bound=Hashable)

_MICROSECOND = timedelta(microseconds=1)
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class LotFill(Generic[Trade]):
    """A fill as lots see it; ``trade`` is what a sale's holding time is told of, together with that of others of the same."""

    stock_code: str
    side: str
    quantity: int
    at: datetime
    trade: Trade


def holding_times(fills: Iterable[LotFill[Trade]]) -> Mapping[Trade, int]:
    """How many seconds the shares of each sale were held on average, each share alike, rounded down; by ``trade``.

    Fills are given in the order in which they count. Shares without a purchase among them are left out, and so is a sale of such alone.
    """
    lots: defaultdict[str, deque[list[int]]] = defaultdict(deque)
    shares: defaultdict[Trade, int] = defaultdict(int)
    held_us: defaultdict[Trade, int] = defaultdict(int)
    began: datetime | None = None
    for fill in fills:
        began = began or fill.at
        at_us = (fill.at - began) // _MICROSECOND
        queue = lots[fill.stock_code]
        if fill.side == Side.BUY:
            queue.append([fill.quantity, at_us])
            continue
        left = fill.quantity
        while left and queue:
            lot = queue[0]
            taken = min(left, lot[0])
            shares[fill.trade] += taken
            held_us[fill.trade] += taken * (at_us - lot[1])
            left -= taken
            lot[0] -= taken
            if not lot[0]:
                queue.popleft()
    return {trade: max(held_us[trade] // (shares[trade] * _SECOND_US), 0) for trade in shares}
