"""The writing half of an execution: fills, the ends of orders and what is put off, all in a handful of statements."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from trading.account_events.record import emit_fill_event, emit_order_event
from trading.db.statements import AnyRow
from trading.exchange.order_types import Side
from trading.ledger.cash import Account, lock_accounts, save
from trading.orders.close import (
    LOCKED_COLUMNS,
    OrderClosure,
    delete_pending_fills,
    end_orders,
    unsettled_cost,
)
from trading.orders.model import (
    ORDER_TRANSITIONS,
    EndReason,
    OrderEvent,
    OrderStatus,
    status_after_fill,
)
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS

# An order that ends for one of these before anything of it was filled was never good for the market.
_REJECTIONS = (EndReason.STOCK_NOT_TRADABLE, EndReason.INSUFFICIENT_CASH)


@dataclass(slots=True)
class FillBatch:
    """What is to be written about locked orders. Fills are rows of executions; ``postponed`` is keyed by seconds.

    ``over`` counts the orders that are over once it is written, by their status and why; one that was filled has no reason.
    """

    orders: Mapping[UUID, AnyRow]
    fills: defaultdict[UUID, list[dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    touched: list[UUID] = field(default_factory=list)
    endings: dict[UUID, EndReason] = field(default_factory=dict)
    postponed: defaultdict[int, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    rests: list[UUID] = field(default_factory=list)
    waits: list[UUID] = field(default_factory=list)
    unpaid: int = 0
    over: Counter[tuple[OrderStatus, EndReason | None]] = field(default_factory=Counter)

    def filled_quantity(self, order_id: UUID) -> int:
        """The shares of an order that this batch fills."""
        return sum(fill["quantity"] for fill in self.fills.get(order_id, ()))

    def remaining(self, order: AnyRow) -> int:
        """The shares of an order that are still to be filled once this batch is written."""
        remaining: int = order.quantity - order.executed_quantity - self.filled_quantity(order.id)
        return remaining


def persist_fills(session: Session, decisions: FillBatch, *, now: datetime) -> list[UUID]:
    """Write the decisions; the ids of the executions that they made. A fill that the account can't pay for is dropped and its order ends."""
    before = unsettled_cost(session, _buys(decisions, decisions.fills))
    short = _shortfalls(decisions, before)
    ending_buys = _buys(decisions, decisions.endings)
    accounts = lock_accounts(
        session, {decisions.orders[order_id].user_id for order_id in {*short, *ending_buys}}
    )
    _cover(session, decisions, short, accounts, now=now)
    executions = _number(session, decisions)
    if executions:
        session.execute(insert(ORDER_EXECUTIONS), executions)
    _write_fills(session, decisions, now=now)
    _write_waiting(session, decisions, now=now)
    delete_pending_fills(session, decisions.touched)
    _end(session, decisions, accounts, now=now)
    save(session, accounts.values(), [], now=now)
    return [execution["id"] for execution in executions]


def _buys(decisions: FillBatch, order_ids: Mapping[UUID, Any]) -> list[UUID]:
    return [order_id for order_id in order_ids if decisions.orders[order_id].side == Side.BUY]


def _shortfalls(decisions: FillBatch, before: Mapping[UUID, int]) -> dict[UUID, int]:
    """By how many won the fills of a buy exceed what it has reserved; orders that have enough are absent."""
    short = {}
    for order_id in _buys(decisions, decisions.fills):
        cost = sum(fill["amount"] + fill["commission"] for fill in decisions.fills[order_id])
        missing = before.get(order_id, 0) + cost - decisions.orders[order_id].reserved_cash
        if missing > 0:
            short[order_id] = missing
    return short


def _cover(
    session: Session,
    decisions: FillBatch,
    short: Mapping[UUID, int],
    accounts: dict[UUID, Account],
    *,
    now: datetime,
) -> None:
    """Take what is missing from what is available; where that is too little the fill is dropped and the order ends."""
    for order_id, missing in short.items():
        order = decisions.orders[order_id]
        account = accounts[order.user_id]
        if account.available >= missing:
            account.reserve(missing)
            session.execute(
                update(ORDERS)
                .where(ORDERS.c.id == order_id)
                .values(reserved_cash=ORDERS.c.reserved_cash + missing)
            )
        else:
            del decisions.fills[order_id]
            decisions.endings.pop(order_id, None)
            decisions.unpaid += 1
            # Ended at once: the next order of the same account may need what this one gives back.
            _end_orders(
                session, decisions, [_ending(order, EndReason.INSUFFICIENT_CASH)], accounts, now=now
            )


def _number(session: Session, decisions: FillBatch) -> list[dict[str, Any]]:
    """All new executions, each with its number among the fills of its order."""
    earlier = [
        order_id for order_id in decisions.fills if decisions.orders[order_id].executed_quantity
    ]
    last: dict[UUID, int] = {}
    if earlier:
        rows = session.execute(
            select(ORDER_EXECUTIONS.c.order_id, func.max(ORDER_EXECUTIONS.c.fill_number))
            .where(ORDER_EXECUTIONS.c.order_id.in_(earlier))
            .group_by(ORDER_EXECUTIONS.c.order_id)
        )
        last = {order_id: int(number) for order_id, number in rows}
    executions = []
    for order_id, fills in decisions.fills.items():
        for number, fill in enumerate(fills, start=last.get(order_id, 0) + 1):
            executions.append({**fill, "fill_number": number})
    return executions


def _write_fills(session: Session, decisions: FillBatch, *, now: datetime) -> None:
    whole: list[UUID] = []
    parts: defaultdict[tuple[int, bool], list[UUID]] = defaultdict(list)
    for order_id, fills in decisions.fills.items():
        order = decisions.orders[order_id]
        executed = order.executed_quantity + decisions.filled_quantity(order_id)
        status = status_after_fill(
            OrderStatus(order.status), ordered=order.quantity, executed=executed
        )
        for fill in fills:
            emit_fill_event(session, fill)
        emit_order_event(
            session, order._asdict(), at=now, status=status, executed_quantity=executed
        )
        if status is OrderStatus.FILLED:
            whole.append(order_id)
            decisions.over[status, None] += 1
        else:
            parts[executed, order_id in decisions.endings].append(order_id)
    if whole:
        session.execute(
            update(ORDERS)
            .where(ORDERS.c.id.in_(whole))
            .values(
                status=OrderStatus.FILLED,
                executed_quantity=ORDERS.c.quantity,
                next_attempt_at=None,
                book_price=None,
                awaiting_first_print=False,
                finished_at=now,
            )
        )
    for (executed, ends), order_ids in parts.items():
        # What goes on waiting is in the book already; what ends in this same transaction stays due until then.
        done = {} if ends else {"next_attempt_at": None}
        session.execute(
            update(ORDERS)
            .where(ORDERS.c.id.in_(order_ids))
            .values(status=OrderStatus.PARTIALLY_FILLED, executed_quantity=executed, **done)
        )


def _write_waiting(session: Session, decisions: FillBatch, *, now: datetime) -> None:
    for seconds, ids in decisions.postponed.items():
        session.execute(
            update(ORDERS)
            .where(ORDERS.c.id.in_(ids))
            .values(next_attempt_at=now + timedelta(seconds=seconds))
        )
    if decisions.rests:
        session.execute(
            update(ORDERS)
            .where(ORDERS.c.id.in_(decisions.rests))
            .values(next_attempt_at=None, awaiting_first_print=False)
        )
    if decisions.waits:
        session.execute(
            update(ORDERS).where(ORDERS.c.id.in_(decisions.waits)).values(next_attempt_at=None)
        )


def _end(
    session: Session, decisions: FillBatch, accounts: dict[UUID, Account], *, now: datetime
) -> None:
    if not decisions.endings:
        return
    # Read anew: the fills above have changed some of them.
    rows: Sequence[AnyRow] = session.execute(
        select(*LOCKED_COLUMNS).where(ORDERS.c.id.in_(list(decisions.endings)))
    ).all()
    endings = [_ending(row, decisions.endings[row.id]) for row in rows]
    _end_orders(session, decisions, endings, accounts, now=now)


def _end_orders(
    session: Session,
    decisions: FillBatch,
    endings: Sequence[OrderClosure],
    accounts: dict[UUID, Account],
    *,
    now: datetime,
) -> None:
    end_orders(session, endings, now=now, accounts=accounts)
    for ending in endings:
        decisions.over[
            ORDER_TRANSITIONS.after(OrderStatus(ending.order.status), ending.event), ending.reason
        ] += 1


def _ending(order: AnyRow, reason: EndReason) -> OrderClosure:
    rejected = reason in _REJECTIONS and not order.executed_quantity
    return OrderClosure(order, OrderEvent.REJECT if rejected else OrderEvent.CANCEL, reason)
