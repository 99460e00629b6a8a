"""States of orders, the reasons why they end, and what a buy reserves."""

from enum import StrEnum

from trading.exchange.fees import cost_of_buying
from trading.money import raised_by_basis_points
from trading.state_machine import Transitions


class OrderStatus(StrEnum):
    PENDING = "PENDING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def is_open(self) -> bool:
        return not ORDER_TRANSITIONS.is_final(self)


class FillProfile(StrEnum):
    """How much of an order one trade on the market fills.

    ``SIMPLE`` fills the whole order at once. ``VOLUME`` never fills more than was traded since the
    acceptance.
    """

    SIMPLE = "simple"
    VOLUME = "volume"


class OrderEvent(StrEnum):
    """An event that changes the state of an accepted order."""

    FILL_IN_PART = "fill in part"
    FILL = "fill"
    CANCEL = "cancel"
    REJECT = "reject"
    EXPIRE = "expire"


class EndReason(StrEnum):
    """Why an order ended with less than its whole quantity filled."""

    CANCELLED_BY_USER = "cancelled-by-user"
    DAY_ENDED = "day-ended"
    NOT_FILLED_AT_ONCE = "not-filled-at-once"
    STOCK_NOT_TRADABLE = "stock-not-tradable"
    INSUFFICIENT_CASH = "insufficient-cash"
    ACCOUNT_OVERDRAWN = "account-overdrawn"
    PRICE_OUT_OF_LIMITS = "price-out-of-limits"
    ACCOUNT_CLOSED = "account-closed"
    BASE_PRICE_CHANGED = "base-price-changed"


ORDER_TRANSITIONS = Transitions(
    {
        (OrderStatus.PENDING, OrderEvent.FILL_IN_PART): OrderStatus.PARTIALLY_FILLED,
        (OrderStatus.PENDING, OrderEvent.FILL): OrderStatus.FILLED,
        (OrderStatus.PENDING, OrderEvent.CANCEL): OrderStatus.CANCELLED,
        (OrderStatus.PENDING, OrderEvent.REJECT): OrderStatus.REJECTED,
        (OrderStatus.PENDING, OrderEvent.EXPIRE): OrderStatus.EXPIRED,
        (OrderStatus.PARTIALLY_FILLED, OrderEvent.FILL_IN_PART): OrderStatus.PARTIALLY_FILLED,
        (OrderStatus.PARTIALLY_FILLED, OrderEvent.FILL): OrderStatus.FILLED,
        (OrderStatus.PARTIALLY_FILLED, OrderEvent.CANCEL): OrderStatus.CANCELLED,
        (OrderStatus.PARTIALLY_FILLED, OrderEvent.EXPIRE): OrderStatus.EXPIRED,
    },
    initial=OrderStatus.PENDING,
    created_by="accept",
)

OPEN_STATUSES = tuple(status for status in OrderStatus if status.is_open)


def status_after_fill(status: OrderStatus, *, ordered: int, executed: int) -> OrderStatus:
    """Return the state of an open order of ``ordered`` shares with ``executed`` of them filled."""
    if not 0 < executed <= ordered:
        raise ValueError("A fill executes at least one share and never more than were ordered.")
    event = OrderEvent.FILL if executed == ordered else OrderEvent.FILL_IN_PART
    return ORDER_TRANSITIONS.after(status, event)


def collared_price(last_price: int, collar_bp: int) -> int:
    """Return the highest price per share (won) that a market buy reserves cash for.

    It is the last price raised by a collar in basis points, which covers price changes between
    acceptance and fill.
    """
    return raised_by_basis_points(last_price, collar_bp)


def buy_reservation(*, quantity: int, price: int, commission_ppm: int) -> int:
    """Return the cash (won) to reserve for ``quantity`` shares at up to ``price`` won.

    No fills of these shares, in whatever parts, cost more.
    """
    return cost_of_buying(quantity * price, commission_ppm)
