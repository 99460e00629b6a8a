"""Stage two, execute: record the fills that the matcher found, and give orders that may fill at once their price from a fresh tick.

A task is woken with some ids; while those are due it also takes other due orders along, so that under load the work batches by itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.db.statements import AnyRow, force_primary_key
from trading.db.transactions import after_commit
from trading.exchange.hours import MarketHours
from trading.exchange.order_types import TimeInForce
from trading.halts.queries import halted_accounts, halts_since
from trading.marketdata.quotes import QuoteStore
from trading.orders.close import LOCKED_COLUMNS
from trading.orders.executions import Evidence, execution_row
from trading.orders.fills import Fill
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
from trading.orders.tables import ORDERS, PENDING_FILLS
from trading.stocks.queries import StockAttributes, load_stock_attributes
from trading.tasks import AffectedIds, Task, task_requests

_NEEDED = (
    *LOCKED_COLUMNS,
    ORDERS.c.book_price,
    ORDERS.c.awaiting_first_print,
    ORDERS.c.accepted_at,
    ORDERS.c.request_id,
)

_BACKOFF_MAX_S = 32
# Lifting the halt of an account wakes its orders, so until then there is little to look for.
_HALTED_ACCOUNT_S = 3_600


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """How many orders of a batch were filled (wholly or in part), ended, put off, and left to rest in the book.

    ``fills`` are counted by side and rule, orders that are ``over`` by status and why; one that was filled has no reason.
    """

    filled: int = 0
    ended: int = 0
    postponed: int = 0
    resting: int = 0
    worked_on: AffectedIds = field(default=AffectedIds(), compare=False)
    fills: Mapping[tuple[str, str], int] = field(default_factory=dict, compare=False)
    over: Mapping[tuple[OrderStatus, EndReason | None], int] = field(
        default_factory=dict, compare=False
    )


def execute_orders(
    session: Session,
    order_ids: Sequence[UUID],
    *,
    quotes: QuoteStore,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> ExecutionReport:
    """Fill, end, put off or leave in the book every due order among ``order_ids``, and wake the settlement of the fills.

    Raises MarketUnavailable, before anything is changed, when Redis does not answer and an order needs a last trade; the orders stay due.
    """
    orders = _lock_due(session, order_ids, settings=settings, now=now)
    if not orders:
        return ExecutionReport()
    touches = _touches_of(session, [order.id for order in orders])
    untouched = {order.stock_code for order in orders if order.id not in touches}
    ticks = quotes.last_ticks(sorted(untouched))
    stocks = load_stock_attributes(session, {order.stock_code for order in orders})
    halts = halts_since(session, now - timedelta(milliseconds=settings.tick_freshness_ms))
    halted = any(halt.is_running for halt in halts)
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
                now=now,
            )
        step = next_step(
            _situation(order, has_matched_fills=order.id in touches, settings=settings, now=now),
            evidence,
            blocks=trading_blocks(
                stock_status=stock.status,
                trading_halted=halted,
                account_halted=order.user_id in accounts_halted,
            ),
            profile=FillProfile(settings.fill_profile),
            freshness_ms=settings.tick_freshness_ms,
        )
        if step.action is Action.RECORD_MATCHED_FILLS:
            _take_touches(batch, order, touches[order.id], stock=stock, settings=settings, now=now)
        elif isinstance(step.last_trade, Fill) and step.action is Action.FILL and tick and evidence:
            found = Evidence.of_tick(tick, step.last_trade, session=str(evidence.session), now=now)
            quantity = batch.remaining(order)
            _fill(batch, order, quantity, found, stock=stock, settings=settings, now=now)
        else:
            _leave_unfilled(batch, order, step, now)
    executed = persist_fills(session, batch, now=now)
    for wakeup in task_requests(
        Task.SETTLE_EXECUTIONS, executed, batch_size=settings.stage_batch_size
    ):
        after_commit(session, wakeup)
    return ExecutionReport(
        filled=len(batch.fills),
        ended=len(batch.endings) + batch.unpaid,
        postponed=sum(map(len, batch.postponed.values())),
        resting=len(batch.rests) + len(batch.waits),
        worked_on=AffectedIds.of_orders(orders, execution_ids=executed),
        fills=Counter(
            (fill["side"], fill["rule"]) for fills in batch.fills.values() for fill in fills
        ),
        over=batch.over,
    )


def _lock_due(
    session: Session, order_ids: Sequence[UUID], *, settings: Settings, now: datetime
) -> list[AnyRow]:
    due = ORDERS.c.status.in_(OPEN_STATUSES) & ORDERS.c.next_attempt_at.is_not(None)
    wanted = select(*_NEEDED).where(ORDERS.c.id.in_(order_ids), due).order_by(ORDERS.c.id)
    asked = session.execute(force_primary_key(wanted, ORDERS).with_for_update()).all()
    room = settings.stage_batch_size - len(asked)
    if not asked or room <= 0:
        return list(asked)
    # What another worker holds is his: skipping it keeps two batches from waiting for each other.
    others = session.execute(
        select(*_NEEDED)
        .where(
            ORDERS.c.next_attempt_at <= now + timedelta(milliseconds=settings.wake_grace_ms),
            due,
            ORDERS.c.id.not_in([order.id for order in asked]),
        )
        .order_by(ORDERS.c.next_attempt_at, ORDERS.c.id)
        .limit(room)
        .with_for_update(skip_locked=True)
    ).all()
    return sorted([*asked, *others], key=lambda order: order.id)


def _touches_of(session: Session, order_ids: Sequence[UUID]) -> dict[UUID, list[AnyRow]]:
    rows = session.execute(
        select(PENDING_FILLS)
        .where(PENDING_FILLS.c.order_id.in_(order_ids))
        .order_by(PENDING_FILLS.c.order_id, PENDING_FILLS.c.tick_position)
    )
    found: dict[UUID, list[AnyRow]] = {}
    for row in rows:
        found.setdefault(row.order_id, []).append(row)
    return found


def _take_touches(
    batch: FillBatch,
    order: AnyRow,
    touches: Iterable[AnyRow],
    *,
    stock: StockAttributes,
    settings: Settings,
    now: datetime,
) -> None:
    """Fill an order by what the matcher found for it, as far as its quantity goes."""
    batch.touched.append(order.id)
    for touch in touches:
        quantity = min(touch.quantity, batch.remaining(order))
        if not quantity:
            break
        _fill(
            batch,
            order,
            quantity,
            Evidence.of_touch(touch, now),
            stock=stock,
            settings=settings,
            now=now,
        )
    if batch.remaining(order) and not TimeInForce(order.time_in_force).may_wait:
        batch.endings[order.id] = EndReason.NOT_FILLED_AT_ONCE


def _situation(
    order: AnyRow, *, has_matched_fills: bool, settings: Settings, now: datetime
) -> OrderSituation:
    return OrderSituation.of_stored_order(
        side=order.side,
        limit_price=order.limit_price,
        time_in_force=order.time_in_force,
        book_price=order.book_price,
        awaiting_first_print=bool(order.awaiting_first_print),
        accepted_at=order.accepted_at,
        has_matched_fills=has_matched_fills,
        freshness_ms=settings.tick_freshness_ms,
        now=now,
    )


def _leave_unfilled(batch: FillBatch, order: AnyRow, step: NextStep, now: datetime) -> None:
    """Record how an order goes on, or ends, without a fill."""
    match step.action:
        case Action.END if step.reason is not None:
            batch.endings[order.id] = step.reason
        case Action.REST:
            batch.rests.append(order.id)
        case Action.AWAIT_PRINT:
            batch.waits.append(order.id)
        case Action.RETRY:
            batch.postponed[_backoff_s(now - order.accepted_at)].append(order.id)
        case Action.RETRY_AFTER_ACCOUNT_HALT:
            batch.postponed[_HALTED_ACCOUNT_S].append(order.id)
        case _:
            # AWAIT_PRINT_UNTIL_DEADLINE: the order keeps its next attempt, which is the deadline.
            pass


def _backoff_s(waited: timedelta) -> int:
    """Seconds until an order that has waited this long is looked at again: about as long again, within bounds, in few steps."""
    seconds = 1
    while seconds < _BACKOFF_MAX_S and seconds * 2 <= waited.total_seconds():
        seconds *= 2
    return seconds


def _fill(
    batch: FillBatch,
    order: AnyRow,
    quantity: int,
    evidence: Evidence,
    *,
    stock: StockAttributes,
    settings: Settings,
    now: datetime,
) -> None:
    batch.fills[order.id].append(
        execution_row(order, quantity, evidence, stock=stock, settings=settings, now=now)
    )
