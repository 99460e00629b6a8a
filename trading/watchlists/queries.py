"""Read a user's watchlist: directories, items and alerts, with the stocks' last trades."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from trading.marketdata.ticks import Position
from trading.money import BASIS_POINTS
from trading.pagination import Page, page_of
from trading.stocks.tables import STOCKS
from trading.stocks.valuation_prices import ValuationPrice
from trading.watchlists.alert_rules import AlertKind
from trading.watchlists.alerts import Alert
from trading.watchlists.errors import WatchlistDirectoryNotFound, WatchlistItemNotFound
from trading.watchlists.tables import (
    PRICE_ALERTS,
    WATCHLIST_DIRECTORIES,
    WATCHLIST_ITEMS,
)

_ITEM = (
    select(
        WATCHLIST_ITEMS.c.id,
        WATCHLIST_ITEMS.c.directory_id,
        WATCHLIST_ITEMS.c.stock_code,
        WATCHLIST_ITEMS.c.position,
        WATCHLIST_ITEMS.c.memo,
        WATCHLIST_ITEMS.c.created_at,
        WATCHLIST_DIRECTORIES.c.position.label("directory_position"),
        STOCKS.c.name,
        STOCKS.c.market,
    )
    .join(WATCHLIST_DIRECTORIES, WATCHLIST_DIRECTORIES.c.id == WATCHLIST_ITEMS.c.directory_id)
    .join(STOCKS, STOCKS.c.code == WATCHLIST_ITEMS.c.stock_code)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryRecord:
    """A directory. `position` is its index among the user's directories, from 0."""

    id: UUID
    name: str
    is_default: bool
    position: int
    item_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRecord:
    """An alert with its bound (won): armed until `fired_at`, then with the tick that fired it.

    `price` is the stock's last price, None if no trade is known.
    """

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
        """Distance from the last price to the bound in basis points, rounded towards zero.

        Negative if the price has to fall.
        """
        if self.price is None:
            return None
        magnitude = abs(self.bound - self.price) * BASIS_POINTS // self.price
        return magnitude if self.bound >= self.price else -magnitude


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRecord:
    """A watched stock with its alerts and its last trade; `quote` is None if no trade is known."""

    id: UUID
    directory_id: UUID
    stock_code: str
    stock_name: str
    market: str
    memo: str | None
    created_at: datetime
    quote: Mapping[str, object] | None
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


class ItemRow(NamedTuple):
    """A watchlist item, its directory's position and its stock's name and market."""

    id: UUID
    directory_id: UUID
    stock_code: str
    position: int
    memo: str | None
    created_at: datetime
    directory_position: int
    name: str
    market: str


@dataclass(frozen=True, slots=True)
class ItemRows:
    """Items from the database, their alerts, and the cursor of the next page."""

    rows: tuple[ItemRow, ...]
    alerts: Mapping[UUID, Sequence[Alert]]
    next_cursor: str | None

    @property
    def stock_codes(self) -> list[str]:
        return [row.stock_code for row in self.rows]

    def with_prices(
        self,
        prices: Mapping[str, ValuationPrice],
        quote: Callable[[ValuationPrice], Mapping[str, object]],
    ) -> Page[ItemRecord]:
        """Return the items with these last prices, each converted by `quote`."""
        items = tuple(
            _item(row, self.alerts[row.id], prices.get(row.stock_code), quote) for row in self.rows
        )
        return Page(items, self.next_cursor)


def directories_of(session: Session, user_id: UUID) -> tuple[DirectoryRecord, ...]:
    """Return a user's directories by position. One statement."""
    statement = (
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
            position=position,
            item_count=row.item_count,
            created_at=row.created_at,
        )
        for position, row in enumerate(session.execute(statement))
    )


def directory_of(session: Session, *, user_id: UUID, directory_id: UUID) -> DirectoryRecord:
    """Return a directory of this user. Raises WatchlistDirectoryNotFound."""
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
    """Return a page of a user's items by directory and position, optionally of one directory.

    `after` is the position of the directory and of the item that precede the page. Raises
    WatchlistDirectoryNotFound. Two statements, three with `directory_id`.
    """
    wanted = _ITEM.where(WATCHLIST_DIRECTORIES.c.user_id == user_id)
    if directory_id is not None:
        directory_of(session, user_id=user_id, directory_id=directory_id)
        wanted = wanted.where(WATCHLIST_ITEMS.c.directory_id == directory_id)
    positions = tuple_(WATCHLIST_DIRECTORIES.c.position, WATCHLIST_ITEMS.c.position)
    if after is not None:
        wanted = wanted.where(positions > after)
    page = page_of(
        session.execute(wanted.order_by(*positions.clauses).limit(limit + 1)).all(),
        limit=limit,
        record=lambda row: ItemRow(*row),
        cursor=lambda row: f"{row.directory_position}-{row.position}",
    )
    return _with_alerts(session, page)


def item_of(session: Session, *, user_id: UUID, item_id: UUID) -> ItemRows:
    """Return one item. Raises WatchlistItemNotFound if the user has none such. Two statements."""
    row = session.execute(
        _ITEM.where(WATCHLIST_ITEMS.c.id == item_id, WATCHLIST_DIRECTORIES.c.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise WatchlistItemNotFound
    return _with_alerts(session, Page((ItemRow(*row),), None))


def _with_alerts(session: Session, page: Page[ItemRow]) -> ItemRows:
    alerts: dict[UUID, list[Alert]] = {row.id: [] for row in page.items}
    for row in session.execute(
        select(PRICE_ALERTS).where(PRICE_ALERTS.c.item_id.in_(list(alerts)))
    ):
        alerts[row.item_id].append(Alert.of(row))
    return ItemRows(page.items, alerts, page.next_cursor)


def _item(
    row: ItemRow,
    alerts: Sequence[Alert],
    last: ValuationPrice | None,
    quote: Callable[[ValuationPrice], Mapping[str, object]],
) -> ItemRecord:
    price = None if last is None else last.price
    by_kind = {alert.kind: alert for alert in alerts}
    return ItemRecord(
        id=row.id,
        directory_id=row.directory_id,
        stock_code=row.stock_code,
        stock_name=row.name,
        market=row.market,
        memo=row.memo,
        created_at=row.created_at,
        quote=None if last is None else quote(last),
        alerts=tuple(_alert(by_kind[kind], price) for kind in AlertKind if kind in by_kind),
    )


def _alert(alert: Alert, price: int | None) -> AlertRecord:
    return AlertRecord(
        kind=alert.kind,
        bound=alert.bound,
        armed_at=alert.armed_at,
        fired_at=alert.fired_at,
        tick_price=alert.tick_price,
        tick_traded_at=alert.tick_traded_at,
        tick_position=None
        if alert.tick_position is None
        else str(Position.unpack(alert.tick_position)),
        price=price,
    )
