"""Tables of indices."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, Date
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, WORD, Base, table_of


class IndexCloseRow(Base):
    """Close of an index on a trading day (KST), in hundredths of a point."""

    __tablename__ = "index_closes"
    __table_args__ = (CheckConstraint("close > 0", name="close"), MYSQL)

    index_code: Mapped[str] = mapped_column(WORD, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    close: Mapped[int]
    updated_at: Mapped[datetime]


INDEX_CLOSES = table_of(IndexCloseRow)
