"""JSON data of account events, one type for each kind.

Money is in won and quantities are in shares, as integers; ids and times are text. Members are
named as in the API's answer about the same object.
"""

from typing import TypedDict


class OrderEventData(TypedDict):
    """State of an order after it was accepted, amended, filled or ended."""

    id: str
    client_order_id: str | None
    stock_code: str
    side: str
    order_type: str
    time_in_force: str
    quantity: int
    price: int | None
    status: str
    reason: str | None
    executed_quantity: int


class FillEventData(TypedDict):
    """One execution. ``tax`` is the sum of the two taxes after it."""

    id: str
    order_id: str
    stock_code: str
    side: str
    price: int
    quantity: int
    amount: int
    commission: int
    tax: int
    transaction_tax: int
    rural_tax: int


class CashEventData(TypedDict):
    """One ledger entry with the balance before and after it."""

    id: str
    transaction_type: str
    order_id: str | None
    amount: int
    commission: int
    tax: int
    cash_balance_before: int
    cash_balance_after: int


class HoldingEventData(TypedDict):
    """State of a holding; ``average_price`` is None once it is sold out."""

    stock_code: str
    quantity: int
    average_price: int | None
    cost: int
    realized_profit: int


class AlertEventData(TypedDict):
    """A price alert that fired, with the first trade that met its bound."""

    item_id: str
    stock_code: str
    kind: str
    bound: int
    tick_price: int
    tick_traded_at: str
    tick_position: str


class RefundEventData(TypedDict):
    """State of a refund of a payment."""

    id: str
    amount: int
    status: str
    failure: str | None


class PaymentEventData(TypedDict):
    """State of a payment; ``refund`` is the refund that changed, or None."""

    payment_id: str
    status: str
    amount: int
    cancelled_amount: int
    failure: str | None
    refund: RefundEventData | None


class StockEventData(TypedDict):
    """How the trading of a stock changed, and its state now; ``leverage`` is decimal text."""

    stock_code: str
    change: str
    status: str
    leverage: str
    in_liquidation: bool


EventData = (
    OrderEventData
    | FillEventData
    | CashEventData
    | HoldingEventData
    | AlertEventData
    | PaymentEventData
    | StockEventData
)
