"""Open, change and remove the directories of a watchlist.

Every change of a user's watchlist first locks the default directory, so limits hold and positions
stay distinct under concurrent requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Table, case, delete, func, insert, select, update
from sqlalchemy.orm import Session

from trading.db.upsert import upsert
from trading.unit_of_work import UnitOfWork
from trading.watchlists.errors import (
    WatchlistDefaultStays,
    WatchlistDirectoryNotEmpty,
    WatchlistDirectoryNotFound,
    WatchlistLimitReached,
    WatchlistNameTaken,
)
from trading.watchlists.queries import DirectoryRecord, directory_of
from trading.watchlists.tables import PRICE_ALERTS, WATCHLIST_DIRECTORIES, WATCHLIST_ITEMS

DEFAULT_NAME = "관심 종목"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDirectory:
    """Command to add a directory after the user's others."""

    directory_id: UUID
    user_id: UUID
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeDirectory:
    """Command to rename or move a directory; None leaves the name or the position as it is.

    Position 0 is the first; a position beyond the end means the last.
    """

    directory_id: UUID
    user_id: UUID
    name: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDirectory:
    """Command to remove a directory; with `force` also its items and their alerts."""

    directory_id: UUID
    user_id: UUID
    force: bool = False


class _Directory(NamedTuple):
    id: UUID
    name: str
    position: int


def lock_watchlist(session: Session, user_id: UUID, *, now: datetime) -> None:
    """Serialize changes of a user's watchlist until COMMIT; ensure the default directory."""
    default = {
        "id": user_id,
        "user_id": user_id,
        "name": DEFAULT_NAME,
        "position": 0,
        "created_at": now,
    }
    upsert(session, WATCHLIST_DIRECTORIES, [default], update=("user_id",))


def open_directory(uow: UnitOfWork, command: OpenDirectory) -> DirectoryRecord:
    """Add a directory. Raises WatchlistLimitReached or WatchlistNameTaken."""
    session, user_id = uow.session, command.user_id
    lock_watchlist(session, user_id, now=uow.now)
    existing = _directories(session, user_id)
    limit = uow.settings.watchlist_directories_max
    if len(existing) >= limit:
        raise WatchlistLimitReached(limited="directories", limit=limit)
    if command.name in {other.name for other in existing}:
        raise WatchlistNameTaken
    row = {
        "id": command.directory_id,
        "user_id": user_id,
        "name": command.name,
        "position": existing[-1].position + 1,
        "created_at": uow.now,
    }
    session.execute(insert(WATCHLIST_DIRECTORIES).values(**row))
    return directory_of(session, user_id=user_id, directory_id=command.directory_id)


def change_directory(uow: UnitOfWork, command: ChangeDirectory) -> DirectoryRecord:
    """Rename or move a directory. Raises WatchlistDirectoryNotFound or WatchlistNameTaken."""
    session, user_id, directory_id = uow.session, command.user_id, command.directory_id
    lock_watchlist(session, user_id, now=uow.now)
    existing = _directories(session, user_id)
    others = [other for other in existing if other.id != directory_id]
    if len(others) == len(existing):
        raise WatchlistDirectoryNotFound
    if command.name in {other.name for other in others}:
        raise WatchlistNameTaken
    if command.name is not None:
        session.execute(
            update(WATCHLIST_DIRECTORIES)
            .where(WATCHLIST_DIRECTORIES.c.id == directory_id)
            .values(name=command.name)
        )
    if command.position is not None:
        ids = [other.id for other in others]
        ids.insert(command.position, directory_id)
        write_order(session, WATCHLIST_DIRECTORIES, ids)
    return directory_of(session, user_id=user_id, directory_id=directory_id)


def remove_directory(uow: UnitOfWork, command: RemoveDirectory) -> None:
    """Remove a directory.

    Raises WatchlistDirectoryNotFound, WatchlistDefaultStays, or WatchlistDirectoryNotEmpty without
    `force`.
    """
    session, directory_id = uow.session, command.directory_id
    lock_watchlist(session, command.user_id, now=uow.now)
    require_directory(session, directory_id=directory_id, user_id=command.user_id)
    if directory_id == command.user_id:
        raise WatchlistDefaultStays
    items = session.scalars(
        select(WATCHLIST_ITEMS.c.id).where(WATCHLIST_ITEMS.c.directory_id == directory_id)
    ).all()
    if items and not command.force:
        raise WatchlistDirectoryNotEmpty(item_count=len(items))
    delete_items(session, items)
    session.execute(delete(WATCHLIST_DIRECTORIES).where(WATCHLIST_DIRECTORIES.c.id == directory_id))


def delete_watchlist(session: Session, user_id: UUID, *, now: datetime) -> None:
    """Delete all items and directories of a user whose account is closed."""
    lock_watchlist(session, user_id, now=now)
    own = select(WATCHLIST_DIRECTORIES.c.id).where(WATCHLIST_DIRECTORIES.c.user_id == user_id)
    delete_items(
        session,
        session.scalars(
            select(WATCHLIST_ITEMS.c.id).where(WATCHLIST_ITEMS.c.directory_id.in_(own))
        ).all(),
    )
    session.execute(delete(WATCHLIST_DIRECTORIES).where(WATCHLIST_DIRECTORIES.c.user_id == user_id))


def delete_items(session: Session, item_ids: Sequence[UUID]) -> None:
    """Delete items and their alerts. The caller has locked the watchlist."""
    session.execute(delete(PRICE_ALERTS).where(PRICE_ALERTS.c.item_id.in_(item_ids)))
    session.execute(delete(WATCHLIST_ITEMS).where(WATCHLIST_ITEMS.c.id.in_(item_ids)))


def require_directory(session: Session, *, directory_id: UUID, user_id: UUID) -> None:
    """Raise WatchlistDirectoryNotFound unless the directory belongs to the user."""
    own = (WATCHLIST_DIRECTORIES.c.id == directory_id) & (
        WATCHLIST_DIRECTORIES.c.user_id == user_id
    )
    if session.scalar(select(func.count()).where(own)) != 1:
        raise WatchlistDirectoryNotFound


def write_order(session: Session, table: Table, ids: Sequence[UUID]) -> None:
    """Set the `position` of each row to its index in `ids`, in one statement."""
    positions = case(*((table.c.id == one, position) for position, one in enumerate(ids)))
    session.execute(update(table).where(table.c.id.in_(ids)).values(position=positions))


def _directories(session: Session, user_id: UUID) -> list[_Directory]:
    """Return a user's directories by position."""
    rows = session.execute(
        select(
            WATCHLIST_DIRECTORIES.c.id,
            WATCHLIST_DIRECTORIES.c.name,
            WATCHLIST_DIRECTORIES.c.position,
        )
        .where(WATCHLIST_DIRECTORIES.c.user_id == user_id)
        .order_by(WATCHLIST_DIRECTORIES.c.position)
    )
    return [_Directory(*row) for row in rows]
