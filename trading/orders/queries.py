"""Queries for a user's orders and their executions."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from trading.exchange.hours import MarketHours
from trading.exchange.order_types import TimeInForce
from trading.marketdata.ticks import Position
from trading.orders.errors import OrderNotFound
from trading.orders.records import ExecutionRecord, OrderRecord
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.pagination import Page, page_of
from trading.stocks.tables import STOCKS

# Larger totals are not counted.
TOTAL_MAX = 1_000


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


def get_order(
    session: Session, *, user_id: UUID, order_id: UUID, hours: MarketHours
) -> OrderRecord:
    """Return one order of this user. Raise OrderNotFound, for another user's order too."""
    row = session.execute(
        _WITH_NAME.where(ORDERS.c.id == order_id, ORDERS.c.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise OrderNotFound
    executions = _executions(session, [order_id]).get(order_id, ())
    return _record(_OrderRow._make(row), executions, hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which of a user's orders to list; None does not narrow.

    Each interval includes its begin and excludes its end. ``filled_from`` and ``filled_to`` select
    orders with at least one fill in that interval.
    """

    statuses: Collection[str] | None = None
    is_open: bool | None = None
    side: str | None = None
    stock_codes: Collection[str] | None = None
    client_order_id: str | None = None
    accepted_from: datetime | None = None
    accepted_to: datetime | None = None
    filled_from: datetime | None = None
    filled_to: datetime | None = None
    finished_from: datetime | None = None
    finished_to: datetime | None = None


def list_orders(
    session: Session,
    *,
    user_id: UUID,
    wanted: OrderFilter,
    limit: int,
    hours: MarketHours,
    before: UUID | None = None,
) -> Page[OrderRecord]:
    """Return a page of a user's orders, newest first, and how many match in total.

    The total is None if more than ``TOTAL_MAX`` match. Always three statements.
    """
    conditions = list(_conditions(user_id, wanted))
    shown = _WITH_NAME.where(*conditions)
    if before is not None:
        shown = shown.where(ORDERS.c.id < before)
    newest = session.execute(shown.order_by(ORDERS.c.id.desc()).limit(limit + 1))
    rows = [_OrderRow._make(row) for row in newest]
    executions = _executions(session, [row.id for row in rows])
    matching = select(ORDERS.c.id).where(*conditions).limit(TOTAL_MAX + 1).subquery()
    total = session.execute(select(func.count()).select_from(matching)).scalar_one()
    return page_of(
        rows,
        limit=limit,
        record=lambda row: _record(row, executions.get(row.id, ()), hours),
        cursor=lambda row: row.id.hex,
        total=total if total <= TOTAL_MAX else None,
    )


def _conditions(user_id: UUID, wanted: OrderFilter) -> Iterator[ColumnElement[bool]]:
    yield ORDERS.c.user_id == user_id
    if wanted.client_order_id is not None:
        yield ORDERS.c.client_order_id == wanted.client_order_id
    if wanted.statuses is not None:
        yield ORDERS.c.status.in_(wanted.statuses)
    if wanted.side is not None:
        yield ORDERS.c.side == wanted.side
    if wanted.stock_codes is not None:
        yield ORDERS.c.stock_code.in_(wanted.stock_codes)
    if wanted.is_open is not None:
        unfinished = ORDERS.c.finished_at.is_(None)
        yield unfinished if wanted.is_open else ~unfinished
    yield from _within(ORDERS.c.accepted_at, wanted.accepted_from, wanted.accepted_to)
    yield from _within(ORDERS.c.finished_at, wanted.finished_from, wanted.finished_to)
    filled = list(_within(ORDER_EXECUTIONS.c.executed_at, wanted.filled_from, wanted.filled_to))
    if filled:
        own = ORDER_EXECUTIONS.c.user_id == user_id
        yield ORDERS.c.id.in_(select(ORDER_EXECUTIONS.c.order_id).where(own, *filled))


def _within(
    column: ColumnElement[datetime], begin: datetime | None, end: datetime | None
) -> Iterator[ColumnElement[bool]]:
    if begin is not None:
        yield column >= begin
    if end is not None:
        yield column < end


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


def expires_at(
    hours: MarketHours, *, time_in_force: str, accepted_at: datetime, finished_at: datetime | None
) -> datetime | None:
    """Return when an open DAY order ends; None for other orders."""
    if finished_at is not None or time_in_force != TimeInForce.DAY:
        return None
    return hours.day_end_after(accepted_at)


def _record(
    row: _OrderRow, executions: tuple[ExecutionRecord, ...], hours: MarketHours
) -> OrderRecord:
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
        expires_at=expires_at(
            hours,
            time_in_force=row.time_in_force,
            accepted_at=row.accepted_at,
            finished_at=row.finished_at,
        ),
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
