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
from trading.exchange.order_types import Side, TimeInForce
from trading.halts.queries import halted_accounts, halts_since
from trading.halts.records import HaltRecord
from trading.marketdata.quotes import QuoteStore
from trading.marketdata.ticks import Tick
from trading.orders.close import LOCKED_COLUMNS
from trading.orders.executions import Evidence, execution_row
from trading.orders.fills import (
    Fill,
    Postponement,
    TickEvidence,
    fill_at_last_trade,
    is_within_order_life,
)
from trading.orders.model import OPEN_STATUSES, EndReason, OrderStatus
from trading.orders.persist_fills import FillBatch, persist_fills
from trading.orders.tables import ORDERS, PENDING_FILLS
from trading.stocks.import_listing import stocks_of
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
    stocks = stocks_of(session, {order.stock_code for order in orders})
    halts = halts_since(session, now - timedelta(milliseconds=settings.tick_freshness_ms))
    halted = any(halt.is_running for halt in halts)
    accounts_halted = halted_accounts(session, {order.user_id for order in orders})
    batch = FillBatch({order.id: order for order in orders})
    for order in orders:
        stock = stocks[order.stock_code]
        if stock.status == "DELISTED":
            batch.endings[order.id] = EndReason.STOCK_NOT_TRADABLE
        elif halted or stock.status == "HALTED":
            _postpone(batch, order, now)
        elif order.user_id in accounts_halted:
            batch.postponed[_HALTED_ACCOUNT_S].append(order.id)
        elif order.id in touches:
            _take_touches(batch, order, touches[order.id], stock=stock, settings=settings, now=now)
        else:
            tick = ticks.get(order.stock_code)
            evidence = (
                None
                if tick is None
                else _evidence(tick, order, stock=stock, hours=hours, halts=halts, now=now)
            )
            _look_at_last_trade(
                batch, order, tick, evidence, stock=stock, settings=settings, now=now
            )
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
    stock: AnyRow,
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


def _evidence(
    tick: Tick,
    order: AnyRow,
    *,
    stock: AnyRow,
    hours: MarketHours,
    halts: Sequence[HaltRecord],
    now: datetime,
) -> TickEvidence:
    """What the last trade proves for an order: nothing when it came during a halt or after the order's day."""
    alive = is_within_order_life(
        hours,
        TimeInForce(order.time_in_force),
        accepted_at=order.accepted_at,
        received_at=tick.received_at,
    )
    session = None
    if alive and not any(halt.holds(tick.received_at) for halt in halts):
        session = hours.filling_session(tick.traded_at, exchange=tick.exchange, kind=stock.kind)
    return TickEvidence(price=tick.price, age_ms=tick.age_ms(now), session=session)


def _look_at_last_trade(
    batch: FillBatch,
    order: AnyRow,
    tick: Tick | None,
    evidence: TickEvidence | None,
    *,
    stock: AnyRow,
    settings: Settings,
    now: datetime,
) -> None:
    """Fill an order that has just arrived at the last trade if that is fresh and within its limit; else it ends, waits in the book or is looked
    at again."""
    may_wait = TimeInForce(order.time_in_force).may_wait
    expired = now - order.accepted_at >= timedelta(milliseconds=settings.tick_freshness_ms)
    if settings.fill_profile == "volume" and (order.book_price is not None or not may_wait):
        # Only a trade after its acceptance may fill it, and the matcher finds those: what may not wait has had its chance, or waited long enough,
        # or keeps the instant at which it will have.
        if may_wait:
            batch.waits.append(order.id)
        elif order.book_price is None or expired:
            batch.endings[order.id] = EndReason.NOT_FILLED_AT_ONCE
        return
    if order.book_price is not None and not order.awaiting_first_print:
        # A trade has shown since that it rests, and so it has no better price than its limit.
        batch.waits.append(order.id)
        return
    decision = fill_at_last_trade(
        Side(order.side), order.limit_price, evidence, freshness_ms=settings.tick_freshness_ms
    )
    if not may_wait and (expired or isinstance(decision, Postponement)):
        batch.endings[order.id] = EndReason.NOT_FILLED_AT_ONCE
    elif isinstance(decision, Fill) and tick is not None and evidence is not None:
        found = Evidence.of_tick(tick, decision, session=str(evidence.session), now=now)
        _fill(batch, order, batch.remaining(order), found, stock=stock, settings=settings, now=now)
    elif order.book_price is None:
        _postpone(batch, order, now)
    elif decision is Postponement.PRICE_NOT_MET:
        batch.rests.append(order.id)
    else:
        batch.waits.append(order.id)


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
    stock: AnyRow,
    settings: Settings,
    now: datetime,
) -> None:
    batch.fills[order.id].append(
        execution_row(order, quantity, evidence, stock=stock, settings=settings, now=now)
    )


def _postpone(batch: FillBatch, order: AnyRow, now: datetime) -> None:
    batch.postponed[_backoff_s(now - order.accepted_at)].append(order.id)
