"""Stage three, settle: turn fills into cash. Each execution becomes exactly one Transaction, and what was over-reserved is released."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.db.statements import AnyRow
from trading.db.transactions import after_commit
from trading.exchange.order_types import Side
from trading.ledger.cash import Account, lock_accounts, save
from trading.ledger.model import TransactionType
from trading.orders.model import OrderStatus, buy_reservation
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.tasks import AffectedIds, Task, task_requests

_NEEDED = (
    ORDER_EXECUTIONS.c.id,
    ORDER_EXECUTIONS.c.order_id,
    ORDER_EXECUTIONS.c.user_id,
    ORDER_EXECUTIONS.c.stock_code,
    ORDER_EXECUTIONS.c.side,
    ORDER_EXECUTIONS.c.quantity,
    ORDER_EXECUTIONS.c.price,
    ORDER_EXECUTIONS.c.amount,
    ORDER_EXECUTIONS.c.commission,
    ORDER_EXECUTIONS.c.transaction_tax,
    ORDER_EXECUTIONS.c.rural_tax,
)


def settle_executions(
    session: Session, execution_ids: Sequence[UUID], *, settings: Settings, now: datetime
) -> AffectedIds:
    """Settle what is unsettled of the orders behind these executions, and wake the portfolio update; what was settled."""
    orders = _lock_orders(session, execution_ids)
    if not orders:
        return AffectedIds()
    executions = session.execute(
        select(*_NEEDED)
        .where(
            ORDER_EXECUTIONS.c.order_id.in_(list(orders)), ORDER_EXECUTIONS.c.settled_at.is_(None)
        )
        .order_by(ORDER_EXECUTIONS.c.id)
    ).all()
    if not executions:
        return AffectedIds()
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
    session.execute(
        update(ORDER_EXECUTIONS).where(ORDER_EXECUTIONS.c.id.in_(settled)).values(settled_at=now)
    )
    for wakeup in task_requests(
        Task.UPDATE_PORTFOLIOS, settled, batch_size=settings.stage_batch_size
    ):
        after_commit(session, wakeup)
    return AffectedIds.of_orders(orders.values(), execution_ids=settled)


def _lock_orders(session: Session, execution_ids: Sequence[UUID]) -> dict[UUID, AnyRow]:
    """Lock the orders that have something unsettled among these executions, by ascending id.

    The order's lock guards its executions too, so they need none of their own: whoever settles or fills an order holds it.
    """
    order_ids = session.scalars(
        select(ORDER_EXECUTIONS.c.order_id).where(
            ORDER_EXECUTIONS.c.id.in_(execution_ids), ORDER_EXECUTIONS.c.settled_at.is_(None)
        )
    ).all()
    if not order_ids:
        return {}
    rows = session.execute(
        select(
            ORDERS.c.id,
            ORDERS.c.side,
            ORDERS.c.user_id,
            ORDERS.c.status,
            ORDERS.c.reserved_cash,
            ORDERS.c.limit_price,
            ORDERS.c.request_id,
            (ORDERS.c.quantity - ORDERS.c.executed_quantity).label("remaining"),
        )
        .where(ORDERS.c.id.in_(sorted(set(order_ids))))
        .order_by(ORDERS.c.id)
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
                update(ORDERS).where(ORDERS.c.id == order_id).values(reserved_cash=keeps)
            )
        else:
            finished.append(order_id)
    if finished:
        session.execute(update(ORDERS).where(ORDERS.c.id.in_(finished)).values(reserved_cash=0))


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
