"""Match the orders in the book against the trades since the last run.

A matcher reads the tick stream from its own cursor, which is a row of the database and moves in the
transaction that stores the fills. So after a crash the last run is either repeated or complete, and
no trade is lost. Only the transaction that holds the cursor's lock matches; a second one returns at
once.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, Update, func, insert, select, update
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.db.statements import force_primary_key
from trading.db.transactions import after_commit
from trading.db.upsert import upsert
from trading.exchange.hours import MarketHours
from trading.exchange.order_types import Side, TimeInForce
from trading.exchange.time import trade_date
from trading.halts.queries import halts_since
from trading.marketdata.sharding import shard_of
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Position, Tick
from trading.orders.fill_price import apply_slippage, is_within_order_life
from trading.orders.matching import (
    BookOrder,
    MatchedFill,
    MatchResult,
    Print,
    match_by_volume,
    match_whole,
)
from trading.orders.model import FillProfile
from trading.orders.order_book import TradedRange, orders_awaiting_first_print, orders_crossed
from trading.orders.rows import StoredPendingFill
from trading.orders.tables import MATCH_CURSORS, ORDERS, PENDING_FILLS
from trading.stocks.model import StockStatus
from trading.stocks.price_limits import price_limits_on
from trading.stocks.queries import StockAttributes, load_stock_attributes
from trading.tasks import AffectedIds, Task, task_requests
from trading.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

# Ticks of one run: some seconds of the busiest market. The rest is left to the next run, which
# follows at once.
TICKS_MAX = 10_000
# A run may find any number of orders. Split like this, no statement grows without bound.
_IDS_PER_STATEMENT = 500
# How often an idle matcher records that it has scanned the stream.
_RECORD_SCAN_EVERY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class MatchReport:
    """Result of one run.

    - ``ticks``: ticks read.
    - ``filled``: orders with new pending fills.
    - ``resting``: orders now known to rest.
    - ``gap``: True if trades before these were lost.
    - ``more``: True if there is more to read at once.
    - ``busy``: True if another process was matching this shard, and nothing was done.
    """

    ticks: int = 0
    filled: int = 0
    resting: int = 0
    gap: bool = False
    more: bool = False
    busy: bool = False
    affected: AffectedIds = field(default=AffectedIds(), compare=False)


class _Cursor(NamedTuple):
    """How far a matcher has read the tick stream, and when."""

    position: int
    scanned_at: datetime


class _OrderInBook(NamedTuple):
    """The columns of a locked order that matching needs."""

    id: UUID
    stock_code: str
    side: str
    limit_price: int | None
    quantity: int
    executed_quantity: int
    accepted_position: int
    accepted_at: datetime
    awaiting_first_print: bool
    time_in_force: str


_BOOK_COLUMNS = tuple(ORDERS.c[name] for name in _OrderInBook._fields)


def match_orders(uow: UnitOfWork, *, shard: int, stream: TickStream) -> MatchReport:
    """Match the orders of one shard's stocks against the trades after its cursor.

    Store the fills and dispatch their execution. Raise MarketUnavailable, before anything is
    changed, when Redis does not answer.
    """
    hours, session, settings, now = uow.hours, uow.session, uow.settings, uow.now
    cursor = _lock_cursor(session, shard=shard, settings=settings, now=now)
    if cursor is None:
        return MatchReport(busy=True)
    position = Position.unpack(cursor.position) if cursor.position else None
    part = stream.after(position, limit=TICKS_MAX)
    if part.gap:
        # Trades before the first one here cannot be proven any more, so they fill nothing; matching
        # continues with those that are there.
        log.warning(
            "tick_stream_gap",
            after=str(position),
            first=str(part.ticks[0].position if part.ticks else None),
        )
    own = [tick for tick in part.ticks if shard_of(tick.code, settings.matcher_shards) == shard]
    own = _without_halted(session, _unread(session, own, settings))
    result = MatchResult()
    if own:
        result = _match(session, own, hours=hours, settings=settings)
        _store(
            session,
            result,
            {tick.position.packed: tick for tick in own},
            settings=settings,
            now=now,
        )
    if part.end != position or now - cursor.scanned_at >= _RECORD_SCAN_EVERY:
        scanned_at = cursor.scanned_at if part.more else now
        session.execute(
            update(MATCH_CURSORS)
            .where(_is_cursor_of(shard, settings))
            .values(position=part.end.packed, scanned_at=scanned_at)
        )
    matched = dict.fromkeys(fill.order_id for fill in result.fills)
    return MatchReport(
        ticks=len(part.ticks),
        filled=len(matched),
        resting=len(result.resting),
        gap=part.gap,
        more=part.more,
        affected=AffectedIds(order_ids=tuple(matched)),
    )


def _is_cursor_of(shard: int, settings: Settings) -> ColumnElement[bool]:
    return (MATCH_CURSORS.c.shards == settings.matcher_shards) & (MATCH_CURSORS.c.shard == shard)


def _lock_cursor(
    session: Session, *, shard: int, settings: Settings, now: datetime
) -> _Cursor | None:
    """Lock the shard's cursor, creating it if needed; return None if another process holds it."""
    query = select(MATCH_CURSORS.c.position, MATCH_CURSORS.c.scanned_at).where(
        _is_cursor_of(shard, settings)
    )
    row = session.execute(query.with_for_update(skip_locked=True)).one_or_none()
    if row is not None:
        return _Cursor._make(row)
    if session.execute(query).one_or_none() is not None:
        return None
    # A first run begins with everything that the stream still has: trades from before an order's
    # acceptance do not fill it anyway. With an upsert, the later of two concurrent
    # first runs uses the row that the other inserted.
    first = {
        "shards": settings.matcher_shards,
        "shard": shard,
        "position": _inherited_position(session, settings),
        # Old enough that the expiry of DAY orders waits for the first scan.
        "scanned_at": now - timedelta(days=1),
    }
    upsert(session, MATCH_CURSORS, [first], update=("shard",))
    return _Cursor._make(session.execute(query.with_for_update()).one())


def _inherited_position(session: Session, settings: Settings) -> int:
    """Return the furthest position that all matchers of another shard count have read, else 0."""
    read = (
        select(func.min(MATCH_CURSORS.c.position).label("position"))
        .where(MATCH_CURSORS.c.shards != settings.matcher_shards)
        .group_by(MATCH_CURSORS.c.shards)
        # Without a cursor of each shard, it is unknown how far the missing one's stocks were read.
        .having(func.count() == MATCH_CURSORS.c.shards)
        .subquery()
    )
    return session.scalar(select(func.max(read.c.position))) or 0


def _unread(session: Session, ticks: Sequence[Tick], settings: Settings) -> list[Tick]:
    """Return the ticks that matchers of another shard count have not read.

    So a trade fills orders once, even when the shard count changes and changes back.
    """
    if not ticks:
        return []
    other_counts = session.scalars(
        select(MATCH_CURSORS.c.shards)
        .where(MATCH_CURSORS.c.shards != settings.matcher_shards)
        .distinct()
    )
    read: dict[str, int] = {}
    for shards in other_counts.all():
        # Locked for sharing, so that this transaction waits for matchers that are still running.
        cursors = select(MATCH_CURSORS.c.shard, MATCH_CURSORS.c.position).where(
            MATCH_CURSORS.c.shards == shards
        )
        rows = session.execute(force_primary_key(cursors, MATCH_CURSORS).with_for_update(read=True))
        positions = {row.shard: row.position for row in rows}
        for code in {tick.code for tick in ticks}:
            read[code] = max(read.get(code, 0), positions.get(shard_of(code, shards), 0))
    return [tick for tick in ticks if tick.position.packed > read.get(tick.code, 0)]


def _without_halted(session: Session, ticks: Sequence[Tick]) -> list[Tick]:
    """Return the ticks that were received while trading was not halted; none during a halt."""
    if not ticks:
        return []
    halts = halts_since(session, min(tick.received_at for tick in ticks))
    if any(halt.is_running for halt in halts):
        return []
    return [tick for tick in ticks if not any(halt.holds(tick.received_at) for halt in halts)]


def _match(
    session: Session, ticks: Sequence[Tick], *, hours: MarketHours, settings: Settings
) -> MatchResult:
    # Shares have the widest hours of all kinds. The narrower hours of a fund are checked where one
    # of its orders was found.
    filling = [
        tick
        for tick in ticks
        if hours.filling_session(tick.traded_at, exchange=tick.exchange, kind="STOCK") is not None
    ]
    ticks_by_stock: defaultdict[str, list[Tick]] = defaultdict(list)
    for tick in filling:
        ticks_by_stock[tick.code].append(tick)
    traded = [
        TradedRange(code, min(tick.price for tick in ticks), max(tick.price for tick in ticks))
        for code, ticks in sorted(ticks_by_stock.items())
    ]
    if not traded:
        return MatchResult()
    ids = {*orders_crossed(session, traded), *orders_awaiting_first_print(session, ticks_by_stock)}
    if not ids:
        return MatchResult()
    orders = _lock_in_book(session, sorted(ids))
    pending = _pending_quantities(session, [order.id for order in orders])
    stocks = load_stock_attributes(session, {order.stock_code for order in orders})
    book: defaultdict[str, list[BookOrder]] = defaultdict(list)
    for order in orders:
        remaining = order.quantity - order.executed_quantity - pending.get(order.id, 0)
        if remaining > 0 and stocks[order.stock_code].status is StockStatus.TRADABLE:
            until = _last_position(order, ticks_by_stock[order.stock_code], hours)
            book[order.stock_code].append(_book_order(order, remaining, until))
    result = MatchResult()
    for code, book_orders in book.items():
        result.add(
            _match_stock(
                book_orders, ticks_by_stock[code], stocks[code], hours=hours, settings=settings
            )
        )
    return result


def _last_position(order: _OrderInBook, ticks: Sequence[Tick], hours: MarketHours) -> int | None:
    """Return the last position at which a trade may fill the order, if its day ends before them.

    None if all of these ticks are within the order's life.
    """
    is_alive = partial(
        is_within_order_life,
        hours,
        TimeInForce(order.time_in_force),
        accepted_at=order.accepted_at,
    )
    # Usually the last tick is within the order's day, and so are all before it.
    if is_alive(received_at=ticks[-1].received_at):
        return None
    return next(
        tick.position.packed - 1 for tick in ticks if not is_alive(received_at=tick.received_at)
    )


def _match_stock(
    orders: Sequence[BookOrder],
    ticks: Sequence[Tick],
    stock: StockAttributes,
    *,
    hours: MarketHours,
    settings: Settings,
) -> MatchResult:
    prints = []
    day, base = trade_date(ticks[-1].traded_at), None
    for tick in ticks:
        base = tick.base_on(day) or base
        session = hours.filling_session(tick.traded_at, exchange=tick.exchange, kind=stock.kind)
        if session is not None:
            closed_at = hours.auction_closed_at(tick.traded_at)
            prints.append(Print(tick.position.packed, tick.price, tick.volume, session, closed_at))
    if FillProfile(settings.fill_profile) is FillProfile.SIMPLE:
        return match_whole(orders, prints)
    limits = price_limits_on(day, stock.limit_rules, base_price=base)
    slip = partial(
        apply_slippage, ticks=settings.market_slippage_ticks, kind=stock.kind, limits=limits
    )
    return match_by_volume(orders, prints, slip=slip)


def _store(
    session: Session,
    result: MatchResult,
    ticks: Mapping[int, Tick],
    *,
    settings: Settings,
    now: datetime,
) -> None:
    """Store pending fills, take orders that are done out of the book and dispatch the execution."""
    if result.fills:
        session.execute(
            insert(PENDING_FILLS),
            [_pending_fill(fill, ticks[fill.trade.position])._asdict() for fill in result.fills],
        )
    leaving = result.filled | result.attempted
    in_part = {fill.order_id for fill in result.fills} - leaving
    due = update(ORDERS).values(
        next_attempt_at=now + timedelta(milliseconds=settings.wake_grace_ms)
    )
    _update(session, leaving, due.values(book_price=None, awaiting_first_print=False))
    _update(session, in_part, due)
    _update(session, result.resting - leaving, update(ORDERS).values(awaiting_first_print=False))
    for request in task_requests(
        Task.EXECUTE_ORDERS, sorted(leaving | in_part), batch_size=settings.stage_batch_size
    ):
        after_commit(session, request)


def _pending_fill(fill: MatchedFill, tick: Tick) -> StoredPendingFill:
    return StoredPendingFill(
        order_id=fill.order_id,
        tick_position=fill.trade.position,
        quantity=fill.quantity,
        price=fill.price,
        rule=fill.rule,
        session=fill.trade.session,
        tick_price=tick.price,
        tick_traded_at=tick.traded_at,
        tick_received_at=tick.received_at,
    )


def _update(session: Session, ids: Collection[UUID], change: Update) -> None:
    """Apply a change to these orders, by ascending id."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), _IDS_PER_STATEMENT):
        part = ordered[start : start + _IDS_PER_STATEMENT]
        session.execute(change.where(ORDERS.c.id.in_(part)))


def _lock_in_book(session: Session, ids: Sequence[UUID]) -> list[_OrderInBook]:
    orders: list[_OrderInBook] = []
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        rows = session.execute(
            select(*_BOOK_COLUMNS)
            .where(
                ORDERS.c.id.in_(ids[start : start + _IDS_PER_STATEMENT]),
                ORDERS.c.book_price.is_not(None),
            )
            .order_by(ORDERS.c.id)
            .with_for_update()
        )
        orders += map(_OrderInBook._make, rows)
    return orders


def _pending_quantities(session: Session, ids: Sequence[UUID]) -> Mapping[UUID, int]:
    """Return the shares of pending fills, which are not executed yet, by order."""
    pending: dict[UUID, int] = {}
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        rows = session.execute(
            select(PENDING_FILLS.c.order_id, func.sum(PENDING_FILLS.c.quantity))
            .where(PENDING_FILLS.c.order_id.in_(ids[start : start + _IDS_PER_STATEMENT]))
            .group_by(PENDING_FILLS.c.order_id)
        )
        pending |= {order_id: int(quantity) for order_id, quantity in rows}
    return pending


def _book_order(order: _OrderInBook, remaining: int, until: int | None) -> BookOrder:
    return BookOrder(
        id=order.id,
        side=Side(order.side),
        limit_price=order.limit_price,
        quantity=remaining,
        position=order.accepted_position,
        accepted_at=order.accepted_at,
        awaiting_first_print=order.awaiting_first_print,
        time_in_force=TimeInForce(order.time_in_force),
        until=until,
    )
