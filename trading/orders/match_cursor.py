"""The matchers' cursors: how far each shard has read the tick stream."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.db.statements import force_primary_key
from trading.db.upsert import upsert
from trading.marketdata.sharding import shard_of
from trading.marketdata.ticks import Tick
from trading.orders.tables import MATCH_CURSORS


class MatchCursor(NamedTuple):
    """How far a matcher has read the tick stream, and when."""

    position: int
    scanned_at: datetime


def is_cursor_of(shard: int, settings: Settings) -> ColumnElement[bool]:
    return (MATCH_CURSORS.c.shards == settings.matcher_shards) & (MATCH_CURSORS.c.shard == shard)


def lock_cursor(
    session: Session, *, shard: int, settings: Settings, now: datetime
) -> MatchCursor | None:
    """Lock the shard's cursor, creating it if needed; return None if another process holds it."""
    query = select(MATCH_CURSORS.c.position, MATCH_CURSORS.c.scanned_at).where(
        is_cursor_of(shard, settings)
    )
    row = session.execute(query.with_for_update(skip_locked=True)).one_or_none()
    if row is not None:
        return MatchCursor._make(row)
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
    return MatchCursor._make(session.execute(query.with_for_update()).one())


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


def unread_ticks(session: Session, ticks: Sequence[Tick], settings: Settings) -> list[Tick]:
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
