"""Tables of stocks."""

from datetime import date, datetime

from sqlalchemy import Boolean, CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, STOCK_CODE, WORD, Base, one_of, table_of
from trading.db.types import Shares, Won, ascii_text
from trading.exchange.price_grid import LEVERAGE_PERCENT_MAX
from trading.stocks.model import StockStatus

ALIAS_LENGTH_MAX = 100


class StockRow(Base):
    """Master data of a listed issue, by Toss product code.

    ``leverage_percent`` is the multiple of its index that a fund follows (-200: twice inverse).
    ``listed_on`` is the first trading day, NULL if it is not known. Stocks in liquidation trading,
    the days before a delisting, have no price limits. ``halted_at`` and ``resumed_at`` are the
    begin and the end of the latest halt; ``resumed_at`` is NULL while it lasts.
    """

    __tablename__ = "stocks"
    __table_args__ = (
        CheckConstraint(one_of("market", ("KOSPI", "KOSDAQ", "KONEX")), name="market"),
        CheckConstraint(one_of("kind", ("STOCK", "ETF", "ETN")), name="kind"),
        CheckConstraint(one_of("status", StockStatus), name="status"),
        CheckConstraint("reference_price IS NULL OR reference_price > 0", name="reference_price"),
        CheckConstraint(
            f"leverage_percent <> 0 AND leverage_percent >= -{LEVERAGE_PERCENT_MAX}"
            f" AND leverage_percent <= {LEVERAGE_PERCENT_MAX}",
            name="leverage_percent",
        ),
        CheckConstraint("in_liquidation IN (0, 1)", name="in_liquidation"),
        CheckConstraint(
            "resumed_at IS NULL OR (halted_at IS NOT NULL AND resumed_at >= halted_at)",
            name="resumed_at",
        ),
        Index("ix_stocks_resumed_at", "resumed_at"),
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
    listed_on: Mapped[date | None]
    leverage_percent: Mapped[int] = mapped_column(server_default="100")
    in_liquidation: Mapped[bool] = mapped_column(Boolean, server_default="0")
    halted_at: Mapped[datetime | None]
    resumed_at: Mapped[datetime | None]


class StockAliasRow(Base):
    """Another name by which people search a stock; the stock may be missing in the master data."""

    __tablename__ = "stock_aliases"
    __table_args__ = (MYSQL,)

    stock_code: Mapped[str] = mapped_column(STOCK_CODE, primary_key=True)
    alias: Mapped[str] = mapped_column(String(ALIAS_LENGTH_MAX), primary_key=True)
    added_at: Mapped[datetime]


STOCKS = table_of(StockRow)
STOCK_ALIASES = table_of(StockAliasRow)
