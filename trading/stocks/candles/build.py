"""Building candles: count each trade of the tick stream once into the minute and the day that it belongs to.

The builder reads the stream from its own cursor, which lies in the database and moves in the transaction that counts what was read. So a kill at any
moment repeats a look or none. Whoever holds the cursor's lock builds; a second one at the same moment goes away.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow, execute_rowcount
from trading.db.upsert import upsert
from trading.exchange.hours import MarketHours
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Position, Tick
from trading.stocks.candles.model import TOTAL_MAX, Candle, CandleInterval, candles_met, first_of
from trading.stocks.candles.tables import CANDLE_CURSORS, CANDLE_GAPS, CANDLES
from trading.stocks.tables import STOCKS

log = structlog.get_logger(__name__)


# Ticks of one look. What is more is left for the next look, which follows at once.
TICKS_MAX = 10_000
# Candles of one deletion, of some thousand stocks at most in the minute at which it stops.
_PURGE_BATCH = 5_000
# A lost trade was made some time before the relayer received it; no feed that is alive reports later than this.
_REPORTED_WITHIN = timedelta(minutes=1)
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


@dataclass(frozen=True, slots=True)
class CandleReport:
    """What one look did: ticks read and candles written; whether trades were lost before it; whether there is more to read at once. ``busy`` tells that
    another process was building, and nothing was done here."""

    ticks: int = 0
    candles: int = 0
    gap: bool = False
    more: bool = False
    busy: bool = False


def build_candles(
    session: Session, *, stream: TickStream, hours: MarketHours, now: datetime
) -> CandleReport:
    """Count the trades behind the cursor into the candles of all listed stocks.

    Raises MarketUnavailable, before anything is changed, when Redis does not answer.
    """
    cursor = _lock_cursor(session, now=now)
    if cursor is None:
        return CandleReport(busy=True)
    place = Position.unpack(cursor.position) if cursor.position else None
    part = stream.after(place, limit=TICKS_MAX)
    # A stream that began anew at this very moment may show the gap before it shows what comes behind it.
    if part.gap and place is not None and part.end != place:
        _note_gap(session, place, part.ticks[0].position if part.ticks else part.end)
    candles = _fold(_of_listed(session, part.ticks), hours)
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


def purge_minutes(session: Session, *, keep_days: int, now: datetime) -> int:
    """Delete one batch of the oldest minute candles that need not be kept any more; return how many."""
    old = (
        CANDLES.c.candle_interval == CandleInterval.MINUTE,
        CANDLES.c.starts_at < now - timedelta(days=keep_days),
    )
    starts = select(CANDLES.c.starts_at).where(*old).order_by(CANDLES.c.starts_at)
    until = session.scalar(starts.offset(_PURGE_BATCH).limit(1))
    within = () if until is None else (CANDLES.c.starts_at <= until,)
    return execute_rowcount(session, delete(CANDLES).where(*old, *within))


def _lock_cursor(session: Session, *, now: datetime) -> AnyRow | None:
    """The cursor, locked; made when there is none; None when another process holds it."""
    wanted = select(CANDLE_CURSORS.c.position, CANDLE_CURSORS.c.read_at)
    cursor = session.execute(wanted.with_for_update(skip_locked=True)).one_or_none()
    if cursor is not None or session.execute(wanted).one_or_none() is not None:
        return cursor
    # Candles without a cursor: an operator took it away. They tell how far they were built. Written so that of two first looks the second one
    # finds the first one's cursor.
    built = session.scalar(select(func.max(CANDLES.c.position))) or 0
    upsert(
        session,
        CANDLE_CURSORS,
        [{"id": 1, "position": built, "read_at": now - timedelta(days=1)}],
        update=("id",),
    )
    return session.execute(wanted.with_for_update()).one()


def _of_listed(session: Session, ticks: Sequence[Tick]) -> list[Tick]:
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
    """The ticks' candles by stock, interval and beginning."""
    candles: dict[tuple[str, str, datetime], Candle] = {}
    for tick in ticks:
        trade: dict[str, Any] = {
            "price": tick.price,
            "volume": tick.volume,
            "traded_at": tick.traded_at,
            "position": tick.position.packed,
        }
        for interval, starts_at in candles_met(tick.traded_at, exchange=tick.exchange, hours=hours):
            candle = candles.get(key := (tick.code, interval, starts_at))
            if candle is None:
                candles[key] = first_of(starts_at, **trade)
            else:
                candle.add(**trade)
    return candles


def _note_gap(session: Session, place: Position, first: Position) -> None:
    """Keep the time of which trades are lost: nobody knows of which stocks, so no candle of that time is known to be whole."""
    log.warning("candle_gap", after=str(place), first=str(first))
    starts_at, ends_at = (_EPOCH + timedelta(milliseconds=one.ms) for one in (place, first))
    gap = {"starts_at": starts_at - _REPORTED_WITHIN, "ends_at": max(starts_at, ends_at)}
    upsert(session, CANDLE_GAPS, [{"after_position": place.packed, **gap}], update=tuple(gap))
