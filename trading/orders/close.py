"""End orders before their whole quantity is filled, and release what they still reserve."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from trading.account_events.new_events import order_event
from trading.db.types import Id
from trading.exchange.order_types import Side
from trading.ledger.cash import Account, lock_accounts, save
from trading.ledger.holdings import HoldingKey, release_shares
from trading.orders.errors import OrderNotFound, OrderNotOpen
from trading.orders.model import (
    OPEN_STATUSES,
    ORDER_TRANSITIONS,
    EndReason,
    OrderEvent,
    OrderStatus,
)
from trading.orders.rows import LOCKED_COLUMNS, LockedOrder
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS, PENDING_FILLS
from trading.unit_of_work import UnitOfWork

# The table is nearly empty, so without a hint MariaDB scans it all and waits for rows that a
# matcher has not committed yet. Only a DELETE that names its table twice accepts a hint.
_DELETE_PENDING_FILLS = {
    on_sqlite: text(statement).bindparams(bindparam("ids", type_=Id, expanding=True))
    for on_sqlite, statement in (
        (True, "DELETE FROM pending_fills WHERE order_id IN :ids"),
        (
            False,
            "DELETE pending_fills FROM pending_fills FORCE INDEX (PRIMARY) WHERE order_id IN :ids",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class OrderClosure:
    """A locked, open order as it is in the database now, and how it ends."""

    order: LockedOrder
    event: OrderEvent
    reason: EndReason


def end_orders(
    uow: UnitOfWork,
    closures: Sequence[OrderClosure],
    *,
    accounts: dict[UUID, Account] | None = None,
) -> None:
    """End locked orders: release what their unfilled part reserves and delete their pending fills.

    The cost of unsettled fills stays reserved until their settlement. ``accounts`` are those that
    the caller has locked and saves itself.
    """
    if not closures:
        return
    session = uow.session
    buys = [closure.order for closure in closures if closure.order.side == Side.BUY]
    unsettled = unsettled_cost(session, [order.id for order in buys])
    locked = (
        lock_accounts(session, {order.user_id for order in buys}) if accounts is None else accounts
    )
    for order in buys:
        locked[order.user_id].release(order.reserved_cash - unsettled.get(order.id, 0))
    _write_orders(uow, closures, unsettled)
    discard_pending_fills(session, [closure.order.id for closure in closures])
    if accounts is None:
        save(uow, locked.values(), [])
    released: defaultdict[HoldingKey, int] = defaultdict(int)
    for closure in closures:
        order = closure.order
        if order.side == Side.SELL:
            released[HoldingKey(order.user_id, order.stock_code)] += order.remaining_quantity
    release_shares(session, released)


def unsettled_cost(session: Session, order_ids: Sequence[UUID]) -> Mapping[UUID, int]:
    """Return the cost of the unsettled fills of buys (won), by order; orders without are absent."""
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
    """Delete the pending fills of locked orders, where there are any."""
    if order_ids:
        of_orders = PENDING_FILLS.c.order_id.in_(order_ids)
        # No transaction can add one meanwhile: that takes the order's lock, which the caller holds.
        found = session.scalars(select(PENDING_FILLS.c.order_id).where(of_orders).distinct())
        delete_pending_fills(session, found.all())


def delete_pending_fills(session: Session, order_ids: Sequence[UUID]) -> None:
    """Delete the pending fills of locked orders that are known to have some."""
    if order_ids:
        statement = _DELETE_PENDING_FILLS[session.get_bind().dialect.name == "sqlite"]
        session.execute(statement, {"ids": order_ids})


def lock_own_order(session: Session, *, user_id: UUID, order_id: UUID) -> LockedOrder:
    """Lock one open order of this user.

    Raise OrderNotFound, for another user's order too, or OrderNotOpen.
    """
    row = session.execute(
        select(*LOCKED_COLUMNS)
        .where(ORDERS.c.id == order_id, ORDERS.c.user_id == user_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise OrderNotFound
    order = LockedOrder._make(row)
    if not OrderStatus(order.status).is_open:
        raise OrderNotOpen(
            order_status=order.status,
            reason=order.reason,
            executed_quantity=order.executed_quantity,
        )
    return order


def cancel_order(uow: UnitOfWork, *, user_id: UUID, order_id: UUID) -> None:
    """Cancel one open order of this user. Raise OrderNotFound, or OrderNotOpen if it has ended."""
    order = lock_own_order(uow.session, user_id=user_id, order_id=order_id)
    end_orders(uow, [_cancelled(order)])


def cancel_open_orders(uow: UnitOfWork, *, user_id: UUID) -> list[UUID]:
    """Cancel every open order of this user and return their ids."""
    orders = _lock_open_orders(uow.session, ORDERS.c.user_id == user_id)
    end_orders(uow, [_cancelled(order) for order in orders])
    return [order.id for order in orders]


def cancel_orders_of_closed_account(uow: UnitOfWork, *, user_id: UUID) -> None:
    """Cancel every open order of a user whose account is being closed."""
    orders = _lock_open_orders(uow.session, ORDERS.c.user_id == user_id)
    end_orders(
        uow, [OrderClosure(order, OrderEvent.CANCEL, EndReason.ACCOUNT_CLOSED) for order in orders]
    )


def cancel_buys_of_overdrawn(uow: UnitOfWork, *, user_id: UUID) -> None:
    """Cancel every open buy of a user whose cash is needed for a payment that is taken back."""
    orders = _lock_open_orders(
        uow.session, (ORDERS.c.user_id == user_id) & (ORDERS.c.side == Side.BUY)
    )
    end_orders(
        uow,
        [OrderClosure(order, OrderEvent.CANCEL, EndReason.ACCOUNT_OVERDRAWN) for order in orders],
    )


def has_open_buys(session: Session, *, user_id: UUID) -> bool:
    """Return True if an open buy of this user reserves cash."""
    open_orders = (ORDERS.c.user_id == user_id) & ORDERS.c.status.in_(OPEN_STATUSES)
    reserving = select(ORDERS.c.id).where(open_orders, ORDERS.c.reserved_cash > 0).limit(1)
    return session.scalar(reserving) is not None


def _lock_open_orders(session: Session, condition: ColumnElement[bool]) -> list[LockedOrder]:
    rows = session.execute(
        select(*LOCKED_COLUMNS)
        .where(condition, ORDERS.c.status.in_(OPEN_STATUSES))
        .order_by(ORDERS.c.id)
        .with_for_update()
    )
    return [LockedOrder._make(row) for row in rows]


def _cancelled(order: LockedOrder) -> OrderClosure:
    return OrderClosure(order, OrderEvent.CANCEL, EndReason.CANCELLED_BY_USER)


def _write_orders(
    uow: UnitOfWork, closures: Iterable[OrderClosure], unsettled: Mapping[UUID, int]
) -> None:
    # Orders that end with the same columns are updated by one statement.
    groups: defaultdict[tuple[OrderStatus, EndReason, int], list[UUID]] = defaultdict(list)
    for closure in closures:
        order = closure.order
        status = ORDER_TRANSITIONS.after(OrderStatus(order.status), closure.event)
        groups[status, closure.reason, unsettled.get(order.id, 0)].append(order.id)
        uow.emit(order_event(order._asdict(), at=uow.now, status=status, reason=closure.reason))
    for (status, reason, reserved_cash), ids in groups.items():
        uow.session.execute(
            update(ORDERS)
            .where(ORDERS.c.id.in_(ids))
            .values(
                status=status,
                reason=reason,
                reserved_cash=reserved_cash,
                next_attempt_at=None,
                book_price=None,
                awaiting_first_print=False,
                is_new_in_book=False,
                finished_at=uow.now,
            )
        )
