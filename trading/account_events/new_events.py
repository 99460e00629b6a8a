"""Events that a transaction emits with `UnitOfWork.emit`, built from the rows that it writes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from trading.account_events.payloads import (
    AlertEventData,
    CashEventData,
    EventData,
    FillEventData,
    HoldingEventData,
    OrderEventData,
    PaymentEventData,
    StockEventData,
)
from trading.account_events.stream import EventKind
from trading.marketdata.ticks import Position
from trading.money import average_price


class NewEvent(NamedTuple):
    """An account event without an id: it is numbered when its transaction is committed."""

    user_id: UUID
    kind: EventKind
    occurred_at: datetime
    data: EventData


def order_event(order: Mapping[str, Any], *, at: datetime, **changes: Any) -> NewEvent:
    """Return the event of an order that was accepted, amended, filled or ended.

    ``order`` is its row before the change, ``changes`` are the columns that change.
    """
    current = {"reason": None, **order, **changes}
    data = OrderEventData(
        id=str(current["id"]),
        client_order_id=current["client_order_id"],
        stock_code=current["stock_code"],
        side=current["side"],
        order_type=current["order_type"],
        time_in_force=current["time_in_force"],
        quantity=current["quantity"],
        price=current["limit_price"],
        status=current["status"],
        reason=current["reason"],
        executed_quantity=current["executed_quantity"],
    )
    return NewEvent(current["user_id"], EventKind.ORDER, at, data)


def fill_event(execution: Mapping[str, Any]) -> NewEvent:
    """Return the event of an execution, given its row."""
    data = FillEventData(
        id=str(execution["id"]),
        order_id=str(execution["order_id"]),
        stock_code=execution["stock_code"],
        side=execution["side"],
        price=execution["price"],
        quantity=execution["quantity"],
        amount=execution["amount"],
        commission=execution["commission"],
        tax=execution["transaction_tax"] + execution["rural_tax"],
        transaction_tax=execution["transaction_tax"],
        rural_tax=execution["rural_tax"],
    )
    return NewEvent(execution["user_id"], EventKind.FILL, execution["executed_at"], data)


def cash_event(transaction: Mapping[str, Any]) -> NewEvent:
    """Return the event of a ledger entry, given its row."""
    order_id = transaction["order_id"]
    data = CashEventData(
        id=str(transaction["id"]),
        transaction_type=transaction["transaction_type"],
        order_id=None if order_id is None else str(order_id),
        amount=transaction["amount"],
        commission=transaction["commission"],
        tax=transaction["tax"],
        cash_balance_before=transaction["cash_before"],
        cash_balance_after=transaction["cash_after"],
    )
    return NewEvent(transaction["user_id"], EventKind.CASH, transaction["transaction_date"], data)


def holding_event(holding: Mapping[str, Any]) -> NewEvent:
    """Return the event of a holding that executions changed, given its row after the change."""
    quantity, cost = holding["quantity"], holding["cost"]
    data = HoldingEventData(
        stock_code=holding["stock_code"],
        quantity=quantity,
        average_price=average_price(cost, quantity) if quantity else None,
        cost=cost,
        realized_profit=holding["realized_profit"],
    )
    return NewEvent(holding["user_id"], EventKind.HOLDING, holding["updated_at"], data)


def alert_event(user_id: UUID, alert: Mapping[str, Any]) -> NewEvent:
    """Return the event of a price alert that fired, given its row."""
    data = AlertEventData(
        item_id=str(alert["item_id"]),
        stock_code=alert["stock_code"],
        kind=alert["kind"],
        bound=alert["bound"],
        tick_price=alert["tick_price"],
        tick_traded_at=alert["tick_traded_at"].isoformat(),
        tick_position=str(Position.unpack(alert["tick_position"])),
    )
    return NewEvent(user_id, EventKind.ALERT, alert["fired_at"], data)


def payment_event(user_id: UUID, data: PaymentEventData, *, at: datetime) -> NewEvent:
    """Return the event of a payment whose own state, or a refund's state, changed."""
    return NewEvent(user_id, EventKind.PAYMENT, at, data)


def stock_event(user_id: UUID, data: StockEventData, *, at: datetime) -> NewEvent:
    """Return the event of a stock whose trading an operator changed."""
    return NewEvent(user_id, EventKind.STOCK, at, data)
