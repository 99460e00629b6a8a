"""Table of the daily snapshots."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Date, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, Base, table_of
from trading.db.types import Id, Won


class DailySnapshotRow(Base):
    """An account at the end of a trading day (KST), never changed afterwards. Amounts are won.

    It covers the ledger up to and including the transaction ``last_sequence``, the last one before
    ``ended_at``. ``net_flow`` is deposits less withdrawals since the previous day, ``paid_out`` the
    withdrawals alone. ``holdings_value`` is at the closes of that day. ``carried_holdings`` counts
    holdings valued at an earlier close, or at the account's last fill, because none is of that day;
    ``unpriced_holdings`` counts those of older rows that are not in ``holdings_value``.
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


DAILY_SNAPSHOTS = table_of(DailySnapshotRow)
