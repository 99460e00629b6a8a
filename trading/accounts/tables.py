"""Tables of accounts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from trading.accounts.records import Role
from trading.db.declarative import MYSQL, WORD, Base, one_of, table_of
from trading.db.types import Id, ascii_text


class UserRow(Base):
    """A user's account. It is closed at `deleted_at`; its ledger stays."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint(one_of("role", Role), name="role"), MYSQL)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(50))
    password_hash: Mapped[str] = mapped_column(ascii_text(255))
    role: Mapped[str] = mapped_column(WORD)
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


USERS = table_of(UserRow)


class SignInSessionRow(Base):
    """A sign-in session. It ends at `revoked_at`, or at `expires_at` unless it is refreshed."""

    __tablename__ = "sign_in_sessions"
    __table_args__ = (MYSQL,)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None] = mapped_column(WORD)


SIGN_IN_SESSIONS = table_of(SignInSessionRow)


class RefreshTokenRow(Base):
    """A refresh token of a session. It is exchanged for another one at `used_at`.

    A used token is deleted soon after; a token without a row counts as reused.
    """

    __tablename__ = "refresh_tokens"
    __table_args__ = (MYSQL,)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(Id, ForeignKey("sign_in_sessions.id"), index=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


REFRESH_TOKENS = table_of(RefreshTokenRow)


class AccountAuditRow(Base):
    """Audit state of an account.

    `event_id` is the newest account event at the last audit, `begun_at` the start of the last
    audit, and `audited_at` the start of the last completed one.
    """

    __tablename__ = "account_audits"
    __table_args__ = (
        CheckConstraint("event_id >= 0", name="event_id"),
        MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"), primary_key=True)
    event_id: Mapped[int]
    begun_at: Mapped[datetime]
    audited_at: Mapped[datetime] = mapped_column(index=True)


ACCOUNT_AUDITS = table_of(AccountAuditRow)
