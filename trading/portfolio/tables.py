"""Tables of portfolio."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Date, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, Base, table_of
from trading.db.types import Id, Won


class DailySnapshot(Base):
    """An account at the end of a trading day (KST), never changed afterwards. Amounts are won.

    The day ends at ``ended_at``: what was booked before it counts, up to and with the Transaction ``last_sequence``. ``net_flow`` is what was
    paid in less what was paid out (``paid_out``) since the day before. ``holdings_value`` is of the closes of that day; of ``carried_holdings``
    holdings the close is an earlier day's, as nothing was traded, and ``unpriced_holdings`` had none and are not in it.
    """

    __tablename__ = "daily_snapshots"
    __table_args__ = (
        CheckConstraint("holdings_value >= 0", name="holdings_value"),
        CheckConstraint("carried_holdings >= 0 AND unpriced_holdings >= 0", name="holdings"),
        CheckConstraint("paid_out >= 0 AND net_flow + paid_out >= 0", name="flows"),
        CheckConstraint("last_sequence > 0", name="last_sequence"),
        MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"), primary_key=True)
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


DAILY_SNAPSHOTS = table_of(DailySnapshot)
