"""Add, change, sort and remove the items of a watchlist. An item is a watched stock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import case, func, insert, select, update
from sqlalchemy.orm import Session

from trading.marketdata.ticks import Tick
from trading.orders.validate import market_snapshot
from trading.stocks.errors import StockNotFound, StockNotTradable
from trading.stocks.model import StockStatus
from trading.stocks.tables import STOCKS
from trading.unit_of_work import UnitOfWork
from trading.watchlists.alert_rules import AlertKind
from trading.watchlists.alerts import set_alerts
from trading.watchlists.directories import (
    delete_items,
    lock_watchlist,
    require_directory,
    write_order,
)
from trading.watchlists.errors import (
    WatchlistDuplicate,
    WatchlistItemNotFound,
    WatchlistLimitReached,
    WatchlistOrderMismatch,
)
from trading.watchlists.queries import ItemRows, item_of
from trading.watchlists.tables import WATCHLIST_DIRECTORIES, WATCHLIST_ITEMS


@dataclass(frozen=True, slots=True, kw_only=True)
class AddItem:
    """Command to watch a stock, after the others of a directory; None is the default directory.

    `bounds` are the prices of alerts in won.
    """

    item_id: UUID
    user_id: UUID
    stock_code: str
    directory_id: UUID | None = None
    memo: str | None = None
    bounds: Mapping[AlertKind, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeItem:
    """Command to change an item. `directory_id` None and an absent bound change nothing.

    A bound (won) of None deletes the alert. The memo changes if `changes_memo`; None deletes it.
    `rearm` arms the alerts that have fired.
    """

    item_id: UUID
    user_id: UUID
    directory_id: UUID | None = None
    memo: str | None = None
    changes_memo: bool = False
    bounds: Mapping[AlertKind, int | None] = field(default_factory=dict)
    rearm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SortItems:
    """Command to sort a directory; `item_ids` names each of its items once, in the new order."""

    user_id: UUID
    directory_id: UUID
    item_ids: Sequence[UUID]


class WatchedItem(NamedTuple):
    """An item after a change, and the last tick that its alerts were armed with."""

    rows: ItemRows
    tick: Tick | None


class _OwnItem(NamedTuple):
    id: UUID
    directory_id: UUID
    stock_code: str


def add_item(uow: UnitOfWork, command: AddItem) -> WatchedItem:
    """Watch a stock.

    Raises StockNotFound, StockNotTradable for a delisted stock, WatchlistDirectoryNotFound,
    WatchlistDuplicate, WatchlistLimitReached, or what `set_alerts` raises.
    """
    session, user_id, item_id = uow.session, command.user_id, command.item_id
    _require_listed(session, command.stock_code)
    lock_watchlist(session, user_id, now=uow.now)
    market = market_snapshot(uow.quotes, command.stock_code)
    directory_id = command.directory_id or user_id
    require_directory(session, directory_id=directory_id, user_id=user_id)
    row = {
        "id": item_id,
        "directory_id": directory_id,
        "stock_code": command.stock_code,
        "position": _next_position(uow, directory_id, command.stock_code),
        "memo": command.memo,
        "created_at": uow.now,
    }
    session.execute(insert(WATCHLIST_ITEMS).values(**row))
    set_alerts(
        session,
        item_id=item_id,
        stock_code=command.stock_code,
        bounds=command.bounds,
        market=market,
        now=uow.now,
    )
    return WatchedItem(item_of(session, user_id=user_id, item_id=item_id), market.tick)


def change_item(uow: UnitOfWork, command: ChangeItem) -> WatchedItem:
    """Change an item's memo, directory and alerts.

    A moved item becomes the last of its new directory and keeps its alerts. Raises
    WatchlistItemNotFound, WatchlistDirectoryNotFound, WatchlistDuplicate, WatchlistLimitReached, or
    what `set_alerts` raises.
    """
    session, user_id, item_id = uow.session, command.user_id, command.item_id
    lock_watchlist(session, user_id, now=uow.now)
    item = _own_item(session, item_id=item_id, user_id=user_id)
    # After the lock: a deleted alert must not be armed again before the trade that fired it.
    market = market_snapshot(uow.quotes, item.stock_code)
    # Alerts before items, the lock order of `check_alerts`.
    set_alerts(
        session,
        item_id=item_id,
        stock_code=item.stock_code,
        bounds=command.bounds,
        rearm=command.rearm,
        market=market,
        now=uow.now,
    )
    values: dict[str, object] = {}
    if command.changes_memo:
        values["memo"] = command.memo
    if command.directory_id not in (None, item.directory_id):
        target = command.directory_id
        require_directory(session, directory_id=target, user_id=user_id)
        values["directory_id"] = target
        values["position"] = _next_position(uow, target, item.stock_code)
    if values:
        session.execute(
            update(WATCHLIST_ITEMS).where(WATCHLIST_ITEMS.c.id == item_id).values(**values)
        )
    return WatchedItem(item_of(session, user_id=user_id, item_id=item_id), market.tick)


def remove_item(uow: UnitOfWork, *, user_id: UUID, item_id: UUID) -> None:
    """Remove an item and its alerts. Raises WatchlistItemNotFound."""
    lock_watchlist(uow.session, user_id, now=uow.now)
    item = _own_item(uow.session, item_id=item_id, user_id=user_id)
    delete_items(uow.session, [item.id])


def sort_items(uow: UnitOfWork, command: SortItems) -> SortItems:
    """Sort a directory's items. Raises WatchlistDirectoryNotFound or WatchlistOrderMismatch."""
    session, directory_id = uow.session, command.directory_id
    lock_watchlist(session, command.user_id, now=uow.now)
    require_directory(session, directory_id=directory_id, user_id=command.user_id)
    existing = set(
        session.scalars(
            select(WATCHLIST_ITEMS.c.id).where(WATCHLIST_ITEMS.c.directory_id == directory_id)
        )
    )
    if existing != set(command.item_ids):
        raise WatchlistOrderMismatch(
            missing=[str(one) for one in sorted(existing - set(command.item_ids))],
            unknown=[str(one) for one in command.item_ids if one not in existing],
        )
    if command.item_ids:
        write_order(session, WATCHLIST_ITEMS, command.item_ids)
    return command


def _require_listed(session: Session, stock_code: str) -> None:
    status = session.scalar(select(STOCKS.c.status).where(STOCKS.c.code == stock_code))
    if status is None:
        raise StockNotFound(stock_code=stock_code)
    if status == StockStatus.DELISTED:
        raise StockNotTradable(stock_code=stock_code, stock_status=status)


def _own_item(session: Session, *, item_id: UUID, user_id: UUID) -> _OwnItem:
    row = session.execute(
        select(WATCHLIST_ITEMS.c.id, WATCHLIST_ITEMS.c.directory_id, WATCHLIST_ITEMS.c.stock_code)
        .join(WATCHLIST_DIRECTORIES, WATCHLIST_DIRECTORIES.c.id == WATCHLIST_ITEMS.c.directory_id)
        .where(WATCHLIST_ITEMS.c.id == item_id, WATCHLIST_DIRECTORIES.c.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise WatchlistItemNotFound
    return _OwnItem(*row)


def _next_position(uow: UnitOfWork, directory_id: UUID, stock_code: str) -> int:
    """Return the position after a directory's last item.

    Raises WatchlistDuplicate if the directory has the stock, WatchlistLimitReached if it is full.
    """
    count, last, same = uow.session.execute(
        select(
            func.count(),
            func.coalesce(func.max(WATCHLIST_ITEMS.c.position), -1),
            func.coalesce(
                func.max(case((WATCHLIST_ITEMS.c.stock_code == stock_code, 1), else_=0)), 0
            ),
        ).where(WATCHLIST_ITEMS.c.directory_id == directory_id)
    ).one()
    if same:
        raise WatchlistDuplicate(stock_code=stock_code, directory_id=str(directory_id))
    limit = uow.settings.watchlist_items_max
    if count >= limit:
        raise WatchlistLimitReached(limited="items", limit=limit)
    return int(last) + 1
