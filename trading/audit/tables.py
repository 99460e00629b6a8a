"""Tables of the audit."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, WORD, Base, table_of
from trading.db.types import Id


class AuditBreachRow(Base):
    """An invariant violated by an account, by check number, with a sample of the faulty rows.

    Each further finding is counted until a person resolves the breach with a note. A later finding
    opens it again.
    """

    __tablename__ = "audit_breaches"
    __table_args__ = (
        Index("ix_audit_breaches_open", "resolved_at", "found_at"),
        CheckConstraint("times > 0", name="times"),
        CheckConstraint("(resolved_at IS NULL) = (note IS NULL)", name="note"),
        MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"), primary_key=True)
    check_number: Mapped[str] = mapped_column(WORD, primary_key=True)
    sample: Mapped[str] = mapped_column(Text)
    times: Mapped[int]
    found_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    note: Mapped[str | None] = mapped_column(String(500))


AUDIT_BREACHES = table_of(AuditBreachRow)


class AuditRunRow(Base):
    """The last audit run: when it ended, its duration (ms) and how many accounts it audited. One
    row.
    """

    __tablename__ = "audit_runs"
    __table_args__ = (
        CheckConstraint("id = 1", name="id"),
        CheckConstraint("accounts >= 0 AND duration_ms >= 0", name="figures"),
        MYSQL,
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_at: Mapped[datetime]
    accounts: Mapped[int]
    duration_ms: Mapped[int]


AUDIT_RUNS = table_of(AuditRunRow)
