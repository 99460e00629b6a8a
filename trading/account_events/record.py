"""Account events: noted by the use cases while they work, numbered and written when all else of their transaction is done.

A user's head is locked by its update until the COMMIT, so his ids follow the order of the commits: whoever sees event 7 finds 1 to 6 too. Heads
come behind orders, balances and holdings in the order of locks, which is why nothing is numbered before the end.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from trading.account_events.rows import advance_heads, insert_events
from trading.account_events.stream import AccountEvent, EventKind
from trading.db.transactions import after_commit, before_commit
from trading.marketdata.ticks import Position
from trading.money import average_price

_NOTED = "noted_account_events"


class _Noted(NamedTuple):
    user_id: UUID
    kind: EventKind
    at: datetime
    data: dict[str, Any]


def emit_order_event(
    session: Session, order: Mapping[str, Any], *, at: datetime, **changed: Any
) -> None:
    """Tell that an order was accepted, amended, filled or ended: its columns, those that change now given as keywords."""
    now_so = {"reason": None, **order, **changed}
    data = {
        "id": str(now_so["id"]),
        "client_order_id": now_so["client_order_id"],
        "stock_code": now_so["stock_code"],
        "side": now_so["side"],
        "order_type": now_so["order_type"],
        "time_in_force": now_so["time_in_force"],
        "quantity": now_so["quantity"],
        "price": now_so["limit_price"],
        "status": now_so["status"],
        "reason": now_so["reason"],
        "executed_quantity": now_so["executed_quantity"],
    }
    _note(session, _Noted(now_so["user_id"], EventKind.ORDER, at, data))


def emit_fill_event(session: Session, execution: Mapping[str, Any]) -> None:
    """Tell of an execution, by its row."""
    data = {
        "id": str(execution["id"]),
        "order_id": str(execution["order_id"]),
        "stock_code": execution["stock_code"],
        "side": execution["side"],
        "price": execution["price"],
        "quantity": execution["quantity"],
        "amount": execution["amount"],
        "commission": execution["commission"],
        "tax": execution["transaction_tax"] + execution["rural_tax"],
        "transaction_tax": execution["transaction_tax"],
        "rural_tax": execution["rural_tax"],
    }
    _note(session, _Noted(execution["user_id"], EventKind.FILL, execution["executed_at"], data))


def emit_cash_event(session: Session, transaction: Mapping[str, Any]) -> None:
    """Tell of a Transaction, by its row."""
    order_id = transaction["order_id"]
    data = {
        "id": str(transaction["id"]),
        "transaction_type": transaction["transaction_type"],
        "order_id": None if order_id is None else str(order_id),
        "amount": transaction["amount"],
        "commission": transaction["commission"],
        "tax": transaction["tax"],
        "cash_balance_before": transaction["cash_before"],
        "cash_balance_after": transaction["cash_after"],
    }
    _note(
        session,
        _Noted(transaction["user_id"], EventKind.CASH, transaction["transaction_date"], data),
    )


def emit_holding_event(session: Session, holding: Mapping[str, Any]) -> None:
    """Tell that a holding was changed by fills, by its row as it is now; one that was sold out has none left, and no average price."""
    quantity, cost = holding["quantity"], holding["cost"]
    data = {
        "stock_code": holding["stock_code"],
        "quantity": quantity,
        "average_price": average_price(cost, quantity) if quantity else None,
        "cost": cost,
        "realized_profit": holding["realized_profit"],
    }
    _note(session, _Noted(holding["user_id"], EventKind.HOLDING, holding["updated_at"], data))


def emit_alert_event(session: Session, user_id: UUID, alert: Mapping[str, Any]) -> None:
    """Tell that a price alert has fired, by its row."""
    data = {
        "item_id": str(alert["item_id"]),
        "stock_code": alert["stock_code"],
        "kind": alert["kind"],
        "bound": alert["bound"],
        "tick_price": alert["tick_price"],
        "tick_traded_at": alert["tick_traded_at"].isoformat(),
        "tick_position": str(Position.unpack(alert["tick_position"])),
    }
    _note(session, _Noted(user_id, EventKind.ALERT, alert["fired_at"], data))


def emit_payment_event(
    session: Session,
    payment: Mapping[str, Any],
    *,
    at: datetime,
    refund: Mapping[str, Any] | None = None,
) -> None:
    """Tell that the state of a payment changed, by its row as it is now, or that of one of its refunds."""
    data = {
        "payment_id": payment["id"].hex,
        "status": payment["status"],
        "amount": payment["amount"],
        "cancelled_amount": payment["reversed_amount"],
        "failure": payment["failure"],
        "refund": None
        if refund is None
        else {
            "id": str(refund["id"]),
            "amount": refund["amount"],
            "status": refund["status"],
            "failure": refund["failure"],
        },
    }
    _note(session, _Noted(payment["user_id"], EventKind.PAYMENT, at, data))


def _note(session: Session, noted: _Noted) -> None:
    session.info.setdefault(_NOTED, []).append(noted)
    before_commit(session, _number_and_write)


def _number_and_write(session: Session) -> None:
    noted: list[_Noted] = session.info.pop(_NOTED)
    counts = Counter(one.user_id for one in noted)
    newest = advance_heads(session, counts, at=max(one.at for one in noted))
    following = {user_id: newest[user_id] - count for user_id, count in counts.items()}
    events = []
    for user_id, kind, at, data in noted:
        following[user_id] += 1
        events.append(
            AccountEvent(
                user_id=user_id, id=following[user_id], kind=kind, occurred_at=at, data=data
            )
        )
    insert_events(session, events)
    for event in events:
        after_commit(session, event)
