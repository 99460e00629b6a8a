"""The end of orders before their whole quantity was filled: the one place that gives back what they still held."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from trading.account_events.record import emit_order_event
from trading.db.statements import AnyRow
from trading.db.types import Id
from trading.exchange.order_types import Side
from trading.ledger.cash import Account, lock_accounts, save
from trading.ledger.tables import PORTFOLIOS
from trading.orders.errors import OrderNotFound, OrderNotOpen
from trading.orders.model import (
    OPEN_STATUSES,
    ORDER_TRANSITIONS,
    EndReason,
    OrderEvent,
    OrderStatus,
)
from trading.orders.tables import (
    ORDER_EXECUTIONS,
    ORDERS,
    PENDING_FILLS,
)

# The table is nearly empty, so left to itself MariaDB reads all of it, and waits for the rows that a matcher has not committed yet. Only a DELETE
# that names its table twice takes a hint.
_FORGET = {
    on_sqlite: text(statement).bindparams(bindparam("ids", type_=Id, expanding=True))
    for on_sqlite, statement in (
        (True, "DELETE FROM pending_fills WHERE order_id IN :ids"),
        (
            False,
            "DELETE pending_fills FROM pending_fills FORCE INDEX (PRIMARY) WHERE order_id IN :ids",
        ),
    )
}

LOCKED_COLUMNS = (
    ORDERS.c.id,
    ORDERS.c.user_id,
    ORDERS.c.client_order_id,
    ORDERS.c.stock_code,
    ORDERS.c.side,
    ORDERS.c.order_type,
    ORDERS.c.time_in_force,
    ORDERS.c.limit_price,
    ORDERS.c.status,
    ORDERS.c.quantity,
    ORDERS.c.executed_quantity,
    ORDERS.c.reserved_cash,
)


@dataclass(frozen=True, slots=True)
class OrderClosure:
    """A locked, open order (LOCKED_COLUMNS as they are in the database now) and how it ends."""

    order: AnyRow
    event: OrderEvent
    reason: EndReason


def end_orders(
    session: Session,
    endings: Sequence[OrderClosure],
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
    discard_pending_fills(session, [ending.order.id for ending in endings])
    if accounts is None:
        save(session, locked.values(), [], now=now)
    _release_shares(session, [ending.order for ending in endings if ending.order.side == Side.SELL])


def unsettled_cost(session: Session, order_ids: Sequence[UUID]) -> Mapping[UUID, int]:
    """What the fills of these buys that are not settled yet have cost (won), by order; orders without any are absent."""
    if not order_ids:
        return {}
    rows = session.execute(
        select(
            ORDER_EXECUTIONS.c.order_id,
            func.sum(ORDER_EXECUTIONS.c.amount + ORDER_EXECUTIONS.c.commission),
        )
        .where(ORDER_EXECUTIONS.c.order_id.in_(order_ids), ORDER_EXECUTIONS.c.settled_at.is_(None))
        .group_by(ORDER_EXECUTIONS.c.order_id)
    )
    return {order_id: int(cost) for order_id, cost in rows}


def discard_pending_fills(session: Session, order_ids: Sequence[UUID]) -> None:
    """Drop what the matcher found for these orders and nobody executed, where it found anything."""
    if order_ids:
        mine = PENDING_FILLS.c.order_id.in_(order_ids)
        # Nobody else can add one meanwhile: that takes the lock of the order, which the caller holds.
        delete_pending_fills(
            session, session.scalars(select(PENDING_FILLS.c.order_id).where(mine).distinct()).all()
        )


def delete_pending_fills(session: Session, order_ids: Sequence[UUID]) -> None:
    """Delete the touches of locked orders that are known to have some."""
    if order_ids:
        session.execute(_FORGET[session.get_bind().dialect.name == "sqlite"], {"ids": order_ids})


def lock_own_order(
    session: Session, *, user_id: UUID, order_id: UUID, columns: Sequence[ColumnElement[object]]
) -> AnyRow:
    """Lock one open order of this user. Raises OrderNotFound, for another's order too, or OrderNotOpen."""
    order = session.execute(
        select(*columns, ORDERS.c.reason)
        .where(ORDERS.c.id == order_id, ORDERS.c.user_id == user_id)
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
    orders = _lock_open_orders(session, ORDERS.c.user_id == user_id)
    end_orders(session, [_cancelled(order) for order in orders], now=now)
    return [order.id for order in orders]


def cancel_buys_of_overdrawn(session: Session, *, user_id: UUID, now: datetime) -> None:
    """Cancel every open buy of a user whose cash is needed for what is taken back from him."""
    orders = _lock_open_orders(session, (ORDERS.c.user_id == user_id) & (ORDERS.c.side == Side.BUY))
    end_orders(
        session,
        [OrderClosure(order, OrderEvent.CANCEL, EndReason.ACCOUNT_OVERDRAWN) for order in orders],
        now=now,
    )


def has_open_buys(session: Session, *, user_id: UUID) -> bool:
    """Whether an open buy of this user reserves cash now."""
    mine = (ORDERS.c.user_id == user_id) & ORDERS.c.status.in_(OPEN_STATUSES)
    return (
        session.scalar(select(ORDERS.c.id).where(mine, ORDERS.c.reserved_cash > 0).limit(1))
        is not None
    )


def _lock_open_orders(session: Session, which: ColumnElement[bool]) -> Sequence[AnyRow]:
    return session.execute(
        select(*LOCKED_COLUMNS)
        .where(which, ORDERS.c.status.in_(OPEN_STATUSES))
        .order_by(ORDERS.c.id)
        .with_for_update()
    ).all()


def _cancelled(order: AnyRow) -> OrderClosure:
    return OrderClosure(order, OrderEvent.CANCEL, EndReason.CANCELLED_BY_USER)


def _write_orders(
    session: Session,
    endings: Iterable[OrderClosure],
    unsettled: Mapping[UUID, int],
    *,
    now: datetime,
) -> None:
    alike: defaultdict[tuple[OrderStatus, EndReason, int], list[UUID]] = defaultdict(list)
    for ending in endings:
        status = ORDER_TRANSITIONS.after(OrderStatus(ending.order.status), ending.event)
        alike[status, ending.reason, unsettled.get(ending.order.id, 0)].append(ending.order.id)
        emit_order_event(
            session, ending.order._asdict(), at=now, status=status, reason=ending.reason
        )
    for (status, reason, reserved_cash), ids in alike.items():
        session.execute(
            update(ORDERS)
            .where(ORDERS.c.id.in_(ids))
            .values(
                status=status,
                reason=reason,
                reserved_cash=reserved_cash,
                next_attempt_at=None,
                book_price=None,
                awaiting_first_print=False,
                finished_at=now,
            )
        )


def _release_shares(session: Session, sales: Iterable[AnyRow]) -> None:
    released: defaultdict[tuple[UUID, str], int] = defaultdict(int)
    for order in sales:
        released[order.user_id, order.stock_code] += order.quantity - order.executed_quantity
    for (user_id, stock_code), quantity in sorted(released.items()):
        session.execute(
            update(PORTFOLIOS)
            .where(PORTFOLIOS.c.user_id == user_id, PORTFOLIOS.c.stock_code == stock_code)
            .values(reserved_quantity=PORTFOLIOS.c.reserved_quantity - quantity)
        )
