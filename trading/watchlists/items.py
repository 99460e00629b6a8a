"""The items of a watchlist: stocks that are added, changed, moved to another directory, put into order and removed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from sqlalchemy import case, func, insert, select, update
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.db.statements import AnyRow
from trading.marketdata.quotes import QuoteStore
from trading.orders.validate import MarketSnapshot, market_snapshot
from trading.stocks.errors import StockNotFound, StockNotTradable
from trading.stocks.tables import STOCKS
from trading.watchlists.alert_rules import AlertKind
from trading.watchlists.alerts import set_alerts
from trading.watchlists.directories import (
    lock_watchlist,
    remove_items,
    require_directory,
    write_order,
)
from trading.watchlists.errors import (
    WatchlistDuplicate,
    WatchlistItemNotFound,
    WatchlistLimitReached,
    WatchlistOrderMismatch,
)
from trading.watchlists.tables import (
    WATCHLIST_DIRECTORIES,
    WATCHLIST_ITEMS,
)


class ItemChanges(TypedDict, total=False):
    """What is to change of an item; what is left out stays as it is. ``bounds`` are won, None takes one away."""

    directory_id: UUID
    memo: str | None
    bounds: Mapping[AlertKind, int | None]
    rearm: bool


def add_item(
    session: Session,
    *,
    item_id: UUID,
    user_id: UUID,
    stock_code: str,
    directory_id: UUID | None = None,
    memo: str | None = None,
    bounds: Mapping[AlertKind, int | None],
    quotes: QuoteStore,
    settings: Settings,
    now: datetime,
) -> MarketSnapshot:
    """Watch a stock, behind the others in a directory: the default one where none is named. Returns the look at the market that the alerts go by.

    Raises StockNotFound, StockNotTradable for one that is no longer listed, WatchlistDirectoryNotFound, WatchlistDuplicate, WatchlistLimitReached, or
    what ``trading.watchlists.alerts.set_alerts`` does.
    """
    _require_listed(session, stock_code)
    lock_watchlist(session, user_id, now=now)
    market = market_snapshot(quotes, stock_code)
    directory_id = directory_id or user_id
    require_directory(session, directory_id=directory_id, user_id=user_id)
    row = {
        "id": item_id,
        "directory_id": directory_id,
        "stock_code": stock_code,
        "position": _room_in(session, directory_id, stock_code, settings=settings),
        "memo": memo,
        "created_at": now,
    }
    session.execute(insert(WATCHLIST_ITEMS).values(**row))
    set_alerts(
        session, item_id=item_id, stock_code=stock_code, bounds=bounds, market=market, now=now
    )
    return market


def change_item(
    session: Session,
    *,
    item_id: UUID,
    user_id: UUID,
    changes: ItemChanges,
    quotes: QuoteStore,
    settings: Settings,
    now: datetime,
) -> MarketSnapshot:
    """Change an item's memo, directory and alerts. One that moves goes behind the others there, and its alerts go along. Returns the look at the
    market that the alerts go by.

    Raises WatchlistItemNotFound, WatchlistDirectoryNotFound, WatchlistDuplicate, WatchlistLimitReached, or what
    ``trading.watchlists.alerts.set_alerts`` does.
    """
    lock_watchlist(session, user_id, now=now)
    item = _own_item(session, item_id=item_id, user_id=user_id)
    # Behind the lock, so that an alert which was taken away is not set again at a place before the trade that fired it.
    market = market_snapshot(quotes, item.stock_code)
    # Before the item itself: whoever fires alerts locks these before their items, too.
    set_alerts(
        session,
        item_id=item_id,
        stock_code=item.stock_code,
        bounds=changes.get("bounds", {}),
        rearm=changes.get("rearm", False),
        market=market,
        now=now,
    )
    values: dict[str, object] = {}
    if "memo" in changes:
        values["memo"] = changes["memo"]
    if changes.get("directory_id", item.directory_id) != item.directory_id:
        target = changes["directory_id"]
        require_directory(session, directory_id=target, user_id=user_id)
        values |= {
            "directory_id": target,
            "position": _room_in(session, target, item.stock_code, settings=settings),
        }
    if values:
        session.execute(
            update(WATCHLIST_ITEMS).where(WATCHLIST_ITEMS.c.id == item_id).values(**values)
        )
    return market


def remove_item(session: Session, *, item_id: UUID, user_id: UUID, now: datetime) -> None:
    """No longer watch a stock; its alerts go too. Raises WatchlistItemNotFound."""
    lock_watchlist(session, user_id, now=now)
    remove_items(session, [_own_item(session, item_id=item_id, user_id=user_id).id])


def order_items(
    session: Session, *, directory_id: UUID, user_id: UUID, item_ids: Sequence[UUID], now: datetime
) -> None:
    """Put a directory's items into this order, which names each of them once. Raises WatchlistDirectoryNotFound or WatchlistOrderMismatch."""
    lock_watchlist(session, user_id, now=now)
    require_directory(session, directory_id=directory_id, user_id=user_id)
    there = set(
        session.scalars(
            select(WATCHLIST_ITEMS.c.id).where(WATCHLIST_ITEMS.c.directory_id == directory_id)
        )
    )
    if there != set(item_ids):
        raise WatchlistOrderMismatch(
            missing=[str(one) for one in sorted(there - set(item_ids))],
            unknown=[str(one) for one in item_ids if one not in there],
        )
    if item_ids:
        write_order(session, WATCHLIST_ITEMS, item_ids)


def _require_listed(session: Session, stock_code: str) -> None:
    status = session.scalar(select(STOCKS.c.status).where(STOCKS.c.code == stock_code))
    if status is None:
        raise StockNotFound(stock_code=stock_code)
    if status == "DELISTED":
        raise StockNotTradable(stock_code=stock_code, stock_status=status)


def _own_item(session: Session, *, item_id: UUID, user_id: UUID) -> AnyRow:
    row = session.execute(
        select(WATCHLIST_ITEMS.c.id, WATCHLIST_ITEMS.c.directory_id, WATCHLIST_ITEMS.c.stock_code)
        .join(WATCHLIST_DIRECTORIES, WATCHLIST_DIRECTORIES.c.id == WATCHLIST_ITEMS.c.directory_id)
        .where(WATCHLIST_ITEMS.c.id == item_id, WATCHLIST_DIRECTORIES.c.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise WatchlistItemNotFound
    return row


def _room_in(session: Session, directory_id: UUID, stock_code: str, *, settings: Settings) -> int:
    """The place behind a directory's items. Raises WatchlistDuplicate where the stock is among them, WatchlistLimitReached where it is full."""
    of_directory = WATCHLIST_ITEMS.c.directory_id == directory_id
    count, last, same = session.execute(
        select(
            func.count(),
            func.coalesce(func.max(WATCHLIST_ITEMS.c.position), -1),
            func.coalesce(
                func.max(case((WATCHLIST_ITEMS.c.stock_code == stock_code, 1), else_=0)), 0
            ),
        ).where(of_directory)
    ).one()
    if same:
        raise WatchlistDuplicate(stock_code=stock_code, directory_id=str(directory_id))
    if count >= settings.watchlist_items_max:
        raise WatchlistLimitReached(limited="items", limit=settings.watchlist_items_max)
    return int(last) + 1
