"""Decide which orders in the book are filled by trades on the market, and at which price.

The exchange's rule is price, then time; market orders come first (KRX 업무규정 제22조). Two
profiles say how much one trade fills:

- ``simple``: the whole quantity at once, as if the market were deep enough for any order;
- ``volume``: at most the quantity traded since the acceptance. A trade of 100 shares fills up to
  100 shares of buy orders and up to 100 shares of sell orders, because it had a buyer and a seller.
  Each side's 100 shares are allocated to its orders by priority.

In both, no order is filled by a trade at or before its position in the tick stream, or traded
before its arrival. The first trade after it shows whether the order was marketable on arrival: if
so, the order is filled at the price of that trade; if not, it rests and is filled at its limit when
a later trade meets the limit.

The result of a call auction is one price for all orders that took part, resting ones too.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from trading.exchange.order_types import Side, TimeInForce
from trading.orders.fill_price import FillRule, is_met


@dataclass(frozen=True, slots=True)
class Print:
    """A trade on the market that may fill orders.

    ``position`` is its place in the tick stream, ``price`` is in won, ``volume`` in shares.
    ``session`` is the session it was printed in. It was traded before ``traded_before``, which is
    as exact as the feed's time. For the result of a call auction, ``auction_until`` is the end of
    its order entry; ``closed_at`` is the same instant for a closing auction, in which orders
    accepted later have no part, and None otherwise. ``auction_is_open_since`` is set for a print of
    another market before the auction's result: orders accepted earlier wait for the result.
    """

    position: int
    price: int
    volume: int
    session: str
    traded_before: datetime
    auction_until: datetime | None = None
    closed_at: datetime | None = None
    auction_is_open_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class BookOrder:
    """An order in the book.

    ``limit_price`` is None for a market order, ``quantity`` is what remains to be filled,
    ``position`` the place in the tick stream after which trades count, and ``accepted_at`` the time
    of the acceptance. ``until`` is the last position at which a trade may fill the order, None
    without such an end. ``attempt_ends_at`` is the end of the only attempt of an IOC or FOK order,
    None for other orders.
    """

    id: UUID
    side: Side
    limit_price: int | None
    quantity: int
    position: int
    accepted_at: datetime
    awaiting_first_print: bool
    time_in_force: TimeInForce
    until: int | None = None
    attempt_ends_at: datetime | None = None

    def is_eligible_for(self, trade: Print) -> bool:
        """Return True if the order was in the market for this trade.

        It must have been accepted before the trade was made, and before the end of the auction that
        the trade is the result of, and must not have reached its end yet.
        """
        if self.until is not None and trade.position > self.until:
            return False
        if self.attempt_ends_at is not None and (
            trade.closed_at is not None or trade.traded_before > self.attempt_ends_at
        ):
            return False
        if (
            trade.auction_is_open_since is not None
            and self.accepted_at < trade.auction_is_open_since
        ):
            return False
        return (
            self.position < trade.position
            and self.accepted_at < trade.traded_before
            and (trade.closed_at is None or self.accepted_at < trade.closed_at)
        )

    @property
    def priority(self) -> tuple[int, int, UUID]:
        """Sort key for the orders of one side: market orders, best price, earliest acceptance."""
        if self.limit_price is None:
            return (-(10**18), self.position, self.id)
        return (
            -self.limit_price if self.side is Side.BUY else self.limit_price,
            self.position,
            self.id,
        )


@dataclass(frozen=True, slots=True)
class MatchedFill:
    """Shares of an order that a trade fills at ``price`` won."""

    order_id: UUID
    quantity: int
    price: int
    rule: FillRule
    trade: Print


@dataclass(slots=True)
class MatchResult:
    """What matching decided.

    ``filled`` are the orders filled completely, ``resting`` those now known to rest, and
    ``attempted`` the IOC and FOK orders whose only attempt is over.
    """

    fills: list[MatchedFill] = field(default_factory=list)
    filled: set[UUID] = field(default_factory=set)
    resting: set[UUID] = field(default_factory=set)
    attempted: set[UUID] = field(default_factory=set)

    def add(self, other: "MatchResult") -> None:
        """Add the result for other orders."""
        self.fills += other.fills
        self.filled |= other.filled
        self.resting |= other.resting
        self.attempted |= other.attempted


def match_whole(orders: Sequence[BookOrder], prints: Sequence[Print]) -> MatchResult:
    """Match by the ``simple`` profile: each order completely, by the first trade that meets it.

    ``prints`` are in stream order.
    """
    result = MatchResult()
    positions = [trade.position for trade in prints]
    for order in orders:
        awaiting_first_print = order.awaiting_first_print
        for trade in prints[bisect_right(positions, order.position) :]:
            if not order.is_eligible_for(trade):
                continue
            if is_met(order.side, order.limit_price, trade.price):
                price, rule = _fill_terms(order, trade, awaiting_first_print=awaiting_first_print)
                result.fills.append(MatchedFill(order.id, order.quantity, price, rule, trade))
                result.filled.add(order.id)
                break
            if awaiting_first_print:
                awaiting_first_print = False
                result.resting.add(order.id)
    return result


def match_by_volume(
    orders: Sequence[BookOrder], prints: Sequence[Print], *, slip: Callable[[Side, int], int]
) -> MatchResult:
    """Match by the ``volume`` profile.

    ``slip`` moves the price (won) of a market order against the trader. ``prints`` are in stream
    order.
    """
    result = MatchResult()
    sides = [
        [_OpenOrder.of(order) for order in sorted(orders, key=_priority) if order.side is side]
        for side in Side
    ]
    for trade in prints:
        for open_orders in sides:
            _share_volume(open_orders, trade, result, slip=slip)
            open_orders[:] = [one for one in open_orders if one.quantity and not one.attempted]
    return result


@dataclass(slots=True)
class _OpenOrder:
    """The state of an order while trades are matched one after the other."""

    order: BookOrder
    quantity: int
    awaiting_first_print: bool
    attempted: bool = False

    @classmethod
    def of(cls, order: BookOrder) -> "_OpenOrder":
        return cls(order, order.quantity, order.awaiting_first_print)


def _priority(order: BookOrder) -> tuple[int, int, UUID]:
    return order.priority


def _share_volume(
    open_orders: Sequence[_OpenOrder],
    trade: Print,
    result: MatchResult,
    *,
    slip: Callable[[Side, int], int],
) -> None:
    """Share the volume of a trade among the orders of one side, given in order of priority."""
    volume_left = trade.volume
    for state in open_orders:
        order = state.order
        if not order.is_eligible_for(trade):
            continue
        met = is_met(order.side, order.limit_price, trade.price)
        if not met and not state.awaiting_first_print:
            # No resting order behind this one is met either, because its price is no better, but
            # some may still await their first print.
            continue
        if met:
            quantity = min(volume_left, state.quantity)
            if order.time_in_force is TimeInForce.FOK and quantity < state.quantity:
                quantity = 0
            if quantity:
                price, rule = _fill_terms(
                    order, trade, awaiting_first_print=state.awaiting_first_print
                )
                if rule is FillRule.MARKET_AT_PRINT and trade.auction_until is None:
                    price = slip(order.side, price)
                result.fills.append(MatchedFill(order.id, quantity, price, rule, trade))
                volume_left -= quantity
                state.quantity -= quantity
                if not state.quantity:
                    result.filled.add(order.id)
        else:
            state.awaiting_first_print = False
            result.resting.add(order.id)
        if not order.time_in_force.may_wait:
            state.attempted = True
            result.attempted.add(order.id)


def _fill_terms(
    order: BookOrder, trade: Print, *, awaiting_first_print: bool
) -> tuple[int, FillRule]:
    if order.limit_price is None:
        return trade.price, FillRule.MARKET_AT_PRINT
    if awaiting_first_print:
        return trade.price, FillRule.ARRIVING_AT_PRINT
    if trade.auction_until is not None and order.accepted_at < trade.auction_until:
        return trade.price, FillRule.RESTING_AT_AUCTION
    return order.limit_price, FillRule.RESTING_AT_LIMIT
