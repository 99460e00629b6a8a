"""Tables of candles."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, STOCK_CODE, WORD, Base, one_of, table_of
from trading.db.types import Shares, Won
from trading.stocks.candles.model import STORED_INTERVALS


class CandleRow(Base):
    """Trades of a stock in one minute or day: prices and ``amount`` in won, ``volume`` in shares.

    ``starts_at`` is the start of the minute, or midnight KST for a day. ``opened_at`` and
    ``closed_at`` are the times of the trades at the open and the close, to place trades that are
    reported late. ``position`` is the stream position of the newest tick.
    """

    __tablename__ = "candles"
    __table_args__ = (
        Index("ix_candles_candle_interval_starts_at", "candle_interval", "starts_at"),
        CheckConstraint(one_of("candle_interval", STORED_INTERVALS), name="candle_interval"),
        CheckConstraint(
            "low > 0 AND low <= open AND low <= close AND high >= open AND high >= close",
            name="prices",
        ),
        CheckConstraint("volume >= 0 AND amount >= 0", name="volume"),
        CheckConstraint("opened_at >= starts_at AND closed_at >= opened_at", name="times"),
        MYSQL,
    )

    stock_code: Mapped[str] = mapped_column(STOCK_CODE, ForeignKey("stocks.code"), primary_key=True)
    candle_interval: Mapped[str] = mapped_column(WORD, primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    open: Mapped[int] = mapped_column(Won)
    high: Mapped[int] = mapped_column(Won)
    low: Mapped[int] = mapped_column(Won)
    close: Mapped[int] = mapped_column(Won)
    volume: Mapped[int] = mapped_column(Shares)
    amount: Mapped[int] = mapped_column(Won)
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime]
    position: Mapped[int]


CANDLES = table_of(CandleRow)


class CandleCursorRow(Base):
    """Stream position up to which candles were built: one row.

    ``read_at`` is the last time at which all ticks had been read.
    """

    __tablename__ = "candle_cursors"
    __table_args__ = (CheckConstraint("id = 1", name="id"), MYSQL)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int]
    read_at: Mapped[datetime]


CANDLE_CURSORS = table_of(CandleCursorRow)


class CandleGapRow(Base):
    """Time range of ticks that left the stream before they were read. Their stocks are unknown."""

    __tablename__ = "candle_gaps"
    __table_args__ = (
        Index("ix_candle_gaps_ends_at", "ends_at"),
        CheckConstraint("ends_at > starts_at", name="ends_at"),
        MYSQL,
    )

    after_position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]


CANDLE_GAPS = table_of(CandleGapRow)
