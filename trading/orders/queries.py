"""A user's orders, with their executions."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow
from trading.marketdata.ticks import Position
from trading.orders.errors import OrderNotFound
from trading.orders.model import EndReason
from trading.orders.records import ExecutionRecord, OrderRecord
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.pagination import Page, page_of
from trading.stocks.tables import STOCKS

# Every order has its stock. The outer join keeps MariaDB from beginning with the stocks, of which there are fewer than orders: it would read all orders
# of a user, and sort them, for one page.
_WITH_NAME = select(ORDERS, STOCKS.c.name.label("stock_name")).outerjoin(
    STOCKS, STOCKS.c.code == ORDERS.c.stock_code
)


def get_order(session: Session, *, user_id: UUID, order_id: UUID) -> OrderRecord:
    """One order of this user. Raises OrderNotFound, for another's order too."""
    row = session.execute(
        _WITH_NAME.where(ORDERS.c.id == order_id, ORDERS.c.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise OrderNotFound
    return _record(row, _executions(session, [order_id]).get(order_id, ()))


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
    """A user's orders, newest first, each filter narrowing; ``accepted_to`` is exclusive. Two statements, however many orders."""
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
    rows = session.execute(wanted.order_by(ORDERS.c.id.desc()).limit(limit + 1)).all()
    executions = _executions(session, [row.id for row in rows])
    return page_of(
        rows,
        limit=limit,
        record=lambda row: _record(row, executions.get(row.id, ())),
        cursor=lambda row: row.id.hex,
    )


def orders_cancelled_at(session: Session, *, user_id: UUID, at: datetime) -> list[UUID]:
    """The orders that this user cancelled at exactly this instant, by id."""
    return list(
        session.scalars(
            select(ORDERS.c.id)
            .where(
                ORDERS.c.user_id == user_id,
                ORDERS.c.finished_at == at,
                ORDERS.c.reason == EndReason.CANCELLED_BY_USER,
            )
            .order_by(ORDERS.c.id)
        )
    )


def _executions(
    session: Session, order_ids: Sequence[UUID]
) -> dict[UUID, tuple[ExecutionRecord, ...]]:
    if not order_ids:
        return {}
    rows = session.execute(
        select(ORDER_EXECUTIONS)
        .where(ORDER_EXECUTIONS.c.order_id.in_(order_ids))
        .order_by(ORDER_EXECUTIONS.c.order_id, ORDER_EXECUTIONS.c.fill_number)
    )
    found: defaultdict[UUID, list[ExecutionRecord]] = defaultdict(list)
    for row in rows:
        found[row.order_id].append(_execution(row))
    return {order_id: tuple(records) for order_id, records in found.items()}


def _record(row: AnyRow, executions: tuple[ExecutionRecord, ...]) -> OrderRecord:
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


def _execution(row: AnyRow) -> ExecutionRecord:
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
