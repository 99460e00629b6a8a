"""Execute due orders: record the fills that the matcher found, and fill others at the last trade.

Stage two of four. A task names some orders; while any of those is due, it also executes other due
orders, so that under load the work is done in batches.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.db.statements import force_primary_key
from trading.exchange.order_types import TimeInForce
from trading.halts.queries import halted_accounts, halts_since
from trading.orders.execution_rows import Evidence, new_execution
from trading.orders.fill_price import Fill
from trading.orders.model import OPEN_STATUSES, EndReason, FillProfile, OrderStatus
from trading.orders.persist_fills import FillBatch, persist_fills
from trading.orders.routing import (
    Action,
    NextStep,
    OrderSituation,
    last_trade_evidence,
    next_step,
    trading_blocks,
)
from trading.orders.rows import LOCKED_COLUMNS, PENDING_FILL_COLUMNS, LockedOrder, StoredPendingFill
from trading.orders.tables import ORDERS, PENDING_FILLS
from trading.stocks.queries import StockAttributes, load_stock_attributes
from trading.tasks import AffectedIds, Task, task_requests
from trading.unit_of_work import UnitOfWork

_BACKOFF_MAX_S = 32
# Lifting the halt of an account dispatches its orders, so frequent retries until then are useless.
_RETRY_HALTED_ACCOUNT_S = 3_600


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """How many orders were filled (fully or partly), ended, postponed or left in the book.

    ``fills`` counts executions by side and rule, ``finished`` counts orders by final status and
    reason (None if filled).
    """

    filled: int = 0
    ended: int = 0
    postponed: int = 0
    resting: int = 0
    affected: AffectedIds = field(default=AffectedIds(), compare=False)
    fills: Mapping[tuple[str, str], int] = field(default_factory=dict, compare=False)
    finished: Mapping[tuple[OrderStatus, EndReason | None], int] = field(
        default_factory=dict, compare=False
    )


def execute_orders(uow: UnitOfWork, order_ids: Sequence[UUID]) -> ExecutionReport:
    """Fill, end, postpone or leave in the book every due order among ``order_ids``.

    Dispatch the settlement of the fills. Raise MarketUnavailable, before anything is changed, when
    Redis does not answer and an order needs the last trade; the orders stay due.
    """
    hours, session, settings, now = uow.hours, uow.session, uow.settings, uow.now
    orders = _lock_due_orders(session, order_ids, settings=settings, now=now)
    if not orders:
        return ExecutionReport()
    pending_fills = _pending_fills(session, [order.id for order in orders])
    unmatched = {order.stock_code for order in orders if order.id not in pending_fills}
    ticks = uow.quotes.last_ticks(sorted(unmatched))
    stocks = load_stock_attributes(session, {order.stock_code for order in orders})
    halts = halts_since(session, now - timedelta(milliseconds=settings.tick_freshness_ms))
    trading_halted = any(halt.is_running for halt in halts)
    accounts_halted = halted_accounts(session, {order.user_id for order in orders})
    batch = FillBatch({order.id: order for order in orders})
    for order in orders:
        stock = stocks[order.stock_code]
        tick = ticks.get(order.stock_code)
        evidence = None
        if tick is not None:
            evidence = last_trade_evidence(
                tick,
                time_in_force=TimeInForce(order.time_in_force),
                accepted_at=order.accepted_at,
                kind=stock.kind,
                hours=hours,
                halts=halts,
                stock_resumed_at=stock.resumed_at,
                now=now,
            )
        matched = pending_fills.get(order.id, ())
        step = next_step(
            _situation(order, has_matched_fills=bool(matched), settings=settings, now=now),
            evidence,
            blocks=trading_blocks(
                stock_status=stock.status,
                trading_halted=trading_halted,
                account_halted=order.user_id in accounts_halted,
            ),
            profile=FillProfile(settings.fill_profile),
            freshness_ms=settings.tick_freshness_ms,
        )
        if step.action is Action.RECORD_MATCHED_FILLS:
            _record_pending_fills(batch, order, matched, stock=stock, settings=settings, now=now)
        elif step.action is Action.FILL and isinstance(step.last_trade, Fill) and tick and evidence:
            found = Evidence.of_tick(tick, step.last_trade, session=str(evidence.session), now=now)
            quantity = batch.remaining(order)
            batch.fills[order.id].append(
                new_execution(order, quantity, found, stock=stock, settings=settings, now=now)
            )
        else:
            _leave_unfilled(batch, order, step, now)
    executed = persist_fills(uow, batch)
    for request in task_requests(
        Task.SETTLE_EXECUTIONS, executed, batch_size=settings.stage_batch_size
    ):
        uow.after_commit(request)
    return ExecutionReport(
        filled=len(batch.fills),
        ended=len(batch.endings) + batch.insufficient_cash_count,
        postponed=sum(map(len, batch.postponed.values())),
        resting=len(batch.resting) + len(batch.waiting) + len(batch.entering),
        affected=AffectedIds.of_orders(orders, execution_ids=executed),
        fills=Counter((fill.side, fill.rule) for fills in batch.fills.values() for fill in fills),
        finished=batch.finished,
    )


def _lock_due_orders(
    session: Session, order_ids: Sequence[UUID], *, settings: Settings, now: datetime
) -> list[LockedOrder]:
    due = ORDERS.c.status.in_(OPEN_STATUSES) & ORDERS.c.next_attempt_at.is_not(None)
    named = select(*LOCKED_COLUMNS).where(ORDERS.c.id.in_(order_ids), due).order_by(ORDERS.c.id)
    orders = [
        LockedOrder._make(row)
        for row in session.execute(force_primary_key(named, ORDERS).with_for_update())
    ]
    free_slots = settings.stage_batch_size - len(orders)
    if not orders or free_slots <= 0:
        return orders
    # SKIP LOCKED: do not wait for orders that another worker executes; that one may wait for these.
    others = session.execute(
        select(*LOCKED_COLUMNS)
        .where(
            ORDERS.c.next_attempt_at <= now + timedelta(milliseconds=settings.wake_grace_ms),
            due,
            ORDERS.c.id.not_in([order.id for order in orders]),
        )
        .order_by(ORDERS.c.next_attempt_at, ORDERS.c.id)
        .limit(free_slots)
        .with_for_update(skip_locked=True)
    )
    orders += map(LockedOrder._make, others)
    return sorted(orders, key=lambda order: order.id)


def _pending_fills(
    session: Session, order_ids: Sequence[UUID]
) -> Mapping[UUID, Sequence[StoredPendingFill]]:
    rows = session.execute(
        select(*PENDING_FILL_COLUMNS)
        .where(PENDING_FILLS.c.order_id.in_(order_ids))
        .order_by(PENDING_FILLS.c.order_id, PENDING_FILLS.c.tick_position)
    )
    found: dict[UUID, list[StoredPendingFill]] = {}
    for row in map(StoredPendingFill._make, rows):
        found.setdefault(row.order_id, []).append(row)
    return found


def _record_pending_fills(
    batch: FillBatch,
    order: LockedOrder,
    pending_fills: Iterable[StoredPendingFill],
    *,
    stock: StockAttributes,
    settings: Settings,
    now: datetime,
) -> None:
    """Fill an order by what the matcher found for it, up to its remaining quantity."""
    batch.with_pending_fills.append(order.id)
    for pending in pending_fills:
        quantity = min(pending.quantity, batch.remaining(order))
        if not quantity:
            break
        evidence = Evidence.of_pending_fill(pending, now)
        batch.fills[order.id].append(
            new_execution(order, quantity, evidence, stock=stock, settings=settings, now=now)
        )
    if batch.remaining(order) and not TimeInForce(order.time_in_force).may_wait:
        batch.endings[order.id] = EndReason.NOT_FILLED_AT_ONCE


def _situation(
    order: LockedOrder, *, has_matched_fills: bool, settings: Settings, now: datetime
) -> OrderSituation:
    return OrderSituation.of_stored_order(
        side=order.side,
        limit_price=order.limit_price,
        time_in_force=order.time_in_force,
        book_price=order.book_price,
        awaiting_first_print=order.awaiting_first_print,
        accepted_at=order.accepted_at,
        has_matched_fills=has_matched_fills,
        freshness_ms=settings.tick_freshness_ms,
        now=now,
    )


def _leave_unfilled(batch: FillBatch, order: LockedOrder, step: NextStep, now: datetime) -> None:
    """Record how an order goes on, or ends, without a fill."""
    match step.action:
        case Action.END if step.reason is not None:
            batch.endings[order.id] = step.reason
        case Action.REST:
            batch.resting.append(order.id)
        case Action.AWAIT_PRINT if order.book_price is None:
            batch.entering.append(order.id)
        case Action.AWAIT_PRINT:
            batch.waiting.append(order.id)
        case Action.RETRY:
            batch.postponed[_backoff_s(now - order.accepted_at)].append(order.id)
        case Action.RETRY_AFTER_ACCOUNT_HALT:
            batch.postponed[_RETRY_HALTED_ACCOUNT_S].append(order.id)
        case _:
            # AWAIT_PRINT_UNTIL_DEADLINE: the order keeps its next attempt, which is the deadline.
            pass


def _backoff_s(waited: timedelta) -> int:
    """Return the seconds until the next attempt: a power of two near the time waited, bounded."""
    seconds = 1
    while seconds < _BACKOFF_MAX_S and seconds * 2 <= waited.total_seconds():
        seconds *= 2
    return seconds
