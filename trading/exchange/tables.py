"""Tables of the exchange's calendar."""

from datetime import date, datetime

from sqlalchemy import Boolean, CheckConstraint, Date, String
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, Base, table_of


class ExchangeDayRow(Base):
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


EXCHANGE_DAYS = table_of(ExchangeDayRow)
