"""Totals of a user's orders in a period."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from trading.exchange.order_types import Side
from trading.orders.model import OrderStatus
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS


@dataclass(frozen=True, slots=True, kw_only=True)
class SideTotals:
    """Totals of the orders of one side: their number, shares, and the amounts of their fills (won).

    ``tax`` is the sum of both taxes. A sale's profit is known when it is applied to the holding, so
    ``realized_profit`` leaves out ``unapplied_executions``.
    """

    orders: int = 0
    ordered_quantity: int = 0
    executed_quantity: int = 0
    executed_amount: int = 0
    commission: int = 0
    transaction_tax: int = 0
    rural_tax: int = 0
    realized_profit: int = 0
    unapplied_executions: int = 0

    @property
    def tax(self) -> int:
        return self.transaction_tax + self.rural_tax


@dataclass(frozen=True, slots=True)
class OrderSummary:
    """The number of orders, also by status, and totals by side."""

    orders: int
    by_status: Mapping[OrderStatus, int]
    by_side: Mapping[Side, SideTotals]


def order_summary(
    session: Session,
    *,
    user_id: UUID,
    since: datetime | None,
    until: datetime | None,
    stock_code: str | None,
) -> OrderSummary:
    """Return totals of the orders accepted from ``since`` (inclusive) to ``until`` (exclusive).

    All of their fills count, whenever they were executed. Always two statements.
    """
    wanted = _wanted(user_id, since, until, stock_code)
    counts = session.execute(
        select(
            ORDERS.c.side,
            ORDERS.c.status,
            func.count().label("orders"),
            func.sum(ORDERS.c.quantity).label("ordered"),
            func.sum(ORDERS.c.executed_quantity).label("executed"),
        )
        .where(wanted)
        .group_by(ORDERS.c.side, ORDERS.c.status)
    ).all()
    rows = session.execute(
        select(
            ORDER_EXECUTIONS.c.side,
            func.sum(ORDER_EXECUTIONS.c.amount).label("executed_amount"),
            func.sum(ORDER_EXECUTIONS.c.commission).label("commission"),
            func.sum(ORDER_EXECUTIONS.c.transaction_tax).label("transaction_tax"),
            func.sum(ORDER_EXECUTIONS.c.rural_tax).label("rural_tax"),
            func.coalesce(func.sum(ORDER_EXECUTIONS.c.realized_profit), 0).label("realized_profit"),
            (func.count() - func.count(ORDER_EXECUTIONS.c.applied_at)).label(
                "unapplied_executions"
            ),
        )
        .join(ORDERS, ORDERS.c.id == ORDER_EXECUTIONS.c.order_id)
        .where(wanted)
        .group_by(ORDER_EXECUTIONS.c.side)
    ).mappings()
    # MySQL returns sums as decimals.
    totals = {row["side"]: {name: int(row[name]) for name in row if name != "side"} for row in rows}
    by_side = {
        side: SideTotals(
            orders=sum(row.orders for row in counts if row.side == side),
            ordered_quantity=sum(int(row.ordered) for row in counts if row.side == side),
            executed_quantity=sum(int(row.executed) for row in counts if row.side == side),
            **totals.get(side, {}),
        )
        for side in Side
    }
    return OrderSummary(
        orders=sum(row.orders for row in counts),
        by_status={
            status: sum(row.orders for row in counts if row.status == status)
            for status in OrderStatus
        },
        by_side=by_side,
    )


def _wanted(
    user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> ColumnElement[bool]:
    conditions = [ORDERS.c.user_id == user_id]
    if since is not None:
        conditions.append(ORDERS.c.accepted_at >= since)
    if until is not None:
        conditions.append(ORDERS.c.accepted_at < until)
    if stock_code is not None:
        conditions.append(ORDERS.c.stock_code == stock_code)
    return and_(*conditions)
