"""Match the orders in the book against the trades since the last run.

A matcher reads the tick stream from its own cursor, which is a row of the database and moves in the
transaction that stores the fills. So after a crash the last run is either repeated or complete, and
no trade is lost. Only the transaction that holds the cursor's lock matches; a second one returns at
once.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Update, func, insert, select, update
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.exchange.hours import MarketHours
from trading.exchange.order_types import Side, TimeInForce
from trading.exchange.price_grid import PriceRange
from trading.halts.queries import halts_since
from trading.marketdata.quotes import QuoteStore
from trading.marketdata.sharding import shard_of
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Position, Tick
from trading.orders.auctions import AuctionRole, Resumptions, record_auction_prints
from trading.orders.begun_phases import (
    PhaseEndings,
    end_by_reason,
    endings_of_begun_phases,
    is_outside,
    limits_of_last_ticks,
)
from trading.orders.fill_price import apply_slippage, is_within_order_life
from trading.orders.match_cursor import is_cursor_of, lock_cursor, unread_ticks
from trading.orders.matching import (
    BookOrder,
    MatchedFill,
    MatchResult,
    Print,
    match_by_volume,
    match_whole,
)
from trading.orders.model import EndReason, FillProfile
from trading.orders.order_book import (
    NewInBook,
    TradedRange,
    orders_awaiting_first_print,
    orders_crossed,
    orders_new_in_book,
)
from trading.orders.rows import StoredPendingFill
from trading.orders.tables import MATCH_CURSORS, ORDERS, PENDING_FILLS
from trading.stocks.halts import stock_halts_since
from trading.stocks.model import StockStatus
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
    - ``ended``: number of orders that ended because their stock began a day, by reason.
    - ``jumps``: base prices outside the limits that the last recorded close would give.
    - ``gap``: True if trades before these were lost.
    - ``more``: True if there is more to read at once.
    - ``busy``: True if another process was matching this shard, and nothing was done.
    """

    ticks: int = 0
    filled: int = 0
    resting: int = 0
    ended: Mapping[EndReason, int] = field(default_factory=dict)
    jumps: int = 0
    gap: bool = False
    more: bool = False
    busy: bool = False
    affected: AffectedIds = field(default=AffectedIds(), compare=False)


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
    cursor = lock_cursor(session, shard=shard, settings=settings, now=now)
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
    own = unread_ticks(session, own, settings)
    new = [
        order
        for order in orders_new_in_book(session)
        if shard_of(order.stock_code, settings.matcher_shards) == shard
    ]
    passed = _passed_ticks(stream, new, until=position, settings=settings)
    ticks = _evidence(session, [*passed, *own], settings)
    result, endings = MatchResult(), PhaseEndings({})
    if ticks or new:
        new_ids = {order.id for order in new}
        result, endings = _match(
            session,
            ticks,
            new=new_ids,
            read_until=cursor.position,
            quotes=uow.quotes,
            hours=hours,
            settings=settings,
        )
        _store(uow, result, {tick.position.packed: tick for tick in ticks}, new=new_ids)
        end_by_reason(uow, endings.reasons)
    for jump in endings.jumps:
        log.warning(
            "base_price_jumped",
            stock_code=jump.stock_code,
            last_close=jump.last_close,
            base_price=jump.base_price,
        )
    if part.end != position or now - cursor.scanned_at >= _RECORD_SCAN_EVERY:
        scanned_at = cursor.scanned_at if part.more else now
        session.execute(
            update(MATCH_CURSORS)
            .where(is_cursor_of(shard, settings))
            .values(position=part.end.packed, scanned_at=scanned_at)
        )
    matched = dict.fromkeys(fill.order_id for fill in result.fills)
    return MatchReport(
        ticks=len(part.ticks),
        filled=len(matched),
        resting=len(result.resting),
        gap=part.gap,
        ended=Counter(endings.reasons.values()),
        jumps=len(endings.jumps),
        more=part.more,
        affected=AffectedIds(order_ids=(*matched, *endings.reasons)),
    )


def _passed_ticks(
    stream: TickStream,
    new: Sequence[NewInBook],
    *,
    until: Position | None,
    settings: Settings,
) -> list[Tick]:
    """Return the ticks that were matched before these orders were visible, up to ``until``.

    An order's transaction reads the end of the stream before its COMMIT, and a run in between does
    not find the order. With the ``volume`` profile the volume of these ticks is allocated already,
    so they count as before the acceptance.
    """
    if until is None or FillProfile(settings.fill_profile) is FillProfile.VOLUME:
        return []
    waiting_since = {
        order.stock_code: order.accepted_position
        for order in sorted(new, key=lambda order: -order.accepted_position)
        if order.accepted_position < until.packed
    }
    if not waiting_since:
        return []
    passed = stream.after(Position.unpack(min(waiting_since.values())), limit=TICKS_MAX)
    return [tick for tick in passed.ticks if tick.position <= until and tick.code in waiting_since]


def _evidence(session: Session, ticks: Sequence[Tick], settings: Settings) -> list[Tick]:
    """Return the ticks that may fill orders.

    Not those that the feed reported late, and not those that were traded or received during a halt
    of all trading or of their stock. Orders of a stock that is halted now are not matched.
    """
    ticks = [tick for tick in ticks if not tick.is_late(settings.tick_freshness_ms)]
    if not ticks:
        return []
    since = min(min(tick.traded_at, tick.received_at) for tick in ticks)
    halts = halts_since(session, since)
    if any(halt.is_running for halt in halts):
        return []
    of_stocks = stock_halts_since(session, since)

    def is_halted(tick: Tick) -> bool:
        of_stock = of_stocks.get(tick.code)
        return any(
            halt.is_active_at(tick.received_at) or halt.is_active_at(tick.traded_at)
            for halt in (*halts, *((of_stock,) if of_stock else ()))
        )

    return [tick for tick in ticks if not is_halted(tick)]


def _match(
    session: Session,
    ticks: Sequence[Tick],
    *,
    new: Collection[UUID],
    read_until: int,
    quotes: QuoteStore,
    hours: MarketHours,
    settings: Settings,
) -> tuple[MatchResult, PhaseEndings]:
    """Match ticks, given in stream order, against the book.

    Return the result, and the orders that end because their stock has begun a phase.
    """
    # Shares have the widest hours of all kinds. The narrower hours of a fund are checked where one
    # of its orders was found.
    ticks_by_stock: defaultdict[str, list[Tick]] = defaultdict(list)
    for tick in ticks:
        if hours.filling_session(tick.traded_at, exchange=tick.exchange, kind="STOCK") is not None:
            ticks_by_stock[tick.code].append(tick)
    roles = record_auction_prints(
        session, ticks_by_stock, hours=hours, resumptions=_resumptions(session, ticks)
    )
    endings = endings_of_begun_phases(session, ticks_by_stock, roles, quotes=quotes)
    traded = [
        TradedRange(code, min(tick.price for tick in ticks), max(tick.price for tick in ticks))
        for code, ticks in sorted(ticks_by_stock.items())
    ]
    ids = {*endings.reasons, *new}
    if traded:
        ids.update(orders_crossed(session, traded))
        ids.update(orders_awaiting_first_print(session, ticks_by_stock))
    if not ids:
        return MatchResult(), endings
    orders = _lock_in_book(session, sorted(ids))
    pending = _pending_quantities(session, [order.id for order in orders])
    stocks = load_stock_attributes(session, {order.stock_code for order in orders})
    limits = limits_of_last_ticks(ticks_by_stock, stocks, quotes=quotes)
    # The first print of a phase may report no base price, so the limits are known later.
    reasons = dict(endings.reasons)
    for order in orders:
        if is_outside(limits.get(order.stock_code), order.limit_price):
            reasons.setdefault(order.id, EndReason.PRICE_OUT_OF_LIMITS)
    # A fill that was found on an earlier day is executed.
    ended = {
        order.id: reasons[order.id]
        for order in orders
        if order.id in reasons and order.id not in pending
    }
    book: defaultdict[str, list[BookOrder]] = defaultdict(list)
    for order in orders:
        code = order.stock_code
        remaining = order.quantity - order.executed_quantity - pending.get(order.id, 0)
        is_tradable = stocks[code].status is StockStatus.TRADABLE
        if remaining > 0 and is_tradable and ticks_by_stock[code] and order.id not in reasons:
            until = _last_position(order, ticks_by_stock[code], hours)
            # Earlier runs have matched the order against the ticks up to the cursor.
            since = 0 if order.id in new else read_until
            book[code].append(
                _book_order(order, remaining, since=since, until=until, settings=settings)
            )
    result = MatchResult()
    for code, book_orders in book.items():
        result.add(
            _match_stock(
                book_orders,
                ticks_by_stock[code],
                roles,
                stocks[code],
                limits=limits[code],
                hours=hours,
                settings=settings,
            )
        )
    return result, replace(endings, reasons=ended)


def _resumptions(session: Session, ticks: Sequence[Tick]) -> Resumptions:
    """Return the ends of halts since the beginning of the day of the first tick."""
    if not ticks:
        return Resumptions()
    since = min(tick.traded_at for tick in ticks) - timedelta(days=1)
    halts = halts_since(session, since)
    return Resumptions(
        tuple(halt.resumed_at for halt in halts if halt.resumed_at is not None),
        {code: halt.resumed_at for code, halt in stock_halts_since(session, since).items()},
    )


def _last_position(order: _OrderInBook, ticks: Sequence[Tick], hours: MarketHours) -> int | None:
    """Return the last position at which a trade may fill the order, if its day ends before them.

    None if all of these ticks are within the order's life.
    """
    is_within_life = partial(
        is_within_order_life,
        hours,
        TimeInForce(order.time_in_force),
        accepted_at=order.accepted_at,
    )
    # Usually the last tick is within the order's day, and so are all before it.
    if is_within_life(traded_at=ticks[-1].traded_at):
        return None
    return next(
        tick.position.packed - 1 for tick in ticks if not is_within_life(traded_at=tick.traded_at)
    )


def _match_stock(
    orders: Sequence[BookOrder],
    ticks: Sequence[Tick],
    roles: Mapping[int, AuctionRole],
    stock: StockAttributes,
    *,
    limits: PriceRange | None,
    hours: MarketHours,
    settings: Settings,
) -> MatchResult:
    prints = []
    for tick in ticks:
        role = roles[tick.position.packed]
        session = hours.filling_session(tick.traded_at, exchange=tick.exchange, kind=stock.kind)
        if session is not None and role.fills_orders:
            prints.append(
                Print(
                    position=tick.position.packed,
                    price=tick.price,
                    volume=tick.volume,
                    session=session,
                    traded_before=tick.traded_before,
                    auction_until=role.entry_ends_at,
                    closed_at=role.entry_ends_at if role.only_auction else None,
                    auction_is_open_since=role.auction_is_open_since,
                )
            )
    if FillProfile(settings.fill_profile) is FillProfile.SIMPLE:
        return match_whole(orders, prints)
    slip = partial(
        apply_slippage, ticks=settings.market_slippage_ticks, kind=stock.kind, limits=limits
    )
    return match_by_volume(orders, prints, slip=slip)


def _store(
    uow: UnitOfWork, result: MatchResult, ticks: Mapping[int, Tick], *, new: Set[UUID]
) -> None:
    """Store pending fills, take orders that are done out of the book and dispatch the execution."""
    session, settings = uow.session, uow.settings
    if result.fills:
        session.execute(
            insert(PENDING_FILLS),
            [_pending_fill(fill, ticks[fill.trade.position])._asdict() for fill in result.fills],
        )
    leaving = result.filled | result.attempted
    in_part = {fill.order_id for fill in result.fills} - leaving
    due = update(ORDERS).values(
        next_attempt_at=uow.now + timedelta(milliseconds=settings.wake_grace_ms)
    )
    _update(
        session,
        leaving,
        due.values(book_price=None, awaiting_first_print=False, is_new_in_book=False),
    )
    _update(session, new - leaving, update(ORDERS).values(is_new_in_book=False))
    _update(session, in_part, due)
    _update(session, result.resting - leaving, update(ORDERS).values(awaiting_first_print=False))
    for request in task_requests(
        Task.EXECUTE_ORDERS, sorted(leaving | in_part), batch_size=settings.stage_batch_size
    ):
        uow.after_commit(request)


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


def _arrived_at(order: _OrderInBook) -> datetime:
    """Return when the order was amended, or the time of the last trade before its acceptance."""
    ms = Position.unpack(order.accepted_position).ms
    return datetime.fromtimestamp(ms / 1_000, UTC)


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


def _book_order(
    order: _OrderInBook, remaining: int, *, since: int, until: int | None, settings: Settings
) -> BookOrder:
    """Return an order for matching with trades after the position ``since``."""
    time_in_force = TimeInForce(order.time_in_force)
    attempt = timedelta(milliseconds=settings.tick_freshness_ms)
    return BookOrder(
        id=order.id,
        side=Side(order.side),
        limit_price=order.limit_price,
        quantity=remaining,
        position=max(order.accepted_position, since),
        accepted_at=max(order.accepted_at, _arrived_at(order)),
        awaiting_first_print=order.awaiting_first_print,
        time_in_force=time_in_force,
        until=until,
        attempt_ends_at=None if time_in_force.may_wait else order.accepted_at + attempt,
    )
