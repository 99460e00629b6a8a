"""Build candles: add each tick of the stream once to its minute and its day.

The builder's cursor is a database row that moves in the transaction that writes the candles, so a
crash may repeat a read but never skips ticks. The row lock on the cursor elects one builder; others
return immediately.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from trading.db.statements import execute_rowcount
from trading.db.upsert import upsert
from trading.exchange.hours import MarketHours
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Position, Tick
from trading.stocks.candles.model import (
    TOTAL_MAX,
    Candle,
    CandleInterval,
    candle_starts,
    new_candle,
)
from trading.stocks.candles.tables import CANDLE_CURSORS, CANDLE_GAPS, CANDLES
from trading.stocks.tables import STOCKS
from trading.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)


# Ticks per run. The rest is left to the next run, which follows immediately.
TICKS_MAX = 10_000
# Candles per deletion, plus those of the other stocks in the minute where it ends.
_PURGE_BATCH = 5_000
# A lost trade happened before the relayer received it; a working feed never reports later than
# this.
_REPORT_DELAY_MAX = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _capped(total: str) -> str:
    return f"CASE WHEN {total} > {TOTAL_MAX} THEN {TOTAL_MAX} ELSE {total} END"


_MERGE = {
    "open": "CASE WHEN new.opened_at < old.opened_at THEN new.open ELSE old.open END",
    "opened_at": (
        "CASE WHEN new.opened_at < old.opened_at THEN new.opened_at ELSE old.opened_at END"
    ),
    "close": "CASE WHEN new.closed_at >= old.closed_at THEN new.close ELSE old.close END",
    "closed_at": (
        "CASE WHEN new.closed_at >= old.closed_at THEN new.closed_at ELSE old.closed_at END"
    ),
    "high": "CASE WHEN new.high > old.high THEN new.high ELSE old.high END",
    "low": "CASE WHEN new.low < old.low THEN new.low ELSE old.low END",
    "volume": _capped("old.volume + new.volume"),
    "amount": _capped("old.amount + new.amount"),
}


class _Cursor(NamedTuple):
    position: int
    read_at: datetime


@dataclass(frozen=True, slots=True)
class CandleReport:
    """Result of one run: ticks read, candles written, gap before them, and ticks left to read.

    ``busy`` means that another process holds the cursor, so nothing was done.
    """

    ticks: int = 0
    candles: int = 0
    gap: bool = False
    more: bool = False
    busy: bool = False


def build_candles(uow: UnitOfWork, *, stream: TickStream) -> CandleReport:
    """Add the ticks after the cursor to the candles of all listed stocks.

    Raises MarketUnavailable, before any change, if Redis does not respond.
    """
    session, now, hours = uow.session, uow.now, uow.hours
    cursor = _lock_cursor(session, now=now)
    if cursor is None:
        return CandleReport(busy=True)
    position = Position.unpack(cursor.position) if cursor.position else None
    part = stream.after(position, limit=TICKS_MAX)
    # A stream that restarts during the read may report the gap before it returns new entries.
    if part.gap and position is not None and part.end != position:
        _record_gap(session, position, part.ticks[0].position if part.ticks else part.end)
    candles = _fold(_only_listed(session, part.ticks), hours)
    rows = [
        {"stock_code": code, "candle_interval": interval, **asdict(candle)}
        for (code, interval, _), candle in sorted(candles.items())
    ]
    upsert(session, CANDLES, rows, merge=_MERGE, update=("position",))
    session.execute(
        update(CANDLE_CURSORS).values(
            position=part.end.packed, read_at=cursor.read_at if part.more else now
        )
    )
    return CandleReport(ticks=len(part.ticks), candles=len(rows), gap=part.gap, more=part.more)


def purge_minutes(uow: UnitOfWork, *, keep_days: int) -> int:
    """Delete one batch of the oldest minute candles beyond ``keep_days``; return their number."""
    session, now = uow.session, uow.now
    old = (
        CANDLES.c.candle_interval == CandleInterval.MINUTE,
        CANDLES.c.starts_at < now - timedelta(days=keep_days),
    )
    starts = select(CANDLES.c.starts_at).where(*old).order_by(CANDLES.c.starts_at)
    until = session.scalar(starts.offset(_PURGE_BATCH).limit(1))
    within = () if until is None else (CANDLES.c.starts_at <= until,)
    return execute_rowcount(session, delete(CANDLES).where(*old, *within))


def _lock_cursor(session: Session, *, now: datetime) -> _Cursor | None:
    """Return the cursor, locked and created if missing; None if another process holds it."""
    statement = select(CANDLE_CURSORS.c.position, CANDLE_CURSORS.c.read_at)
    row = session.execute(statement.with_for_update(skip_locked=True)).one_or_none()
    if row is not None:
        return _Cursor(*row)
    if session.execute(statement).one_or_none() is not None:
        return None
    # Candles without a cursor: an operator deleted it, so continue after the newest candle. The
    # upsert lets the later of two concurrent first runs use the row that the other inserted.
    built = session.scalar(select(func.max(CANDLES.c.position))) or 0
    upsert(
        session,
        CANDLE_CURSORS,
        [{"id": 1, "position": built, "read_at": now - timedelta(days=1)}],
        update=("id",),
    )
    return _Cursor(*session.execute(statement.with_for_update()).one())


def _only_listed(session: Session, ticks: Sequence[Tick]) -> list[Tick]:
    codes = {tick.code for tick in ticks}
    listed = (
        set(session.scalars(select(STOCKS.c.code).where(STOCKS.c.code.in_(codes))))
        if codes
        else set()
    )
    if unlisted := codes - listed:
        log.info("candles_skipped_unlisted", stocks=len(unlisted))
    return [tick for tick in ticks if tick.code in listed]


def _fold(ticks: Sequence[Tick], hours: MarketHours) -> dict[tuple[str, str, datetime], Candle]:
    """Return the candles of ticks by stock, interval and start."""
    candles: dict[tuple[str, str, datetime], Candle] = {}
    for tick in ticks:
        for interval, starts_at in candle_starts(
            tick.traded_at, exchange=tick.exchange, hours=hours
        ):
            candle = candles.get(key := (tick.code, interval, starts_at))
            if candle is None:
                candles[key] = new_candle(
                    starts_at,
                    price=tick.price,
                    volume=tick.volume,
                    traded_at=tick.traded_at,
                    position=tick.position.packed,
                )
            else:
                candle.add(
                    price=tick.price,
                    volume=tick.volume,
                    traded_at=tick.traded_at,
                    position=tick.position.packed,
                )
    return candles


def _record_gap(session: Session, after: Position, first: Position) -> None:
    """Record the time range of lost ticks, which concerns the candles of all stocks."""
    log.warning("candle_gap", after=str(after), first=str(first))
    starts_at, ends_at = (_EPOCH + timedelta(milliseconds=one.ms) for one in (after, first))
    gap = {"starts_at": starts_at - _REPORT_DELAY_MAX, "ends_at": max(starts_at, ends_at)}
    upsert(session, CANDLE_GAPS, [{"after_position": after.packed, **gap}], update=tuple(gap))
