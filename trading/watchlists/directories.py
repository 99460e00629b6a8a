"""The directories of a watchlist: opened, renamed, put into order and removed.

Whoever changes anything in a user's watchlist locks its default directory first. So a limit holds and positions stay distinct, however many requests
come at once.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Table, case, delete, func, insert, select, update
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.db.statements import AnyRow
from trading.db.upsert import upsert
from trading.watchlists.errors import (
    WatchlistDefaultStays,
    WatchlistDirectoryNotEmpty,
    WatchlistDirectoryNotFound,
    WatchlistLimitReached,
    WatchlistNameTaken,
)
from trading.watchlists.tables import (
    PRICE_ALERTS,
    WATCHLIST_DIRECTORIES,
    WATCHLIST_ITEMS,
)

DEFAULT_NAME = "관심 종목"


def lock_watchlist(session: Session, user_id: UUID, *, now: datetime) -> None:
    """Make all other changes of this user's watchlist wait for the COMMIT. His default directory is there afterwards, if it was not before."""
    default = {
        "id": user_id,
        "user_id": user_id,
        "name": DEFAULT_NAME,
        "position": 0,
        "created_at": now,
    }
    upsert(session, WATCHLIST_DIRECTORIES, [default], update=("user_id",))


def open_directory(
    session: Session,
    *,
    directory_id: UUID,
    user_id: UUID,
    name: str,
    settings: Settings,
    now: datetime,
) -> None:
    """Add a directory behind the others. Raises WatchlistLimitReached or WatchlistNameTaken."""
    lock_watchlist(session, user_id, now=now)
    there = _directories_of(session, user_id)
    limit = settings.watchlist_directories_max
    if len(there) >= limit:
        raise WatchlistLimitReached(limited="directories", limit=limit)
    if name in {other.name for other in there}:
        raise WatchlistNameTaken
    row = {
        "id": directory_id,
        "user_id": user_id,
        "name": name,
        "position": there[-1].position + 1,
        "created_at": now,
    }
    session.execute(insert(WATCHLIST_DIRECTORIES).values(**row))


def change_directory(
    session: Session,
    *,
    directory_id: UUID,
    user_id: UUID,
    name: str | None = None,
    position: int | None = None,
    now: datetime,
) -> None:
    """Rename a directory, move it to a place among the others (0 is the first, whatever is too large the last), or both; None keeps.

    Raises WatchlistDirectoryNotFound or WatchlistNameTaken.
    """
    lock_watchlist(session, user_id, now=now)
    there = _directories_of(session, user_id)
    others = [other for other in there if other.id != directory_id]
    if len(others) == len(there):
        raise WatchlistDirectoryNotFound
    if name in {other.name for other in others}:
        raise WatchlistNameTaken
    if name is not None:
        session.execute(
            update(WATCHLIST_DIRECTORIES)
            .where(WATCHLIST_DIRECTORIES.c.id == directory_id)
            .values(name=name)
        )
    if position is not None:
        ids = [other.id for other in others]
        ids.insert(position, directory_id)
        write_order(session, WATCHLIST_DIRECTORIES, ids)


def remove_directory(
    session: Session, *, directory_id: UUID, user_id: UUID, force: bool, now: datetime
) -> None:
    """Remove a directory; with ``force`` its items and their alerts go too.

    Raises WatchlistDirectoryNotFound, WatchlistDefaultStays, or WatchlistDirectoryNotEmpty without ``force``.
    """
    lock_watchlist(session, user_id, now=now)
    require_directory(session, directory_id=directory_id, user_id=user_id)
    if directory_id == user_id:
        raise WatchlistDefaultStays
    items = session.scalars(
        select(WATCHLIST_ITEMS.c.id).where(WATCHLIST_ITEMS.c.directory_id == directory_id)
    ).all()
    if items and not force:
        raise WatchlistDirectoryNotEmpty(item_count=len(items))
    remove_items(session, items)
    session.execute(delete(WATCHLIST_DIRECTORIES).where(WATCHLIST_DIRECTORIES.c.id == directory_id))


def forget_watchlist(session: Session, user_id: UUID, *, now: datetime) -> None:
    """Remove all that a user watches, with every directory: for an account that is closed."""
    lock_watchlist(session, user_id, now=now)
    mine = select(WATCHLIST_DIRECTORIES.c.id).where(WATCHLIST_DIRECTORIES.c.user_id == user_id)
    remove_items(
        session,
        session.scalars(
            select(WATCHLIST_ITEMS.c.id).where(WATCHLIST_ITEMS.c.directory_id.in_(mine))
        ).all(),
    )
    session.execute(delete(WATCHLIST_DIRECTORIES).where(WATCHLIST_DIRECTORIES.c.user_id == user_id))


def remove_items(session: Session, item_ids: Sequence[UUID]) -> None:
    """Remove items with their alerts; the watchlist they are of is locked."""
    session.execute(delete(PRICE_ALERTS).where(PRICE_ALERTS.c.item_id.in_(item_ids)))
    session.execute(delete(WATCHLIST_ITEMS).where(WATCHLIST_ITEMS.c.id.in_(item_ids)))


def require_directory(session: Session, *, directory_id: UUID, user_id: UUID) -> None:
    """Raises WatchlistDirectoryNotFound where the user has no such directory."""
    mine = (WATCHLIST_DIRECTORIES.c.id == directory_id) & (
        WATCHLIST_DIRECTORIES.c.user_id == user_id
    )
    if session.scalar(select(func.count()).where(mine)) != 1:
        raise WatchlistDirectoryNotFound


def write_order(session: Session, table: Table, ids: Sequence[UUID]) -> None:
    """Number these rows by their place in ``ids``, in one statement."""
    key: Column[Any] = table.c.id
    places = case(*((key == one, place) for place, one in enumerate(ids)))
    session.execute(update(table).where(key.in_(ids)).values(position=places))


def _directories_of(session: Session, user_id: UUID) -> Sequence[AnyRow]:
    """The ids, names and positions of a user's directories, in order."""
    return session.execute(
        select(
            WATCHLIST_DIRECTORIES.c.id,
            WATCHLIST_DIRECTORIES.c.name,
            WATCHLIST_DIRECTORIES.c.position,
        )
        .where(WATCHLIST_DIRECTORIES.c.user_id == user_id)
        .order_by(WATCHLIST_DIRECTORIES.c.position)
    ).all()
