"""What the audit looked at, what it found, and the accounts whose trading is halted for it or by an administrator."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trading.database.tables.mapping import MYSQL, WORD, Base, one_of
from trading.rules.audits import HaltCause


class AccountAudit(Base):
    """How an account stands with the audit: ``event_id`` is the newest account event that it had when it was last audited, ``begun_at`` when that
    was last begun, and ``audited_at`` the beginning of the last one that came to its end."""

    __tablename__ = "account_audits"
    __table_args__ = (
        CheckConstraint("event_id >= 0", name="event_id"),
        MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    event_id: Mapped[int]
    begun_at: Mapped[datetime]
    audited_at: Mapped[datetime] = mapped_column(index=True)


class AuditBreach(Base):
    """An invariant that does not hold for an account, by the number of its check, with some of the rows at fault. It is found again and counted until a
    person has resolved it with a note, and open again when it is found once more."""

    __tablename__ = "audit_breaches"
    __table_args__ = (
        Index("ix_audit_breaches_open", "resolved_at", "found_at"),
        CheckConstraint("times > 0", name="times"),
        CheckConstraint("(resolved_at IS NULL) = (note IS NULL)", name="note"),
        MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    check_number: Mapped[str] = mapped_column(WORD, primary_key=True)
    sample: Mapped[str] = mapped_column(Text)
    times: Mapped[int]
    found_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    note: Mapped[str | None] = mapped_column(String(500))


class AuditLook(Base):
    """The audit's last look: when it ended, how long it took (ms), and how many accounts it audited. There is one."""

    __tablename__ = "audit_looks"
    __table_args__ = (
        CheckConstraint("id = 1", name="id"),
        CheckConstraint("accounts >= 0 AND duration_ms >= 0", name="figures"),
        MYSQL,
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    looked_at: Mapped[datetime]
    accounts: Mapped[int]
    duration_ms: Mapped[int]


class AccountHalt(Base):
    """A time during which an account may not trade. ``running`` is 1 until it is lifted, so that an account has one at a time; ``halted_by`` is NULL
    where the audit found a breach, ``resumed_by`` where an operator lifted it by the command line."""

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
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    running: Mapped[int | None]
    cause: Mapped[str] = mapped_column(WORD)
    reason: Mapped[str | None] = mapped_column(String(200))
    halted_at: Mapped[datetime]
    halted_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    resumed_at: Mapped[datetime | None]
    resumed_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    note: Mapped[str | None] = mapped_column(String(500))
