"""Stage three, settle: turn fills into cash. Each execution becomes exactly one Transaction, and what was over-reserved is released."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trading.database.rows import AnyRow
from trading.database.tables import Order, OrderExecution, table_of
from trading.database.transactions import send_after_commit
from trading.queue import Task, wakeups
from trading.rules.ledger import TransactionType
from trading.rules.orders import OrderStatus, Side, buy_reservation
from trading.services.ledger import Account, lock_accounts, save
from trading.services.worked_on import WorkedOn
from trading.settings import Settings

_ORDERS = table_of(Order)
_EXECUTIONS = table_of(OrderExecution)

_NEEDED = (
    _EXECUTIONS.c.id,
    _EXECUTIONS.c.order_id,
    _EXECUTIONS.c.user_id,
    _EXECUTIONS.c.stock_code,
    _EXECUTIONS.c.side,
    _EXECUTIONS.c.quantity,
    _EXECUTIONS.c.price,
    _EXECUTIONS.c.amount,
    _EXECUTIONS.c.commission,
    _EXECUTIONS.c.transaction_tax,
    _EXECUTIONS.c.rural_tax,
)


def settle_executions(
    session: Session, execution_ids: Sequence[UUID], *, settings: Settings, now: datetime
) -> WorkedOn:
    """Settle what is unsettled of the orders behind these executions, and wake the portfolio update; what was settled."""
    orders = _lock_orders(session, execution_ids)
    if not orders:
        return WorkedOn()
    executions = session.execute(
        select(*_NEEDED)
        .where(_EXECUTIONS.c.order_id.in_(list(orders)), _EXECUTIONS.c.settled_at.is_(None))
        .order_by(_EXECUTIONS.c.id)
    ).all()
    if not executions:
        return WorkedOn()
    accounts = lock_accounts(session, {execution.user_id for execution in executions})
    transactions = []
    spent: defaultdict[UUID, int] = defaultdict(int)
    for execution in executions:
        cost = execution.amount + execution.commission if execution.side == Side.BUY else 0
        if cost:
            spent[execution.order_id] += cost
        transactions.append(
            _transaction(accounts[execution.user_id], execution, reserved=cost, now=now)
        )
    _release_what_is_left(session, orders, spent, accounts, settings)
    save(session, accounts.values(), transactions, now=now)
    settled = [execution.id for execution in executions]
    session.execute(update(_EXECUTIONS).where(_EXECUTIONS.c.id.in_(settled)).values(settled_at=now))
    for wakeup in wakeups(Task.UPDATE_PORTFOLIOS, settled, batch_size=settings.stage_batch_size):
        send_after_commit(session, wakeup)
    return WorkedOn.of_orders(orders.values(), execution_ids=settled)


def _lock_orders(session: Session, execution_ids: Sequence[UUID]) -> dict[UUID, AnyRow]:
    """Lock the orders that have something unsettled among these executions, by ascending id.

    The order's lock guards its executions too, so they need none of their own: whoever settles or fills an order holds it.
    """
    order_ids = session.scalars(
        select(_EXECUTIONS.c.order_id).where(
            _EXECUTIONS.c.id.in_(execution_ids), _EXECUTIONS.c.settled_at.is_(None)
        )
    ).all()
    if not order_ids:
        return {}
    rows = session.execute(
        select(
            _ORDERS.c.id,
            _ORDERS.c.side,
            _ORDERS.c.user_id,
            _ORDERS.c.status,
            _ORDERS.c.reserved_cash,
            _ORDERS.c.limit_price,
            _ORDERS.c.request_id,
            (_ORDERS.c.quantity - _ORDERS.c.executed_quantity).label("remaining"),
        )
        .where(_ORDERS.c.id.in_(sorted(set(order_ids))))
        .order_by(_ORDERS.c.id)
        .with_for_update()
    )
    return {row.id: row for row in rows}


def _transaction(
    account: Account, execution: AnyRow, *, reserved: int, now: datetime
) -> dict[str, Any]:
    return account.post(
        TransactionType(execution.side),
        amount=execution.amount,
        commission=execution.commission,
        tax=execution.transaction_tax + execution.rural_tax,
        at=now,
        trade={
            "stock_code": execution.stock_code,
            "order_id": execution.order_id,
            "execution_id": execution.id,
            "quantity": execution.quantity,
            "price": execution.price,
        },
        reserved=reserved,
    )


def _release_what_is_left(
    session: Session,
    orders: dict[UUID, AnyRow],
    spent: dict[UUID, int],
    accounts: dict[UUID, Account],
    settings: Settings,
) -> None:
    """A buy keeps what the rest of its quantity may still cost, a finished one nothing; the other won are available again."""
    finished = []
    for order_id, cost in spent.items():
        order = orders[order_id]
        left = order.reserved_cash - cost
        keeps = _still_needed(order, left, settings)
        accounts[order.user_id].release(left - keeps)
        if keeps:
            session.execute(
                update(_ORDERS).where(_ORDERS.c.id == order_id).values(reserved_cash=keeps)
            )
        else:
            finished.append(order_id)
    if finished:
        session.execute(update(_ORDERS).where(_ORDERS.c.id.in_(finished)).values(reserved_cash=0))


def _still_needed(order: AnyRow, left: int, settings: Settings) -> int:
    """The won, of those left to it, that a buy goes on reserving. A market order has no limit to reckon with and keeps them all."""
    if not OrderStatus(order.status).is_open:
        return 0
    if order.limit_price is None:
        return left
    needed = buy_reservation(
        quantity=order.remaining, price=order.limit_price, commission_ppm=settings.commission_ppm
    )
    return min(left, needed)
