"""Emit account events: collect them during a transaction, number and write them before its COMMIT.

Writing an event updates, and so locks, the user's head row until COMMIT; a user's event ids
therefore follow the order of the commits, and a reader that sees event 7 also finds events 1 to 6.
In the lock order heads come after orders, balances and holdings, so events are numbered last.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from trading.account_events.payloads import (
    AlertEventData,
    CashEventData,
    EventData,
    FillEventData,
    HoldingEventData,
    OrderEventData,
    PaymentEventData,
)
from trading.account_events.rows import advance_heads, insert_events
from trading.account_events.stream import AccountEvent, EventKind
from trading.db.transactions import after_commit, before_commit
from trading.marketdata.ticks import Position
from trading.money import average_price

_PENDING = "pending_account_events"


class _PendingEvent(NamedTuple):
    user_id: UUID
    kind: EventKind
    at: datetime
    data: EventData


def emit_order_event(
    session: Session, order: Mapping[str, Any], *, at: datetime, **changes: Any
) -> None:
    """Emit an event for an order that was accepted, amended, filled or ended.

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
    _emit(session, _PendingEvent(current["user_id"], EventKind.ORDER, at, data))


def emit_fill_event(session: Session, execution: Mapping[str, Any]) -> None:
    """Emit an event for an execution, given its row."""
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
    _emit(
        session,
        _PendingEvent(execution["user_id"], EventKind.FILL, execution["executed_at"], data),
    )


def emit_cash_event(session: Session, transaction: Mapping[str, Any]) -> None:
    """Emit an event for a ledger entry, given its row."""
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
    _emit(
        session,
        _PendingEvent(
            transaction["user_id"], EventKind.CASH, transaction["transaction_date"], data
        ),
    )


def emit_holding_event(session: Session, holding: Mapping[str, Any]) -> None:
    """Emit an event for a holding that executions changed, given its row after the change."""
    quantity, cost = holding["quantity"], holding["cost"]
    data = HoldingEventData(
        stock_code=holding["stock_code"],
        quantity=quantity,
        average_price=average_price(cost, quantity) if quantity else None,
        cost=cost,
        realized_profit=holding["realized_profit"],
    )
    _emit(
        session, _PendingEvent(holding["user_id"], EventKind.HOLDING, holding["updated_at"], data)
    )


def emit_alert_event(session: Session, user_id: UUID, alert: Mapping[str, Any]) -> None:
    """Emit an event for a price alert that fired, given its row."""
    data = AlertEventData(
        item_id=str(alert["item_id"]),
        stock_code=alert["stock_code"],
        kind=alert["kind"],
        bound=alert["bound"],
        tick_price=alert["tick_price"],
        tick_traded_at=alert["tick_traded_at"].isoformat(),
        tick_position=str(Position.unpack(alert["tick_position"])),
    )
    _emit(session, _PendingEvent(user_id, EventKind.ALERT, alert["fired_at"], data))


def emit_payment_event(
    session: Session, user_id: UUID, data: PaymentEventData, *, at: datetime
) -> None:
    """Emit an event for a payment whose own state, or a refund's state, changed."""
    _emit(session, _PendingEvent(user_id, EventKind.PAYMENT, at, data))


def _emit(session: Session, event: _PendingEvent) -> None:
    session.info.setdefault(_PENDING, []).append(event)
    before_commit(session, _number_and_write)


def _number_and_write(session: Session) -> None:
    pending: list[_PendingEvent] = session.info.pop(_PENDING)
    counts = Counter(event.user_id for event in pending)
    newest = advance_heads(session, counts, at=max(event.at for event in pending))
    last_ids = {user_id: newest[user_id] - count for user_id, count in counts.items()}
    events = []
    for user_id, kind, at, data in pending:
        last_ids[user_id] += 1
        events.append(
            AccountEvent(
                user_id=user_id, id=last_ids[user_id], kind=kind, occurred_at=at, data=data
            )
        )
    insert_events(session, events)
    for event in events:
        after_commit(session, event)
