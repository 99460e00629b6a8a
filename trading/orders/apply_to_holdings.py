"""Stage four, portfolio: apply settled fills to the holdings: quantity, cost, realised profit. An empty holding is deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.orm import Session

from trading.account_events.record import emit_holding_event
from trading.db.statements import AnyRow, force_primary_key
from trading.db.upsert import upsert
from trading.exchange.order_types import Side
from trading.ledger.cash import InvariantBroken
from trading.ledger.positions import Position
from trading.ledger.tables import PORTFOLIOS
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.tasks import AffectedIds

_HoldingKey = tuple[UUID, str]


@dataclass(frozen=True, slots=True)
class _Holding:
    """A locked holding: its position, the profit realised since it was opened (won) and what open sales reserve of it (shares)."""

    position: Position
    realized_profit: int
    reserved_quantity: int


_EMPTY = _Holding(Position(), 0, 0)


def update_portfolios(
    session: Session, execution_ids: Sequence[UUID], *, now: datetime
) -> AffectedIds:
    """Apply the settled, unapplied fills among these executions; what was applied."""
    executions = session.execute(
        select(ORDER_EXECUTIONS)
        .where(
            ORDER_EXECUTIONS.c.id.in_(execution_ids),
            ORDER_EXECUTIONS.c.settled_at.is_not(None),
            ORDER_EXECUTIONS.c.applied_at.is_(None),
        )
        .order_by(ORDER_EXECUTIONS.c.id)
        .with_for_update()
    ).all()
    if not executions:
        return AffectedIds()
    holdings = _lock_holdings(session, executions, now=now)
    sales = []
    for execution in executions:
        key = execution.user_id, execution.stock_code
        held = holdings[key]
        position, realized, reserved = held.position, held.realized_profit, held.reserved_quantity
        if execution.side == Side.BUY:
            position = position.bought(
                quantity=execution.quantity,
                amount=execution.amount,
                commission=execution.commission,
            )
        else:
            position, sale = position.sold(
                quantity=execution.quantity,
                amount=execution.amount,
                commission=execution.commission,
                tax=execution.transaction_tax + execution.rural_tax,
            )
            realized += sale.realized_profit
            reserved -= execution.quantity
            sales.append({**execution._asdict(), "applied_at": now, **asdict(sale)})
        holdings[key] = _Holding(position, realized, reserved)
    _write_holdings(session, holdings, now=now)
    upsert(
        session,
        ORDER_EXECUTIONS,
        sales,
        update=("cost", "buy_commission", "realized_profit", "applied_at"),
    )
    bought = [execution.id for execution in executions if execution.side == Side.BUY]
    if bought:
        session.execute(
            update(ORDER_EXECUTIONS).where(ORDER_EXECUTIONS.c.id.in_(bought)).values(applied_at=now)
        )
    return _worked_on(session, executions)


def _worked_on(session: Session, executions: Sequence[AnyRow]) -> AffectedIds:
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


def _lock_holdings(
    session: Session, executions: Sequence[AnyRow], *, now: datetime
) -> dict[_HoldingKey, _Holding]:
    """Lock the holdings that these executions touch, by ascending key; those that a purchase opens are made first, empty.

    Made first, because two workers that both found no row would otherwise both start from nothing.
    """
    opened = {(one.user_id, one.stock_code) for one in executions if one.side == Side.BUY}
    upsert(
        session,
        PORTFOLIOS,
        [_row(key, _EMPTY, now) for key in sorted(opened)],
        update=("user_id",),
    )
    touched = sorted({(one.user_id, one.stock_code) for one in executions})
    key = tuple_(PORTFOLIOS.c.user_id, PORTFOLIOS.c.stock_code)
    wanted = (
        select(PORTFOLIOS)
        .where(key.in_(touched))
        .order_by(PORTFOLIOS.c.user_id, PORTFOLIOS.c.stock_code)
    )
    rows = session.execute(force_primary_key(wanted, PORTFOLIOS).with_for_update())
    return {
        (row.user_id, row.stock_code): _Holding(
            Position(row.quantity, row.cost, row.buy_commission),
            row.realized_profit,
            row.reserved_quantity,
        )
        for row in rows
    }


def _write_holdings(
    session: Session, holdings: Mapping[_HoldingKey, _Holding], *, now: datetime
) -> None:
    kept, emptied = [], []
    for key, holding in sorted(holdings.items()):
        if not 0 <= holding.reserved_quantity <= holding.position.quantity:
            raise InvariantBroken(f"holding {key}: {holding}")
        row = _row(key, holding, now)
        emit_holding_event(session, row)
        if holding.position.quantity:
            kept.append(row)
        else:
            emptied.append(key)
    columns = (
        "quantity",
        "reserved_quantity",
        "cost",
        "buy_commission",
        "realized_profit",
        "updated_at",
    )
    upsert(session, PORTFOLIOS, kept, update=columns)
    if emptied:
        session.execute(
            delete(PORTFOLIOS).where(
                tuple_(PORTFOLIOS.c.user_id, PORTFOLIOS.c.stock_code).in_(emptied)
            )
        )


def _row(key: _HoldingKey, holding: _Holding, now: datetime) -> dict[str, Any]:
    user_id, stock_code = key
    return {
        "user_id": user_id,
        "stock_code": stock_code,
        "quantity": holding.position.quantity,
        "reserved_quantity": holding.reserved_quantity,
        "cost": holding.position.cost,
        "buy_commission": holding.position.buy_commission,
        "realized_profit": holding.realized_profit,
        "updated_at": now,
    }
