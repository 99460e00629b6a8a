"""Queries for a user's orders and their executions."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.marketdata.ticks import Position
from trading.orders.errors import OrderNotFound
from trading.orders.records import ExecutionRecord, OrderRecord
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.pagination import Page, page_of
from trading.stocks.tables import STOCKS


class _OrderRow(NamedTuple):
    """The columns of an order that its record needs, with the name of its stock."""

    id: UUID
    client_order_id: str | None
    stock_code: str
    side: str
    order_type: str
    time_in_force: str
    quantity: int
    limit_price: int | None
    status: str
    reason: str | None
    executed_quantity: int
    reserved_cash: int
    accepted_at: datetime
    finished_at: datetime | None
    stock_name: str


class _ExecutionRow(NamedTuple):
    """The columns of an execution that its record needs."""

    order_id: UUID
    id: UUID
    price: int
    quantity: int
    amount: int
    commission: int
    transaction_tax: int
    rural_tax: int
    realized_profit: int | None
    rule: str
    session: str | None
    commission_ppm: int | None
    tick_price: int
    tick_traded_at: datetime
    tick_age_ms: int
    tick_position: int
    executed_at: datetime
    settled_at: datetime | None
    applied_at: datetime | None


_ORDER_COLUMNS = [ORDERS.c[name] for name in _OrderRow._fields if name != "stock_name"]
_EXECUTION_COLUMNS = [ORDER_EXECUTIONS.c[name] for name in _ExecutionRow._fields]

# Every order has its stock. The outer join keeps MariaDB from starting with the stocks, which are
# fewer than the orders: it would read and sort all orders of a user for one page.
_WITH_NAME = select(*_ORDER_COLUMNS, STOCKS.c.name.label("stock_name")).outerjoin(
    STOCKS, STOCKS.c.code == ORDERS.c.stock_code
)


def get_order(session: Session, *, user_id: UUID, order_id: UUID) -> OrderRecord:
    """Return one order of this user. Raise OrderNotFound, for another user's order too."""
    row = session.execute(
        _WITH_NAME.where(ORDERS.c.id == order_id, ORDERS.c.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise OrderNotFound
    executions = _executions(session, [order_id]).get(order_id, ())
    return _record(_OrderRow._make(row), executions)


def list_orders(
    session: Session,
    *,
    user_id: UUID,
    limit: int,
    before: UUID | None = None,
    status: str | None = None,
    is_open: bool | None = None,
    side: str | None = None,
    stock_code: str | None = None,
    accepted_from: datetime | None = None,
    accepted_to: datetime | None = None,
) -> Page[OrderRecord]:
    """Return a page of a user's orders, newest first.

    Each filter narrows the result; ``accepted_to`` is exclusive. Always two statements.
    """
    wanted = _WITH_NAME.where(ORDERS.c.user_id == user_id)
    if before is not None:
        wanted = wanted.where(ORDERS.c.id < before)
    for column, value in (
        (ORDERS.c.status, status),
        (ORDERS.c.side, side),
        (ORDERS.c.stock_code, stock_code),
    ):
        if value is not None:
            wanted = wanted.where(column == value)
    if is_open is not None:
        wanted = wanted.where(
            ORDERS.c.finished_at.is_(None) if is_open else ORDERS.c.finished_at.is_not(None)
        )
    if accepted_from is not None:
        wanted = wanted.where(ORDERS.c.accepted_at >= accepted_from)
    if accepted_to is not None:
        wanted = wanted.where(ORDERS.c.accepted_at < accepted_to)
    newest = session.execute(wanted.order_by(ORDERS.c.id.desc()).limit(limit + 1))
    rows = [_OrderRow._make(row) for row in newest]
    executions = _executions(session, [row.id for row in rows])
    return page_of(
        rows,
        limit=limit,
        record=lambda row: _record(row, executions.get(row.id, ())),
        cursor=lambda row: row.id.hex,
    )


def _executions(
    session: Session, order_ids: Sequence[UUID]
) -> dict[UUID, tuple[ExecutionRecord, ...]]:
    if not order_ids:
        return {}
    rows = session.execute(
        select(*_EXECUTION_COLUMNS)
        .where(ORDER_EXECUTIONS.c.order_id.in_(order_ids))
        .order_by(ORDER_EXECUTIONS.c.order_id, ORDER_EXECUTIONS.c.fill_number)
    )
    found: defaultdict[UUID, list[ExecutionRecord]] = defaultdict(list)
    for row in map(_ExecutionRow._make, rows):
        found[row.order_id].append(_execution(row))
    return {order_id: tuple(records) for order_id, records in found.items()}


def _record(row: _OrderRow, executions: tuple[ExecutionRecord, ...]) -> OrderRecord:
    return OrderRecord(
        id=row.id,
        client_order_id=row.client_order_id,
        stock_code=row.stock_code,
        stock_name=row.stock_name,
        side=row.side,
        order_type=row.order_type,
        time_in_force=row.time_in_force,
        quantity=row.quantity,
        price=row.limit_price,
        status=row.status,
        reason=row.reason,
        executed_quantity=row.executed_quantity,
        reserved_cash=row.reserved_cash,
        accepted_at=row.accepted_at,
        finished_at=row.finished_at,
        executions=executions,
    )


def _execution(row: _ExecutionRow) -> ExecutionRecord:
    return ExecutionRecord(
        id=row.id,
        price=row.price,
        quantity=row.quantity,
        amount=row.amount,
        commission=row.commission,
        tax=row.transaction_tax + row.rural_tax,
        transaction_tax=row.transaction_tax,
        rural_tax=row.rural_tax,
        realized_profit=row.realized_profit,
        rule=row.rule,
        session=row.session,
        commission_ppm=row.commission_ppm,
        tick_price=row.tick_price,
        tick_traded_at=row.tick_traded_at,
        tick_age_ms=row.tick_age_ms,
        tick_position=str(Position.unpack(row.tick_position)),
        executed_at=row.executed_at,
        settled_at=row.settled_at,
        applied_at=row.applied_at,
    )
