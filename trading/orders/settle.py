"""Settle fills: move their cash and release what they over-reserved (stage three of four).

Each execution becomes exactly one ledger entry.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.exchange.order_types import Side
from trading.ledger.cash import Account, NewTransaction, lock_accounts, save
from trading.ledger.model import LedgerEntry, TradeFacts, TransactionType
from trading.orders.model import OrderStatus, buy_reservation
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.tasks import AffectedIds, Task, task_requests
from trading.unit_of_work import UnitOfWork


class _UnsettledExecution(NamedTuple):
    """The columns of an execution that its settlement needs; amounts in won."""

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

    @property
    def cost(self) -> int:
        """Return what a purchase takes out of the cash (won), 0 for a sale."""
        return self.amount + self.commission if self.side == Side.BUY else 0


class _LockedOrder(NamedTuple):
    """The columns of a locked order that the settlement of its fills needs; amounts in won."""

    id: UUID
    side: str
    user_id: UUID
    status: str
    reserved_cash: int
    limit_price: int | None
    request_id: str | None
    remaining: int


_EXECUTION_COLUMNS = tuple(ORDER_EXECUTIONS.c[name] for name in _UnsettledExecution._fields)


def settle_executions(uow: UnitOfWork, execution_ids: Sequence[UUID]) -> AffectedIds:
    """Settle all unsettled fills of the orders behind these executions.

    Dispatch the update of the holdings and return the ids of what was settled.
    """
    session, settings, now = uow.session, uow.settings, uow.now
    orders = _lock_orders(session, execution_ids)
    if not orders:
        return AffectedIds()
    executions = _unsettled_executions(session, orders)
    if not executions:
        return AffectedIds()
    accounts = lock_accounts(session, {execution.user_id for execution in executions})
    transactions = []
    spent: defaultdict[UUID, int] = defaultdict(int)
    for execution in executions:
        if execution.cost:
            spent[execution.order_id] += execution.cost
        transactions.append(_post(accounts[execution.user_id], execution, now=now))
    _release_excess(session, orders, spent, accounts, settings)
    save(uow, accounts.values(), transactions)
    settled = [execution.id for execution in executions]
    session.execute(
        update(ORDER_EXECUTIONS).where(ORDER_EXECUTIONS.c.id.in_(settled)).values(settled_at=now)
    )
    for request in task_requests(
        Task.UPDATE_PORTFOLIOS, settled, batch_size=settings.stage_batch_size
    ):
        uow.after_commit(request)
    return AffectedIds.of_orders(orders.values(), execution_ids=settled)


def _lock_orders(session: Session, execution_ids: Sequence[UUID]) -> dict[UUID, _LockedOrder]:
    """Lock the orders that have something unsettled among these executions, by ascending id.

    The order's lock guards its executions too, so they are not locked: every transaction that
    settles or fills an order holds it.
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
    return {order.id: order for order in map(_LockedOrder._make, rows)}


def _unsettled_executions(session: Session, order_ids: Iterable[UUID]) -> list[_UnsettledExecution]:
    rows = session.execute(
        select(*_EXECUTION_COLUMNS)
        .where(
            ORDER_EXECUTIONS.c.order_id.in_(list(order_ids)),
            ORDER_EXECUTIONS.c.settled_at.is_(None),
        )
        .order_by(ORDER_EXECUTIONS.c.id)
    )
    return [_UnsettledExecution._make(row) for row in rows]


def _post(account: Account, execution: _UnsettledExecution, *, now: datetime) -> NewTransaction:
    entry = LedgerEntry(
        kind=TransactionType(execution.side),
        amount=execution.amount,
        commission=execution.commission,
        tax=execution.transaction_tax + execution.rural_tax,
        at=now,
        trade=TradeFacts(
            stock_code=execution.stock_code,
            order_id=execution.order_id,
            execution_id=execution.id,
            quantity=execution.quantity,
            price=execution.price,
        ),
    )
    return account.post(entry, reserved=execution.cost)


def _release_excess(
    session: Session,
    orders: Mapping[UUID, _LockedOrder],
    spent: Mapping[UUID, int],
    accounts: Mapping[UUID, Account],
    settings: Settings,
) -> None:
    """Release what a buy reserves beyond the cost of its remaining quantity; all if it ended."""
    released_fully = []
    for order_id, cost in spent.items():
        order = orders[order_id]
        left = order.reserved_cash - cost
        kept = _still_needed(order, left, settings)
        accounts[order.user_id].release(left - kept)
        if kept:
            session.execute(
                update(ORDERS).where(ORDERS.c.id == order_id).values(reserved_cash=kept)
            )
        else:
            released_fully.append(order_id)
    if released_fully:
        session.execute(
            update(ORDERS).where(ORDERS.c.id.in_(released_fully)).values(reserved_cash=0)
        )


def _still_needed(order: _LockedOrder, left: int, settings: Settings) -> int:
    """Return how much of the remaining reservation (won) a buy keeps.

    A market order keeps it all, because it has no limit to compute the cost from.
    """
    if not OrderStatus(order.status).is_open:
        return 0
    if order.limit_price is None:
        return left
    needed = buy_reservation(
        quantity=order.remaining, price=order.limit_price, commission_ppm=settings.commission_ppm
    )
    return min(left, needed)
