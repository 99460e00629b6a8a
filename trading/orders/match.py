"""Matching: hold the trades since the last look against the orders in the book, and keep what they fill until its execution.

A matcher reads the tick stream from its own cursor, which lies in the database and moves in the transaction that keeps what was found. So a kill at any
moment repeats a look or none, and never loses one. Whoever holds the cursor's lock matches; a second one at the same moment goes away.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.db.statements import AnyRow, force_primary_key
from trading.db.transactions import after_commit
from trading.db.upsert import upsert
from trading.exchange.hours import MarketHours
from trading.exchange.order_types import Side, TimeInForce
from trading.exchange.price_grid import daily_price_range
from trading.halts.queries import halts_since
from trading.marketdata.sharding import shard_of
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Position, Tick
from trading.orders.fills import apply_slippage, is_within_order_life
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
from trading.orders.tables import (
    MATCH_CURSORS,
    ORDERS,
    PENDING_FILLS,
)
from trading.stocks.model import StockStatus
from trading.stocks.queries import StockAttributes, load_stock_attributes
from trading.tasks import AffectedIds, Task, task_requests

log = structlog.get_logger(__name__)


# Ticks of one look: some seconds of the busiest market. What is more is left for the next look, which follows at once.
TICKS_MAX = 10_000
# A look may find any number of orders. In parts like this no statement about them grows without bound.
_IDS_PER_STATEMENT = 500
# How often a matcher without anything to do writes down that it looked.
_SAY_SO_EVERY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class MatchReport:
    """What one look found: ticks read, orders filled (to be executed) and orders now known to rest; whether trades were lost before it; whether there is
    more to read at once. ``busy`` tells that another process was matching these stocks, and nothing was done here."""

    ticks: int = 0
    filled: int = 0
    rests: int = 0
    gap: bool = False
    more: bool = False
    busy: bool = False
    worked_on: AffectedIds = field(default=AffectedIds(), compare=False)


def match_orders(
    session: Session,
    *,
    shard: int,
    stream: TickStream,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> MatchReport:
    """Match the orders of one shard's stocks against the trades behind its cursor, and wake the execution of what they fill.

    Raises MarketUnavailable, before anything is changed, when Redis does not answer.
    """
    cursor = _lock_cursor(session, shard=shard, settings=settings, now=now)
    if cursor is None:
        return MatchReport(busy=True)
    place = Position.unpack(cursor.position) if cursor.position else None
    part = stream.after(place, limit=TICKS_MAX)
    if part.gap:
        # Trades before the first one here can't be proven any more, so they fill nothing; matching goes on with those that are there.
        log.warning(
            "tick_stream_gap",
            after=str(place),
            first=str(part.ticks[0].position if part.ticks else None),
        )
    mine = [tick for tick in part.ticks if shard_of(tick.code, settings.matcher_shards) == shard]
    mine = _not_halted(session, _unread(session, mine, settings))
    found = MatchResult()
    if mine:
        found = _match(session, mine, hours=hours, settings=settings)
        _keep(
            session,
            found,
            {tick.position.packed: tick for tick in mine},
            settings=settings,
            now=now,
        )
    if part.end != place or now - cursor.scanned_at >= _SAY_SO_EVERY:
        scanned_at = cursor.scanned_at if part.more else now
        session.execute(
            update(MATCH_CURSORS)
            .where(*_is(shard, settings))
            .values(position=part.end.packed, scanned_at=scanned_at)
        )
    touched = dict.fromkeys(touch.order_id for touch in found.touches)
    return MatchReport(
        ticks=len(part.ticks),
        filled=len(touched),
        rests=len(found.rests),
        gap=part.gap,
        more=part.more,
        worked_on=AffectedIds(order_ids=tuple(touched)),
    )


def _is(shard: int, settings: Settings) -> tuple[Any, Any]:
    return MATCH_CURSORS.c.shards == settings.matcher_shards, MATCH_CURSORS.c.shard == shard


def _lock_cursor(
    session: Session, *, shard: int, settings: Settings, now: datetime
) -> AnyRow | None:
    """The shard's cursor, locked; made when there is none; None when another process holds it."""
    wanted = select(MATCH_CURSORS.c.position, MATCH_CURSORS.c.scanned_at).where(
        *_is(shard, settings)
    )
    cursor = session.execute(wanted.with_for_update(skip_locked=True)).one_or_none()
    if cursor is not None or session.execute(wanted).one_or_none() is not None:
        return cursor
    # A first look begins with all that the stream still has: trades from before an order's acceptance don't fill it anyway. Written so that
    # of two first looks the second one finds the first one's cursor.
    first = {
        "shards": settings.matcher_shards,
        "shard": shard,
        "position": _inherited(session, settings),
        # It has seen nothing yet, and says so to whoever waits for the end of the day.
        "scanned_at": now - timedelta(days=1),
    }
    upsert(session, MATCH_CURSORS, [first], update=("shard",))
    return session.execute(wanted.with_for_update()).one()


def _inherited(session: Session, settings: Settings) -> int:
    """The furthest place up to which matchers of another number, all of them, have read; 0 without any."""
    read = (
        select(func.min(MATCH_CURSORS.c.position).label("place"))
        .where(MATCH_CURSORS.c.shards != settings.matcher_shards)
        .group_by(MATCH_CURSORS.c.shards)
        # Where one of them has not looked yet nobody knows where its stocks were read to.
        .having(func.count() == MATCH_CURSORS.c.shards)
        .subquery()
    )
    return session.scalar(select(func.max(read.c.place))) or 0


def _unread(session: Session, ticks: Sequence[Tick], settings: Settings) -> list[Tick]:
    """The ticks that matchers of another number have not read: a trade fills orders once, also when the number changes and changes back."""
    if not ticks:
        return []
    others = session.scalars(
        select(MATCH_CURSORS.c.shards)
        .where(MATCH_CURSORS.c.shards != settings.matcher_shards)
        .distinct()
    )
    read: dict[str, int] = {}
    for shards in others.all():
        # Locked, in case that they are still at work: then one waits for the other here.
        theirs = select(MATCH_CURSORS.c.shard, MATCH_CURSORS.c.position).where(
            MATCH_CURSORS.c.shards == shards
        )
        rows = session.execute(force_primary_key(theirs, MATCH_CURSORS).with_for_update(read=True))
        positions = {row.shard: row.position for row in rows}
        for code in {tick.code for tick in ticks}:
            read[code] = max(read.get(code, 0), positions.get(shard_of(code, shards), 0))
    return [tick for tick in ticks if tick.position.packed > read.get(tick.code, 0)]


def _not_halted(session: Session, ticks: Sequence[Tick]) -> list[Tick]:
    """The ticks that came while trading was not halted; none during a halt."""
    if not ticks:
        return []
    halts = halts_since(session, min(tick.received_at for tick in ticks))
    if any(halt.is_running for halt in halts):
        return []
    return [tick for tick in ticks if not any(halt.holds(tick.received_at) for halt in halts)]


def _match(
    session: Session, ticks: Sequence[Tick], *, hours: MarketHours, settings: Settings
) -> MatchResult:
    # Shares have the widest hours of all kinds; what is narrower for a fund is looked at where one of its orders was found.
    filling = [
        tick
        for tick in ticks
        if hours.filling_session(tick.traded_at, exchange=tick.exchange, kind="STOCK") is not None
    ]
    by_stock: defaultdict[str, list[Tick]] = defaultdict(list)
    for tick in filling:
        by_stock[tick.code].append(tick)
    traded = [
        TradedRange(code, min(tick.price for tick in ticks), max(tick.price for tick in ticks))
        for code, ticks in sorted(by_stock.items())
    ]
    ids = (
        {*orders_crossed(session, traded), *orders_awaiting_first_print(session, by_stock)}
        if traded
        else set()
    )
    matching = MatchResult()
    if not ids:
        return matching
    orders = _lock_in_book(session, sorted(ids))
    pending = _pending(session, [row.id for row in orders])
    stocks = load_stock_attributes(session, {row.stock_code for row in orders})
    in_book: defaultdict[str, list[BookOrder]] = defaultdict(list)
    for row in orders:
        left = row.quantity - row.executed_quantity - pending.get(row.id, 0)
        if left > 0 and stocks[row.stock_code].status is StockStatus.TRADABLE:
            until = _until(row, by_stock[row.stock_code], hours)
            in_book[row.stock_code].append(_book_order(row, left, until))
    for code, of_stock in in_book.items():
        matching.add(
            _match_stock(of_stock, by_stock[code], stocks[code], hours=hours, settings=settings)
        )
    return matching


def _until(row: AnyRow, ticks: Sequence[Tick], hours: MarketHours) -> int | None:
    """The last place at which a trade may fill an order, where its day ends among these ticks or ended before them."""
    meets = partial(
        is_within_order_life, hours, TimeInForce(row.time_in_force), accepted_at=row.accepted_at
    )
    # Nearly always the last one is of the order's day, and so are all before it.
    if meets(received_at=ticks[-1].received_at):
        return None
    return next(
        tick.position.packed - 1 for tick in ticks if not meets(received_at=tick.received_at)
    )


def _match_stock(
    orders: Sequence[BookOrder],
    ticks: Iterable[Tick],
    stock: StockAttributes,
    *,
    hours: MarketHours,
    settings: Settings,
) -> MatchResult:
    prints, base = [], None
    for tick in ticks:
        base = tick.base or base
        session = hours.filling_session(tick.traded_at, exchange=tick.exchange, kind=stock.kind)
        if session is not None:
            closed_at = hours.auction_closed_at(tick.traded_at)
            prints.append(Print(tick.position.packed, tick.price, tick.volume, session, closed_at))
    if FillProfile(settings.fill_profile) is FillProfile.SIMPLE:
        return match_whole(orders, prints)
    limits = None if base is None else daily_price_range(base, stock.kind, stock.market)
    slip = partial(
        apply_slippage, ticks=settings.market_slippage_ticks, kind=stock.kind, limits=limits
    )
    return match_by_volume(orders, prints, slip=slip)


def _keep(
    session: Session,
    found: MatchResult,
    ticks: Mapping[int, Tick],
    *,
    settings: Settings,
    now: datetime,
) -> None:
    """Keep what was found until it is executed, take out of the book what is done there, and wake the execution."""
    if found.touches:
        session.execute(
            insert(PENDING_FILLS),
            [_touch_row(touch, ticks[touch.by.position]) for touch in found.touches],
        )
    leaving = found.filled | found.had_its_chance
    in_part = {touch.order_id for touch in found.touches} - leaving
    due = {"next_attempt_at": now + timedelta(milliseconds=settings.wake_grace_ms)}
    _change(session, leaving, book_price=None, awaiting_first_print=False, **due)
    _change(session, in_part, **due)
    _change(session, found.rests - leaving, awaiting_first_print=False)
    for wakeup in task_requests(
        Task.EXECUTE_ORDERS, sorted(leaving | in_part), batch_size=settings.stage_batch_size
    ):
        after_commit(session, wakeup)


def _touch_row(touch: MatchedFill, tick: Tick) -> dict[str, Any]:
    return {
        "order_id": touch.order_id,
        "tick_position": touch.by.position,
        "quantity": touch.quantity,
        "price": touch.price,
        "rule": touch.rule,
        "session": touch.by.session,
        "tick_price": tick.price,
        "tick_traded_at": tick.traded_at,
        "tick_received_at": tick.received_at,
    }


def _change(session: Session, ids: Collection[UUID], **values: Any) -> None:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _IDS_PER_STATEMENT):
        session.execute(
            update(ORDERS)
            .where(ORDERS.c.id.in_(ordered[start : start + _IDS_PER_STATEMENT]))
            .values(**values)
        )


def _lock_in_book(session: Session, ids: Sequence[UUID]) -> list[AnyRow]:
    columns = (
        ORDERS.c.id,
        ORDERS.c.stock_code,
        ORDERS.c.side,
        ORDERS.c.limit_price,
        ORDERS.c.quantity,
        ORDERS.c.executed_quantity,
        ORDERS.c.accepted_position,
        ORDERS.c.accepted_at,
        ORDERS.c.awaiting_first_print,
        ORDERS.c.time_in_force,
    )
    rows: list[AnyRow] = []
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        rows += session.execute(
            select(*columns)
            .where(
                ORDERS.c.id.in_(ids[start : start + _IDS_PER_STATEMENT]),
                ORDERS.c.book_price.is_not(None),
            )
            .order_by(ORDERS.c.id)
            .with_for_update()
        ).all()
    return rows


def _pending(session: Session, ids: Sequence[UUID]) -> Mapping[UUID, int]:
    """The shares that were found filled and are not executed yet, by order."""
    pending: dict[UUID, int] = {}
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        rows = session.execute(
            select(PENDING_FILLS.c.order_id, func.sum(PENDING_FILLS.c.quantity))
            .where(PENDING_FILLS.c.order_id.in_(ids[start : start + _IDS_PER_STATEMENT]))
            .group_by(PENDING_FILLS.c.order_id)
        )
        pending |= {order_id: int(quantity) for order_id, quantity in rows}
    return pending


def _book_order(row: AnyRow, left: int, until: int | None) -> BookOrder:
    return BookOrder(
        id=row.id,
        side=Side(row.side),
        limit_price=row.limit_price,
        quantity=left,
        position=row.accepted_position,
        accepted_at=row.accepted_at,
        awaiting_first_print=bool(row.awaiting_first_print),
        time_in_force=TimeInForce(row.time_in_force),
        until=until,
    )
