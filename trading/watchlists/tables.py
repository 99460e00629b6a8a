"""Tables of watchlists."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, STOCK_CODE, WORD, Base, one_of, table_of
from trading.db.types import Id, Won
from trading.watchlists.alert_rules import AlertKind, Approach


class WatchlistDirectoryRow(Base):
    """A directory of a user's watchlist. The default one has the user's id as its key."""

    __tablename__ = "watchlist_directories"
    __table_args__ = (
        UniqueConstraint("user_id", "name"),
        CheckConstraint("position >= 0", name="position"),
        MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(50))
    position: Mapped[int]
    created_at: Mapped[datetime]


WATCHLIST_DIRECTORIES = table_of(WatchlistDirectoryRow)


class WatchlistItemRow(Base):
    """A stock in a directory. `position` orders the items; numbers may be skipped."""

    __tablename__ = "watchlist_items"
    __table_args__ = (
        UniqueConstraint("directory_id", "stock_code"),
        Index("ix_watchlist_items_stock_code", "stock_code"),
        CheckConstraint("position >= 0", name="position"),
        MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    directory_id: Mapped[UUID] = mapped_column(Id, ForeignKey("watchlist_directories.id"))
    stock_code: Mapped[str] = mapped_column(STOCK_CODE, ForeignKey("stocks.code"))
    position: Mapped[int]
    memo: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime]


WATCHLIST_ITEMS = table_of(WatchlistItemRow)


class PriceAlertRow(Base):
    """A bound (won) of an item, armed until `fired_at`; `tick_…` is the trade that fired it.

    `stock_code` repeats the item's stock for the search by price. Trades up to `armed_position` in
    the tick stream never fire the alert.
    """

    __tablename__ = "price_alerts"
    __table_args__ = (
        Index("ix_price_alerts_armed", "stock_code", "approach", "fired_at", "bound"),
        CheckConstraint(one_of("kind", AlertKind), name="kind"),
        CheckConstraint(one_of("approach", Approach), name="approach"),
        CheckConstraint("bound > 0 AND armed_position >= 0", name="positive"),
        CheckConstraint(
            f"(kind <> '{AlertKind.UPPER}' OR approach = '{Approach.FROM_BELOW}')"
            f" AND (kind <> '{AlertKind.LOWER}' OR approach = '{Approach.FROM_ABOVE}')",
            name="approach_of_kind",
        ),
        CheckConstraint(
            "(fired_at IS NULL) = (tick_price IS NULL)"
            " AND (fired_at IS NULL) = (tick_position IS NULL)"
            " AND (fired_at IS NULL) = (tick_traded_at IS NULL)",
            name="fired_at",
        ),
        CheckConstraint(
            "tick_position IS NULL OR tick_position > armed_position", name="tick_position"
        ),
        CheckConstraint(
            f"tick_price IS NULL OR (approach = '{Approach.FROM_BELOW}' AND tick_price >= bound)"
            f" OR (approach = '{Approach.FROM_ABOVE}' AND tick_price <= bound)",
            name="tick_price",
        ),
        MYSQL,
    )

    item_id: Mapped[UUID] = mapped_column(Id, ForeignKey("watchlist_items.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(WORD, primary_key=True)
    stock_code: Mapped[str] = mapped_column(STOCK_CODE, ForeignKey("stocks.code"))
    bound: Mapped[int] = mapped_column(Won)
    approach: Mapped[str] = mapped_column(WORD)
    armed_at: Mapped[datetime]
    armed_position: Mapped[int]
    fired_at: Mapped[datetime | None]
    tick_price: Mapped[int | None] = mapped_column(Won)
    tick_traded_at: Mapped[datetime | None]
    tick_position: Mapped[int | None]


PRICE_ALERTS = table_of(PriceAlertRow)


class AlertCursorRow(Base):
    """Stream position up to which alerts have been checked; a single row."""

    __tablename__ = "alert_cursors"
    __table_args__ = (CheckConstraint("id = 1", name="id"), MYSQL)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int]


ALERT_CURSORS = table_of(AlertCursorRow)
