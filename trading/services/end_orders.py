"""The end of orders before their whole quantity was filled: the one place that gives back what they still held."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from trading.database.rows import AnyRow
from trading.database.tables import Holding, Order, OrderExecution, OrderTouch, table_of
from trading.database.types import Id
from trading.rules.errors import OrderNotFound, OrderNotOpen
from trading.rules.orders import (
    OPEN_STATUSES,
    ORDER_TRANSITIONS,
    EndReason,
    OrderEvent,
    OrderStatus,
    Side,
)
from trading.services.account_events import note_order
from trading.services.ledger import Account, lock_accounts, save

_ORDERS = table_of(Order)
_EXECUTIONS = table_of(OrderExecution)
_TOUCHES = table_of(OrderTouch)
_HOLDINGS = table_of(Holding)

# The table is nearly empty, so left to itself MariaDB reads all of it, and waits for the rows that a matcher has not committed yet. Only a DELETE
# that names its table twice takes a hint.
_FORGET = {
    on_sqlite: text(statement).bindparams(bindparam("ids", type_=Id, expanding=True))
    for on_sqlite, statement in (
        (True, "DELETE FROM order_touches WHERE order_id IN :ids"),
        (
            False,
            "DELETE order_touches FROM order_touches FORCE INDEX (PRIMARY) WHERE order_id IN :ids",
        ),
    )
}

LOCKED_COLUMNS = (
    _ORDERS.c.id,
    _ORDERS.c.user_id,
    _ORDERS.c.client_order_id,
    _ORDERS.c.stock_code,
    _ORDERS.c.side,
    _ORDERS.c.order_type,
    _ORDERS.c.time_in_force,
    _ORDERS.c.limit_price,
    _ORDERS.c.status,
    _ORDERS.c.quantity,
    _ORDERS.c.executed_quantity,
    _ORDERS.c.reserved_cash,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """A locked, open order (LOCKED_COLUMNS as they are in the database now) and how it ends."""

    order: AnyRow
    event: OrderEvent
    reason: EndReason


def end_orders(
    session: Session,
    endings: Sequence[Ending],
    *,
    now: datetime,
    accounts: dict[UUID, Account] | None = None,
) -> None:
    """End locked orders: release the cash or the shares that their unfilled part reserved, and forget what was found for them.

    What fills not settled yet have cost stays reserved until their settlement. ``accounts`` are those that the caller has locked and saves itself.
    """
    if not endings:
        return
    buys = [ending.order for ending in endings if ending.order.side == Side.BUY]
    unsettled = unsettled_cost(session, [order.id for order in buys])
    locked = (
        lock_accounts(session, {order.user_id for order in buys}) if accounts is None else accounts
    )
    for order in buys:
        locked[order.user_id].release(order.reserved_cash - unsettled.get(order.id, 0))
    _write_orders(session, endings, unsettled, now=now)
    forget_touches(session, [ending.order.id for ending in endings])
    if accounts is None:
        save(session, locked.values(), [], now=now)
    _release_shares(session, [ending.order for ending in endings if ending.order.side == Side.SELL])


def unsettled_cost(session: Session, order_ids: Sequence[UUID]) -> Mapping[UUID, int]:
    """What the fills of these buys that are not settled yet have cost (won), by order; orders without any are absent."""
    if not order_ids:
        return {}
    rows = session.execute(
        select(_EXECUTIONS.c.order_id, func.sum(_EXECUTIONS.c.amount + _EXECUTIONS.c.commission))
        .where(_EXECUTIONS.c.order_id.in_(order_ids), _EXECUTIONS.c.settled_at.is_(None))
        .group_by(_EXECUTIONS.c.order_id)
    )
    return {order_id: int(cost) for order_id, cost in rows}


def forget_touches(session: Session, order_ids: Sequence[UUID]) -> None:
    """Drop what the matcher found for these orders and nobody executed, where it found anything."""
    if order_ids:
        mine = _TOUCHES.c.order_id.in_(order_ids)
        # Nobody else can add one meanwhile: that takes the lock of the order, which the caller holds.
        delete_touches(
            session, session.scalars(select(_TOUCHES.c.order_id).where(mine).distinct()).all()
        )


def delete_touches(session: Session, order_ids: Sequence[UUID]) -> None:
    """Delete the touches of locked orders that are known to have some."""
    if order_ids:
        session.execute(_FORGET[session.get_bind().dialect.name == "sqlite"], {"ids": order_ids})


def lock_own_order(
    session: Session, *, user_id: UUID, order_id: UUID, columns: Sequence[ColumnElement[object]]
) -> AnyRow:
    """Lock one open order of this user. Raises OrderNotFound, for another's order too, or OrderNotOpen."""
    order = session.execute(
        select(*columns, _ORDERS.c.reason)
        .where(_ORDERS.c.id == order_id, _ORDERS.c.user_id == user_id)
        .with_for_update()
    ).one_or_none()
    if order is None:
        raise OrderNotFound
    if not OrderStatus(order.status).is_open:
        raise OrderNotOpen(
            order_status=order.status,
            reason=order.reason,
            executed_quantity=order.executed_quantity,
        )
    return order


def cancel_order(session: Session, *, user_id: UUID, order_id: UUID, now: datetime) -> None:
    """Cancel one open order of this user. Raises OrderNotFound or OrderNotOpen: a fill that came first has won."""
    order = lock_own_order(session, user_id=user_id, order_id=order_id, columns=LOCKED_COLUMNS)
    end_orders(session, [_cancelled(order)], now=now)


def cancel_open_orders(session: Session, *, user_id: UUID, now: datetime) -> list[UUID]:
    """Cancel every open order of this user; their ids."""
    orders = _lock_open_orders(session, _ORDERS.c.user_id == user_id)
    end_orders(session, [_cancelled(order) for order in orders], now=now)
    return [order.id for order in orders]


def cancel_buys_of_overdrawn(session: Session, *, user_id: UUID, now: datetime) -> None:
    """Cancel every open buy of a user whose cash is needed for what is taken back from him."""
    orders = _lock_open_orders(
        session, (_ORDERS.c.user_id == user_id) & (_ORDERS.c.side == Side.BUY)
    )
    end_orders(
        session,
        [Ending(order, OrderEvent.CANCEL, EndReason.ACCOUNT_OVERDRAWN) for order in orders],
        now=now,
    )


def has_open_buys(session: Session, *, user_id: UUID) -> bool:
    """Whether an open buy of this user reserves cash now."""
    mine = (_ORDERS.c.user_id == user_id) & _ORDERS.c.status.in_(OPEN_STATUSES)
    return (
        session.scalar(select(_ORDERS.c.id).where(mine, _ORDERS.c.reserved_cash > 0).limit(1))
        is not None
    )


def _lock_open_orders(session: Session, which: ColumnElement[bool]) -> Sequence[AnyRow]:
    return session.execute(
        select(*LOCKED_COLUMNS)
        .where(which, _ORDERS.c.status.in_(OPEN_STATUSES))
        .order_by(_ORDERS.c.id)
        .with_for_update()
    ).all()


def _cancelled(order: AnyRow) -> Ending:
    return Ending(order, OrderEvent.CANCEL, EndReason.CANCELLED_BY_USER)


def _write_orders(
    session: Session, endings: Iterable[Ending], unsettled: Mapping[UUID, int], *, now: datetime
) -> None:
    alike: defaultdict[tuple[OrderStatus, EndReason, int], list[UUID]] = defaultdict(list)
    for ending in endings:
        status = ORDER_TRANSITIONS.after(OrderStatus(ending.order.status), ending.event)
        alike[status, ending.reason, unsettled.get(ending.order.id, 0)].append(ending.order.id)
        note_order(session, ending.order._asdict(), at=now, status=status, reason=ending.reason)
    for (status, reason, reserved_cash), ids in alike.items():
        session.execute(
            update(_ORDERS)
            .where(_ORDERS.c.id.in_(ids))
            .values(
                status=status,
                reason=reason,
                reserved_cash=reserved_cash,
                wake_at=None,
                book_price=None,
                arriving=False,
                finished_at=now,
            )
        )


def _release_shares(session: Session, sales: Iterable[AnyRow]) -> None:
    released: defaultdict[tuple[UUID, str], int] = defaultdict(int)
    for order in sales:
        released[order.user_id, order.stock_code] += order.quantity - order.executed_quantity
    for (user_id, stock_code), quantity in sorted(released.items()):
        session.execute(
            update(_HOLDINGS)
            .where(_HOLDINGS.c.user_id == user_id, _HOLDINGS.c.stock_code == stock_code)
            .values(reserved_quantity=_HOLDINGS.c.reserved_quantity - quantity)
        )
