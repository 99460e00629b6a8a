"""What was: an account's worth at the end of each trading day, an index's closes, and candles of the stocks' trades."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from trading.database.tables.mapping import MYSQL, STOCK_CODE, WORD, Base, one_of
from trading.database.types import Shares, Won
from trading.rules.candles import STORED_INTERVALS


class AccountDay(Base):
    """An account at the end of a trading day (KST), never changed afterwards. Amounts are won.

    The day ends at ``ended_at``: what was booked before it counts, up to and with the Transaction ``last_sequence``. ``net_flow`` is what was
    paid in less what was paid out (``paid_out``) since the day before. ``holdings_value`` is of the closes of that day; of ``carried_holdings``
    holdings the close is an earlier day's, as nothing was traded, and ``unpriced_holdings`` had none and are not in it.
    """

    __tablename__ = "account_days"
    __table_args__ = (
        CheckConstraint("holdings_value >= 0", name="holdings_value"),
        CheckConstraint("carried_holdings >= 0 AND unpriced_holdings >= 0", name="holdings"),
        CheckConstraint("paid_out >= 0 AND net_flow + paid_out >= 0", name="flows"),
        CheckConstraint("last_sequence > 0", name="last_sequence"),
        MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    ended_at: Mapped[datetime]
    last_sequence: Mapped[int]
    cash_balance: Mapped[int] = mapped_column(Won)
    holdings_value: Mapped[int] = mapped_column(Won)
    net_flow: Mapped[int] = mapped_column(Won)
    paid_out: Mapped[int] = mapped_column(Won)
    carried_holdings: Mapped[int]
    unpriced_holdings: Mapped[int]
    recorded_at: Mapped[datetime]


class IndexClose(Base):
    """What an index closed at on a trading day (KST), in hundredths of a point."""

    __tablename__ = "index_closes"
    __table_args__ = (CheckConstraint("close > 0", name="close"), MYSQL)

    index_code: Mapped[str] = mapped_column(WORD, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    close: Mapped[int]
    updated_at: Mapped[datetime]


class Candle(Base):
    """The trades of a stock in one minute or one day: prices in won, ``volume`` shares, ``amount`` won of those that we saw.

    ``starts_at`` is the minute's, or midnight in Korea for a day. ``opened_at`` and ``closed_at`` are the times of the trades that gave the open and
    the close, which a trade that is reported late is held against. ``position`` is that of the newest tick in it, in the tick stream.
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


class CandleCursor(Base):
    """How far the candles have been built from the tick stream: one row. ``read_at`` is when there was last nothing more to read."""

    __tablename__ = "candle_cursors"
    __table_args__ = (CheckConstraint("id = 1", name="id"), MYSQL)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int]
    read_at: Mapped[datetime]


class CandleGap(Base):
    """A time of which trades, of no one knows which stocks, were lost from the tick stream before they could be counted."""

    __tablename__ = "candle_gaps"
    __table_args__ = (
        Index("ix_candle_gaps_ends_at", "ends_at"),
        CheckConstraint("ends_at > starts_at", name="ends_at"),
        MYSQL,
    )

    after_position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
