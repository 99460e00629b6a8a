"""What is traded, and when: the listed issues, corrections of the calendar, halts."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Date, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trading.database.tables.mapping import MYSQL, STOCK_CODE, WORD, Base, one_of
from trading.database.types import Shares, Won, ascii_text


class Stock(Base):
    """Master data of a listed issue, by Toss product code."""

    __tablename__ = "stocks"
    __table_args__ = (
        CheckConstraint(one_of("market", ("KOSPI", "KOSDAQ", "KONEX")), name="market"),
        CheckConstraint(one_of("kind", ("STOCK", "ETF", "ETN")), name="kind"),
        CheckConstraint(one_of("status", ("TRADABLE", "HALTED", "DELISTED")), name="status"),
        CheckConstraint("reference_price IS NULL OR reference_price > 0", name="reference_price"),
        MYSQL,
    )

    code: Mapped[str] = mapped_column(STOCK_CODE, primary_key=True)
    isin: Mapped[str | None] = mapped_column(ascii_text(12))
    name: Mapped[str] = mapped_column(String(100))
    english_name: Mapped[str | None] = mapped_column(String(200))
    market: Mapped[str] = mapped_column(WORD)
    kind: Mapped[str] = mapped_column(WORD)
    sector: Mapped[str | None] = mapped_column(String(50))
    status: Mapped[str] = mapped_column(WORD)
    listed_shares: Mapped[int | None] = mapped_column(Shares)
    reference_price: Mapped[int | None] = mapped_column(Won)
    updated_at: Mapped[datetime]


class ExchangeDay(Base):
    """An operator's correction of one day of the exchange's calendar."""

    __tablename__ = "exchange_days"
    __table_args__ = (
        CheckConstraint("closed IN (0, 1)", name="closed"),
        CheckConstraint(
            "delay_minutes >= 0 AND delay_minutes <= 360 AND (closed = 0 OR delay_minutes = 0)",
            name="delay_minutes",
        ),
        MYSQL,
    )

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    closed: Mapped[bool] = mapped_column(Boolean)
    delay_minutes: Mapped[int]
    note: Mapped[str] = mapped_column(String(200))
    updated_at: Mapped[datetime]


class TradingHalt(Base):
    """A time during which an administrator had trading stopped. ``running`` is 1 until it is lifted, so that there is only one at a time."""

    __tablename__ = "trading_halts"
    __table_args__ = (
        UniqueConstraint("running"),
        CheckConstraint("running IS NULL OR running = 1", name="running"),
        CheckConstraint("(running IS NULL) = (resumed_at IS NOT NULL)", name="resumed_at"),
        CheckConstraint("(resumed_at IS NULL) = (resumed_by IS NULL)", name="resumed_by"),
        MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    running: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(String(200))
    halted_at: Mapped[datetime]
    halted_by: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    resumed_at: Mapped[datetime | None]
    resumed_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
