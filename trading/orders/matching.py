"""Matching: which of the orders in the book the trades on the market fill, in which part and at which price.

The exchange's rule is price, then time; market orders come first (KRX 업무규정 제22조). Two profiles say how much a trade fills:

``simple``   the whole quantity at once, as if the market were deep enough for a learner's order;
``volume``   never more than was traded since the acceptance. A trade of 100 shares had a buyer and a seller of 100: buy orders stand in for
             the one, sell orders for the other, so each side shares 100 among its orders by priority.

In both, no order is filled by a trade at or before its place in the tick stream. The first trade after it shows whether the order is marketable on
arrival: if so it is filled at that trade's price, and if not it rests, and is filled at its limit when a later trade meets that.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from trading.exchange.order_types import Side, TimeInForce
from trading.orders.fills import FillRule, is_met


@dataclass(frozen=True, slots=True)
class Print:
    """A trade that may fill orders: its place in the tick stream, price in won, shares, and the session it was printed in. ``closed_at`` is the
    end of the auction whose result it is, None in continuous trading."""

    position: int
    price: int
    volume: int
    session: str
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BookOrder:
    """An order in the book. ``limit_price`` is None for a market order, ``quantity`` is what is still to be filled, ``position`` the place in
    the tick stream at its acceptance, ``accepted_at`` the time; ``until`` is the last place at which a trade may fill it, None without such an end.
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

    def took_part_in(self, one: Print) -> bool:
        """Whether it was in the market for this trade: accepted before it was printed, and before the auction closed that it is the result of;
        not at its end yet."""
        if self.until is not None and one.position > self.until:
            return False
        return self.position < one.position and (
            one.closed_at is None or self.accepted_at < one.closed_at
        )

    @property
    def priority(self) -> tuple[int, int, UUID]:
        """Sorts the orders of one side: market orders, then the best price, then the earliest."""
        if self.limit_price is None:
            return (-(10**18), self.position, self.id)
        return (
            -self.limit_price if self.side is Side.BUY else self.limit_price,
            self.position,
            self.id,
        )


@dataclass(frozen=True, slots=True)
class MatchedFill:
    """So many shares of an order are filled by this trade at ``price`` won."""

    order_id: UUID
    quantity: int
    price: int
    rule: FillRule
    by: Print


@dataclass(slots=True)
class MatchResult:
    """What a look at the trades decided: the fills; the orders that they fill to the last share; those that are now known to rest; and those that
    had their one chance (IOC, FOK)."""

    touches: list[MatchedFill] = field(default_factory=list)
    filled: set[UUID] = field(default_factory=set)
    rests: set[UUID] = field(default_factory=set)
    had_its_chance: set[UUID] = field(default_factory=set)

    def add(self, other: "MatchResult") -> None:
        """Take in what was decided about other orders."""
        self.touches += other.touches
        self.filled |= other.filled
        self.rests |= other.rests
        self.had_its_chance |= other.had_its_chance


def match_whole(orders: Sequence[BookOrder], prints: Sequence[Print]) -> MatchResult:
    """The ``simple`` profile: each order whole, by the first trade after its acceptance that meets its limit. ``prints`` are in stream order."""
    matching = MatchResult()
    positions = [one.position for one in prints]
    for order in orders:
        awaiting_first_print = order.awaiting_first_print
        for one in prints[bisect_right(positions, order.position) :]:
            if not order.took_part_in(one):
                continue
            if is_met(order.side, order.limit_price, one.price):
                price, rule = _terms(order, one, awaiting_first_print=awaiting_first_print)
                matching.touches.append(MatchedFill(order.id, order.quantity, price, rule, one))
                matching.filled.add(order.id)
                break
            if awaiting_first_print:
                awaiting_first_print = False
                matching.rests.add(order.id)
    return matching


def match_by_volume(
    orders: Sequence[BookOrder], prints: Sequence[Print], *, slip: Callable[[Side, int], int]
) -> MatchResult:
    """The ``volume`` profile. ``slip`` moves the price (won) of a market order against the trader. ``prints`` are in stream order."""
    matching = MatchResult()
    sides = [
        [_Waiting(one) for one in sorted(orders, key=_priority) if one.side is side]
        for side in Side
    ]
    for one in prints:
        for waiting in sides:
            _share(waiting, one, matching, slip=slip)
            waiting[:] = [order for order in waiting if order.quantity and not order.had_its_chance]
    return matching


@dataclass(slots=True)
class _Waiting:
    """An order as the trades one after the other leave it."""

    order: BookOrder
    quantity: int = 0
    awaiting_first_print: bool = False
    had_its_chance: bool = False

    def __post_init__(self) -> None:
        self.quantity, self.awaiting_first_print = (
            self.order.quantity,
            self.order.awaiting_first_print,
        )


def _priority(order: BookOrder) -> tuple[int, int, UUID]:
    return order.priority


def _share(
    waiting: Sequence[_Waiting],
    one: Print,
    matching: MatchResult,
    *,
    slip: Callable[[Side, int], int],
) -> None:
    """Share one trade's volume among the orders of one side, which are in the order of their priority."""
    left = one.volume
    for state in waiting:
        order = state.order
        if not order.took_part_in(one):
            continue
        met = is_met(order.side, order.limit_price, one.price)
        if not met and not state.awaiting_first_print:
            # Of two resting orders the one with the better price comes first: nobody behind is met either, but some may be awaiting_first_print.
            continue
        if met:
            quantity = min(left, state.quantity)
            if order.time_in_force is TimeInForce.FOK and quantity < state.quantity:
                quantity = 0
            if quantity:
                price, rule = _terms(order, one, awaiting_first_print=state.awaiting_first_print)
                if rule is FillRule.MARKET_AT_PRINT:
                    price = slip(order.side, price)
                matching.touches.append(MatchedFill(order.id, quantity, price, rule, one))
                left -= quantity
                state.quantity -= quantity
                if not state.quantity:
                    matching.filled.add(order.id)
        else:
            state.awaiting_first_print = False
            matching.rests.add(order.id)
        if not order.time_in_force.may_wait:
            state.had_its_chance = True
            matching.had_its_chance.add(order.id)


def _terms(order: BookOrder, one: Print, *, awaiting_first_print: bool) -> tuple[int, FillRule]:
    if order.limit_price is None:
        return one.price, FillRule.MARKET_AT_PRINT
    if awaiting_first_print:
        return one.price, FillRule.ARRIVING_AT_PRINT
    return order.limit_price, FillRule.RESTING_AT_LIMIT
