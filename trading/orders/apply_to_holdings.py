"""Apply settled fills to holdings: quantity, cost and realised profit (stage four of four)."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trading.db.upsert import upsert
from trading.exchange.order_types import Side
from trading.ledger.holdings import HoldingKey, lock_holdings, save_holdings
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.tasks import AffectedIds
from trading.unit_of_work import UnitOfWork


class _SettledExecution(NamedTuple):
    """All columns of an execution (an upsert needs them all), amounts in won."""

    id: UUID
    order_id: UUID
    user_id: UUID
    stock_code: str
    side: str
    fill_number: int
    quantity: int
    price: int
    amount: int
    commission: int
    transaction_tax: int
    rural_tax: int
    rule: str
    tick_position: int
    tick_price: int
    tick_traded_at: datetime
    tick_age_ms: int
    executed_at: datetime
    settled_at: datetime
    applied_at: datetime | None
    cost: int | None
    buy_commission: int | None
    realized_profit: int | None
    session: str | None
    commission_ppm: int | None

    @property
    def holding_key(self) -> HoldingKey:
        return HoldingKey(self.user_id, self.stock_code)


_COLUMNS = tuple(ORDER_EXECUTIONS.c[name] for name in _SettledExecution._fields)


def update_portfolios(uow: UnitOfWork, execution_ids: Sequence[UUID]) -> AffectedIds:
    """Apply the settled, unapplied fills among these executions and return the affected ids."""
    session, now = uow.session, uow.now
    executions = _lock_executions(session, execution_ids)
    if not executions:
        return AffectedIds()
    purchases = [execution for execution in executions if execution.side == Side.BUY]
    holdings = lock_holdings(
        session,
        [execution.holding_key for execution in executions],
        opened=[execution.holding_key for execution in purchases],
        now=now,
    )
    sales = []
    for execution in executions:
        holding = holdings[execution.holding_key]
        if execution.side == Side.BUY:
            holding.apply_purchase(
                quantity=execution.quantity,
                amount=execution.amount,
                commission=execution.commission,
            )
        else:
            sale = holding.apply_sale(
                quantity=execution.quantity,
                amount=execution.amount,
                commission=execution.commission,
                tax=execution.transaction_tax + execution.rural_tax,
            )
            sales.append({**execution._asdict(), "applied_at": now, **asdict(sale)})
    save_holdings(uow, holdings.values())
    upsert(
        session,
        ORDER_EXECUTIONS,
        sales,
        update=("cost", "buy_commission", "realized_profit", "applied_at"),
    )
    if purchases:
        bought = [execution.id for execution in purchases]
        session.execute(
            update(ORDER_EXECUTIONS).where(ORDER_EXECUTIONS.c.id.in_(bought)).values(applied_at=now)
        )
    return _affected_ids(session, executions)


def _lock_executions(session: Session, execution_ids: Sequence[UUID]) -> list[_SettledExecution]:
    rows = session.execute(
        select(*_COLUMNS)
        .where(
            ORDER_EXECUTIONS.c.id.in_(execution_ids),
            ORDER_EXECUTIONS.c.settled_at.is_not(None),
            ORDER_EXECUTIONS.c.applied_at.is_(None),
        )
        .order_by(ORDER_EXECUTIONS.c.id)
        .with_for_update()
    )
    return [_SettledExecution._make(row) for row in rows]


def _affected_ids(session: Session, executions: Sequence[_SettledExecution]) -> AffectedIds:
    order_ids = tuple(dict.fromkeys(execution.order_id for execution in executions))
    requests = select(ORDERS.c.request_id).where(
        ORDERS.c.id.in_(order_ids), ORDERS.c.request_id.is_not(None)
    )
    return AffectedIds(
        order_ids=order_ids,
        execution_ids=tuple(execution.id for execution in executions),
        user_ids=tuple(dict.fromkeys(execution.user_id for execution in executions)),
        request_ids=tuple(dict.fromkeys(session.scalars(requests))),
    )
