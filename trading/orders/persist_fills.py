"""Write the result of an execution: fills, ended orders and orders that remain open."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from trading.account_events.new_events import fill_event, order_event
from trading.exchange.order_types import Side
from trading.ledger.cash import Account, lock_accounts, save
from trading.orders.close import OrderClosure, delete_pending_fills, end_orders, unsettled_cost
from trading.orders.model import (
    ORDER_TRANSITIONS,
    EndReason,
    OrderEvent,
    OrderStatus,
    status_after_fill,
)
from trading.orders.order_book import extreme_price
from trading.orders.rows import LOCKED_COLUMNS, LockedOrder, NewExecution
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.unit_of_work import UnitOfWork

# An unfilled order that ends for one of these reasons is rejected, not cancelled.
_REJECTIONS = (EndReason.STOCK_NOT_TRADABLE, EndReason.INSUFFICIENT_CASH)


@dataclass(slots=True)
class FillBatch:
    """What is to be written about locked orders.

    - ``fills``: new executions, by order.
    - ``with_pending_fills``: orders whose pending fills are recorded by this batch.
    - ``endings``: why orders end, by order.
    - ``postponed``: orders to retry, by the seconds until then.
    - ``resting``: orders now known to rest in the book.
    - ``waiting``: orders that stay in the book as they are.
    - ``entering``: market orders that enter the book, where the next print fills them.

    Writing sets ``insufficient_cash_count``, the number of orders that ended because the account
    could not pay, and ``finished``, which counts the orders that ended by status and reason (None
    if filled).
    """

    orders: Mapping[UUID, LockedOrder]
    fills: defaultdict[UUID, list[NewExecution]] = field(default_factory=lambda: defaultdict(list))
    with_pending_fills: list[UUID] = field(default_factory=list)
    endings: dict[UUID, EndReason] = field(default_factory=dict)
    postponed: defaultdict[int, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    resting: list[UUID] = field(default_factory=list)
    waiting: list[UUID] = field(default_factory=list)
    entering: list[UUID] = field(default_factory=list)
    insufficient_cash_count: int = 0
    finished: Counter[tuple[OrderStatus, EndReason | None]] = field(default_factory=Counter)

    def filled_quantity(self, order_id: UUID) -> int:
        """Return the shares of an order that this batch fills."""
        return sum(fill.quantity for fill in self.fills.get(order_id, ()))

    def remaining(self, order: LockedOrder) -> int:
        """Return the shares of an order that remain to be filled after this batch."""
        return order.remaining_quantity - self.filled_quantity(order.id)


def persist_fills(uow: UnitOfWork, batch: FillBatch) -> list[UUID]:
    """Write the batch and return the ids of its executions.

    A fill that the account cannot pay is dropped, and its order ends.
    """
    session, now = uow.session, uow.now
    unsettled = unsettled_cost(session, _buys(batch, batch.fills))
    shortfalls = _shortfalls(batch, unsettled)
    ending_buys = _buys(batch, batch.endings)
    accounts = lock_accounts(
        session, {batch.orders[order_id].user_id for order_id in {*shortfalls, *ending_buys}}
    )
    _cover_shortfalls(uow, batch, shortfalls, accounts)
    executions = _numbered_executions(session, batch)
    if executions:
        session.execute(insert(ORDER_EXECUTIONS), executions)
    _write_filled_orders(uow, batch)
    _write_waiting_orders(session, batch, now=now)
    delete_pending_fills(session, batch.with_pending_fills)
    _write_endings(uow, batch, accounts)
    save(uow, accounts.values(), [])
    return [fill.id for fills in batch.fills.values() for fill in fills]


def _buys(batch: FillBatch, order_ids: Iterable[UUID]) -> list[UUID]:
    return [order_id for order_id in order_ids if batch.orders[order_id].side == Side.BUY]


def _shortfalls(batch: FillBatch, unsettled: Mapping[UUID, int]) -> dict[UUID, int]:
    """Return by how many won the fills of buys exceed their reservations, for those that do."""
    shortfalls = {}
    for order_id in _buys(batch, batch.fills):
        cost = sum(fill.amount + fill.commission for fill in batch.fills[order_id])
        missing = unsettled.get(order_id, 0) + cost - batch.orders[order_id].reserved_cash
        if missing > 0:
            shortfalls[order_id] = missing
    return shortfalls


def _cover_shortfalls(
    uow: UnitOfWork,
    batch: FillBatch,
    shortfalls: Mapping[UUID, int],
    accounts: dict[UUID, Account],
) -> None:
    """Reserve what is missing; where less is available, drop the fills and end the order."""
    for order_id, missing in shortfalls.items():
        order = batch.orders[order_id]
        account = accounts[order.user_id]
        if account.available >= missing:
            account.reserve(missing)
            uow.session.execute(
                update(ORDERS)
                .where(ORDERS.c.id == order_id)
                .values(reserved_cash=ORDERS.c.reserved_cash + missing)
            )
        else:
            del batch.fills[order_id]
            batch.endings.pop(order_id, None)
            batch.insufficient_cash_count += 1
            # Ended at once: the next order of the same account may need what this one releases.
            closure = _closure(order, EndReason.INSUFFICIENT_CASH)
            _end_orders(uow, batch, [closure], accounts)


def _numbered_executions(session: Session, batch: FillBatch) -> list[dict[str, object]]:
    """Return the rows of all new executions, each with its number among its order's fills."""
    filled_before = [
        order_id for order_id in batch.fills if batch.orders[order_id].executed_quantity
    ]
    last_numbers: dict[UUID, int] = {}
    if filled_before:
        rows = session.execute(
            select(ORDER_EXECUTIONS.c.order_id, func.max(ORDER_EXECUTIONS.c.fill_number))
            .where(ORDER_EXECUTIONS.c.order_id.in_(filled_before))
            .group_by(ORDER_EXECUTIONS.c.order_id)
        )
        last_numbers = {order_id: int(number) for order_id, number in rows}
    return [
        {**fill._asdict(), "fill_number": number}
        for order_id, fills in batch.fills.items()
        for number, fill in enumerate(fills, start=last_numbers.get(order_id, 0) + 1)
    ]


def _write_filled_orders(uow: UnitOfWork, batch: FillBatch) -> None:
    session, now = uow.session, uow.now
    filled: list[UUID] = []
    filled_in_part: defaultdict[tuple[int, bool], list[UUID]] = defaultdict(list)
    for order_id, fills in batch.fills.items():
        order = batch.orders[order_id]
        executed = order.executed_quantity + batch.filled_quantity(order_id)
        status = status_after_fill(
            OrderStatus(order.status), ordered=order.quantity, executed=executed
        )
        for fill in fills:
            uow.emit(fill_event(fill._asdict()))
        uow.emit(order_event(order._asdict(), at=now, status=status, executed_quantity=executed))
        if status is OrderStatus.FILLED:
            filled.append(order_id)
            batch.finished[status, None] += 1
        else:
            filled_in_part[executed, order_id in batch.endings].append(order_id)
    if filled:
        session.execute(
            update(ORDERS)
            .where(ORDERS.c.id.in_(filled))
            .values(
                status=OrderStatus.FILLED,
                executed_quantity=ORDERS.c.quantity,
                next_attempt_at=None,
                book_price=None,
                awaiting_first_print=False,
                is_new_in_book=False,
                finished_at=now,
            )
        )
    for (executed, ends), order_ids in filled_in_part.items():
        change = (
            update(ORDERS)
            .where(ORDERS.c.id.in_(order_ids))
            .values(status=OrderStatus.PARTIALLY_FILLED, executed_quantity=executed)
        )
        # An order that remains open is in the book already. One that ends in this transaction keeps
        # its next attempt until then, because an open order must have one of the two.
        session.execute(change if ends else change.values(next_attempt_at=None))


def _write_waiting_orders(session: Session, batch: FillBatch, *, now: datetime) -> None:
    for seconds, ids in batch.postponed.items():
        session.execute(
            update(ORDERS)
            .where(ORDERS.c.id.in_(ids))
            .values(next_attempt_at=now + timedelta(seconds=seconds))
        )
    if batch.resting:
        session.execute(
            update(ORDERS)
            .where(ORDERS.c.id.in_(batch.resting))
            .values(next_attempt_at=None, awaiting_first_print=False)
        )
    for side in Side:
        entering = [id_ for id_ in batch.entering if batch.orders[id_].side == side]
        if entering:
            session.execute(
                update(ORDERS)
                .where(ORDERS.c.id.in_(entering))
                .values(
                    next_attempt_at=None,
                    book_price=extreme_price(side),
                    awaiting_first_print=True,
                    is_new_in_book=True,
                )
            )
    if batch.waiting:
        session.execute(
            update(ORDERS).where(ORDERS.c.id.in_(batch.waiting)).values(next_attempt_at=None)
        )


def _write_endings(uow: UnitOfWork, batch: FillBatch, accounts: dict[UUID, Account]) -> None:
    if not batch.endings:
        return
    # Read again, because the fills above changed some of them.
    rows = uow.session.execute(select(*LOCKED_COLUMNS).where(ORDERS.c.id.in_(list(batch.endings))))
    closures = [_closure(order, batch.endings[order.id]) for order in map(LockedOrder._make, rows)]
    _end_orders(uow, batch, closures, accounts)


def _end_orders(
    uow: UnitOfWork,
    batch: FillBatch,
    closures: Sequence[OrderClosure],
    accounts: dict[UUID, Account],
) -> None:
    end_orders(uow, closures, accounts=accounts)
    for closure in closures:
        status = ORDER_TRANSITIONS.after(OrderStatus(closure.order.status), closure.event)
        batch.finished[status, closure.reason] += 1


def _closure(order: LockedOrder, reason: EndReason) -> OrderClosure:
    rejected = reason in _REJECTIONS and not order.executed_quantity
    return OrderClosure(order, OrderEvent.REJECT if rejected else OrderEvent.CANCEL, reason)
