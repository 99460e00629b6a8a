"""Orders: their kinds, their states and what an order must set aside before it may wait for a fill."""

from enum import StrEnum

from trading.rules.fees import cost_of_buying
from trading.rules.money import raised_by_basis_points


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"


class TimeInForce(StrEnum):
    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class OrderStatus(StrEnum):
    PENDING = "PENDING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def is_open(self) -> bool:
        return bool(TRANSITIONS[self])


# Which state may follow which. A state that nothing follows is final.
TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset(OrderStatus) - {OrderStatus.PENDING},
    OrderStatus.PARTIALLY_FILLED: frozenset(
        {OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.EXPIRED}
    ),
    OrderStatus.FILLED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
    OrderStatus.REJECTED: frozenset(),
    OrderStatus.EXPIRED: frozenset(),
}

OPEN_STATUSES = tuple(status for status in OrderStatus if status.is_open)


def status_after_fill(*, ordered: int, executed: int) -> OrderStatus:
    """The state of an order of ``ordered`` shares once ``executed`` of them are filled."""
    if not 0 < executed <= ordered:
        raise ValueError("A fill executes at least one share and never more than were ordered.")
    return OrderStatus.FILLED if executed == ordered else OrderStatus.PARTIALLY_FILLED


def market_buy_reservation(*, quantity: int, last_price: int, collar_bp: int, commission_ppm: int) -> int:
    """Cash (won) that a market buy sets aside: the last price raised by a collar in basis points, times quantity, and the commission.

    The collar covers what the price may move between acceptance and fill.
    """
    return cost_of_buying(quantity * raised_by_basis_points(last_price, collar_bp), commission_ppm)
