"""Typed rows of the order tables, one for each query or write that several use cases share."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from trading.orders.tables import ORDERS, PENDING_FILLS


class LockedOrder(NamedTuple):
    """The columns of a locked order that its use cases need; amounts in won."""

    id: UUID
    user_id: UUID
    client_order_id: str | None
    stock_code: str
    side: str
    order_type: str
    time_in_force: str
    limit_price: int | None
    status: str
    reason: str | None
    quantity: int
    executed_quantity: int
    reserved_cash: int
    accepted_at: datetime
    book_price: int | None
    awaiting_first_print: bool
    request_id: str | None

    @property
    def remaining_quantity(self) -> int:
        """Return the shares that are not executed yet."""
        return self.quantity - self.executed_quantity


LOCKED_COLUMNS = tuple(ORDERS.c[name] for name in LockedOrder._fields)


class StoredPendingFill(NamedTuple):
    """A fill that the matcher found and that its execution has yet to record; prices in won."""

    order_id: UUID
    tick_position: int
    quantity: int
    price: int
    rule: str
    session: str
    tick_price: int
    tick_traded_at: datetime
    tick_received_at: datetime


PENDING_FILL_COLUMNS = tuple(PENDING_FILLS.c[name] for name in StoredPendingFill._fields)


class NewExecution(NamedTuple):
    """The row of a new fill, unsettled and unapplied, without its number among the order's fills.

    Amounts and prices are in won, ``tick_age_ms`` in milliseconds.
    """

    id: UUID
    order_id: UUID
    user_id: UUID
    stock_code: str
    side: str
    quantity: int
    price: int
    amount: int
    commission: int
    transaction_tax: int
    rural_tax: int
    rule: str
    tick_position: int
    tick_price: int
    tick_traded_at: datetime
    tick_age_ms: int
    executed_at: datetime
    session: str
    commission_ppm: int
    settled_at: datetime | None = None
    applied_at: datetime | None = None
    cost: int | None = None
    buy_commission: int | None = None
    realized_profit: int | None = None
