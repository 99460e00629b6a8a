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

    @property
    def may_wait(self) -> bool:
        """Whether such an order may wait for a trade; any other has one chance, and ends with it."""
        return self in (TimeInForce.DAY, TimeInForce.GTC)


class OrderStatus(StrEnum):
    PENDING = "PENDING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def is_open(self) -> bool:
        return any(status is self for status, _event in MACHINE)


class OrderEvent(StrEnum):
    """What can happen to an order after its acceptance."""

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


# The whole life of an order: which event leads from which state to which. What is not here can't happen.
MACHINE: dict[tuple[OrderStatus, OrderEvent], OrderStatus] = {
    (OrderStatus.PENDING, OrderEvent.FILL_IN_PART): OrderStatus.PARTIALLY_FILLED,
    (OrderStatus.PENDING, OrderEvent.FILL): OrderStatus.FILLED,
    (OrderStatus.PENDING, OrderEvent.CANCEL): OrderStatus.CANCELLED,
    (OrderStatus.PENDING, OrderEvent.REJECT): OrderStatus.REJECTED,
    (OrderStatus.PENDING, OrderEvent.EXPIRE): OrderStatus.EXPIRED,
    (OrderStatus.PARTIALLY_FILLED, OrderEvent.FILL_IN_PART): OrderStatus.PARTIALLY_FILLED,
    (OrderStatus.PARTIALLY_FILLED, OrderEvent.FILL): OrderStatus.FILLED,
    (OrderStatus.PARTIALLY_FILLED, OrderEvent.CANCEL): OrderStatus.CANCELLED,
    (OrderStatus.PARTIALLY_FILLED, OrderEvent.EXPIRE): OrderStatus.EXPIRED,
}

OPEN_STATUSES = tuple(status for status in OrderStatus if status.is_open)


class ImpossibleTransition(Exception):
    """An event that the state of the order does not know: a fault of ours, never a refusal."""


def status_after(status: OrderStatus, event: OrderEvent) -> OrderStatus:
    """The state to which ``event`` leads from ``status``. ImpossibleTransition where the table has none."""
    try:
        return MACHINE[status, event]
    except KeyError:
        raise ImpossibleTransition(f"{event} of an order that is {status}") from None


def status_after_fill(status: OrderStatus, *, ordered: int, executed: int) -> OrderStatus:
    """The state of an open order of ``ordered`` shares once ``executed`` of them are filled."""
    if not 0 < executed <= ordered:
        raise ValueError("A fill executes at least one share and never more than were ordered.")
    return status_after(status, OrderEvent.FILL if executed == ordered else OrderEvent.FILL_IN_PART)


def state_diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    arrows = [f"    {before} --> {after}: {event}" for (before, event), after in MACHINE.items()]
    finals = [f"    {status} --> [*]" for status in OrderStatus if not status.is_open]
    return "\n".join(["stateDiagram-v2", "    [*] --> PENDING: accept", *arrows, *finals])


def collared_price(last_price: int, collar_bp: int) -> int:
    """What a share may cost a market buy at most by its reservation (won): the last price raised by a collar in basis points.

    The collar covers what the price may move between acceptance and fill.
    """
    return raised_by_basis_points(last_price, collar_bp)


def buy_reservation(*, quantity: int, price: int, commission_ppm: int) -> int:
    """Cash (won) that a buy of ``quantity`` shares at no more than ``price`` won sets aside: no fills of them, in whatever parts, cost more."""
    return cost_of_buying(quantity * price, commission_ppm)
