"""Tables of halts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, WORD, Base, one_of, table_of
from trading.db.types import Id
from trading.halts.model import HaltCause


class AccountHaltRow(Base):
    """A halt of an account. `running` is 1 until it ends, so that an account has one running halt.

    `halted_by` is NULL if the audit found a breach, `resumed_by` if an operator resumed the account
    by the command line.
    """

    __tablename__ = "account_halts"
    __table_args__ = (
        UniqueConstraint("user_id", "running"),
        Index("ix_account_halts_running", "running", "halted_at"),
        CheckConstraint("running IS NULL OR running = 1", name="running"),
        CheckConstraint(one_of("cause", HaltCause), name="cause"),
        CheckConstraint("(running IS NULL) = (resumed_at IS NOT NULL)", name="resumed_at"),
        CheckConstraint("(resumed_at IS NULL) = (note IS NULL)", name="note"),
        CheckConstraint("resumed_by IS NULL OR resumed_at IS NOT NULL", name="resumed_by"),
        MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"))
    running: Mapped[int | None]
    cause: Mapped[str] = mapped_column(WORD)
    reason: Mapped[str | None] = mapped_column(String(200))
    halted_at: Mapped[datetime]
    halted_by: Mapped[UUID | None] = mapped_column(Id, ForeignKey("users.id"))
    resumed_at: Mapped[datetime | None]
    resumed_by: Mapped[UUID | None] = mapped_column(Id, ForeignKey("users.id"))
    note: Mapped[str | None] = mapped_column(String(500))


ACCOUNT_HALTS = table_of(AccountHaltRow)


class TradingHaltRow(Base):
    """A trading halt. `running` is 1 until it ends, so that there is one running halt."""

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
    halted_by: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"))
    resumed_at: Mapped[datetime | None]
    resumed_by: Mapped[UUID | None] = mapped_column(Id, ForeignKey("users.id"))


TRADING_HALTS = table_of(TradingHaltRow)
