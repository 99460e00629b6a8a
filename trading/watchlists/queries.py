"""A user's watchlist: its directories, and the stocks in them beside their last trades."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow
from trading.marketdata.ticks import Position, Tick
from trading.money import BASIS_POINTS
from trading.pagination import Page, page_of
from trading.stocks.tables import STOCKS
from trading.watchlists.alert_rules import AlertKind
from trading.watchlists.errors import WatchlistDirectoryNotFound, WatchlistItemNotFound
from trading.watchlists.tables import (
    PRICE_ALERTS,
    WATCHLIST_DIRECTORIES,
    WATCHLIST_ITEMS,
)

_ITEM = (
    select(
        WATCHLIST_ITEMS,
        WATCHLIST_DIRECTORIES.c.position.label("directory_position"),
        STOCKS.c.name,
        STOCKS.c.market,
    )
    .join(WATCHLIST_DIRECTORIES, WATCHLIST_DIRECTORIES.c.id == WATCHLIST_ITEMS.c.directory_id)
    .join(STOCKS, STOCKS.c.code == WATCHLIST_ITEMS.c.stock_code)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryRecord:
    """A directory. ``position`` is its place among the user's, from 0."""

    id: UUID
    name: str
    is_default: bool
    position: int
    item_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRecord:
    """A bound (won), armed until ``fired_at``; the tick that fired it is kept. ``price`` is the stock's last one, None when there is none."""

    kind: AlertKind
    bound: int
    armed_at: datetime
    fired_at: datetime | None
    tick_price: int | None
    tick_traded_at: datetime | None
    tick_position: str | None
    price: int | None

    @property
    def state(self) -> str:
        return "ARMED" if self.fired_at is None else "FIRED"

    @property
    def distance_bp(self) -> int | None:
        """How far the price has to go to the bound, in basis points of the price, rounded towards zero; negative where it has to fall."""
        if self.price is None:
            return None
        magnitude = abs(self.bound - self.price) * BASIS_POINTS // self.price
        return magnitude if self.bound >= self.price else -magnitude


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRecord:
    """A watched stock with its alerts, and what is shown of its last trade; None when none is known."""

    id: UUID
    directory_id: UUID
    stock_code: str
    stock_name: str
    market: str
    memo: str | None
    created_at: datetime
    quote: Mapping[str, Any] | None
    alerts: tuple[AlertRecord, ...]

    def bound(self, kind: AlertKind) -> int | None:
        return next((alert.bound for alert in self.alerts if alert.kind is kind), None)

    @property
    def target_price(self) -> int | None:
        return self.bound(AlertKind.TARGET)

    @property
    def upper_price(self) -> int | None:
        return self.bound(AlertKind.UPPER)

    @property
    def lower_price(self) -> int | None:
        return self.bound(AlertKind.LOWER)


@dataclass(frozen=True, slots=True)
class ItemRows:
    """Items as the database has them, each with its alerts, and the cursor of the next page."""

    rows: tuple[AnyRow, ...]
    alerts: Mapping[UUID, list[AnyRow]]
    next_cursor: str | None

    @property
    def stock_codes(self) -> list[str]:
        return [row.stock_code for row in self.rows]

    def beside(
        self, ticks: Mapping[str, Tick], quote: Callable[[Tick], Mapping[str, Any]]
    ) -> Page[ItemRecord]:
        """The items with these last ticks, each shown as ``quote`` says."""
        items = tuple(
            _item(row, self.alerts[row.id], ticks.get(row.stock_code), quote) for row in self.rows
        )
        return Page(items, self.next_cursor)


def directories_of(session: Session, user_id: UUID) -> tuple[DirectoryRecord, ...]:
    """A user's directories in their order. One statement."""
    counted = (
        select(WATCHLIST_DIRECTORIES, func.count(WATCHLIST_ITEMS.c.id).label("item_count"))
        .outerjoin(WATCHLIST_ITEMS, WATCHLIST_ITEMS.c.directory_id == WATCHLIST_DIRECTORIES.c.id)
        .where(WATCHLIST_DIRECTORIES.c.user_id == user_id)
        .group_by(*WATCHLIST_DIRECTORIES.c)
        .order_by(WATCHLIST_DIRECTORIES.c.position)
    )
    return tuple(
        DirectoryRecord(
            id=row.id,
            name=row.name,
            is_default=row.id == row.user_id,
            position=place,
            item_count=row.item_count,
            created_at=row.created_at,
        )
        for place, row in enumerate(session.execute(counted))
    )


def directory_of(session: Session, *, user_id: UUID, directory_id: UUID) -> DirectoryRecord:
    """One directory of this user. Raises WatchlistDirectoryNotFound, for another's too."""
    found = next((one for one in directories_of(session, user_id) if one.id == directory_id), None)
    if found is None:
        raise WatchlistDirectoryNotFound
    return found


def items_of(
    session: Session,
    *,
    user_id: UUID,
    limit: int,
    directory_id: UUID | None = None,
    after: tuple[int, int] | None = None,
) -> ItemRows:
    """A user's items by directory and position, those of one directory where it is named. Two statements, one more for the directory.

    ``after`` are the positions of the directory and of the item behind which the page begins. Raises WatchlistDirectoryNotFound.
    """
    wanted = _ITEM.where(WATCHLIST_DIRECTORIES.c.user_id == user_id)
    if directory_id is not None:
        directory_of(session, user_id=user_id, directory_id=directory_id)
        wanted = wanted.where(WATCHLIST_ITEMS.c.directory_id == directory_id)
    places = tuple_(WATCHLIST_DIRECTORIES.c.position, WATCHLIST_ITEMS.c.position)
    if after is not None:
        wanted = wanted.where(places > after)
    rows = session.execute(wanted.order_by(*places.clauses).limit(limit + 1)).all()
    page = page_of(
        rows,
        limit=limit,
        record=lambda row: row,
        cursor=lambda row: f"{row.directory_position}-{row.position}",
    )
    return _with_alerts(session, page)


def item_of(session: Session, *, user_id: UUID, item_id: UUID) -> ItemRows:
    """One item of this user. Raises WatchlistItemNotFound, for another's too. Two statements."""
    row = session.execute(
        _ITEM.where(WATCHLIST_ITEMS.c.id == item_id, WATCHLIST_DIRECTORIES.c.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise WatchlistItemNotFound
    return _with_alerts(session, Page((row,), None))


def _with_alerts(session: Session, page: Page[AnyRow]) -> ItemRows:
    alerts: dict[UUID, list[AnyRow]] = {row.id: [] for row in page.items}
    for alert in session.execute(
        select(PRICE_ALERTS).where(PRICE_ALERTS.c.item_id.in_(list(alerts)))
    ):
        alerts[alert.item_id].append(alert)
    return ItemRows(page.items, alerts, page.next_cursor)


def _item(
    row: AnyRow, alerts: list[AnyRow], tick: Tick | None, quote: Callable[[Tick], Mapping[str, Any]]
) -> ItemRecord:
    price = None if tick is None else tick.price
    by_kind = {AlertKind(alert.kind): alert for alert in alerts}
    return ItemRecord(
        id=row.id,
        directory_id=row.directory_id,
        stock_code=row.stock_code,
        stock_name=row.name,
        market=row.market,
        memo=row.memo,
        created_at=row.created_at,
        quote=None if tick is None else quote(tick),
        alerts=tuple(_alert(by_kind[kind], price) for kind in AlertKind if kind in by_kind),
    )


def _alert(row: AnyRow, price: int | None) -> AlertRecord:
    return AlertRecord(
        kind=AlertKind(row.kind),
        bound=row.bound,
        armed_at=row.armed_at,
        fired_at=row.fired_at,
        tick_price=row.tick_price,
        tick_traded_at=row.tick_traded_at,
        tick_position=None
        if row.tick_position is None
        else str(Position.unpack(row.tick_position)),
        price=price,
    )
