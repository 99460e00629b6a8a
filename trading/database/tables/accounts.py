"""Who has an account: users, their sign-ins, what happened to them, and the keys that they gave their requests."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from trading.database.tables.mapping import APPEND_ONLY, MYSQL, WORD, Base, one_of
from trading.database.types import ascii_text, fixed_bytes
from trading.market.account_events import EventKind


class User(Base):
    """A person's account. It is closed at ``deleted_at``, and its books stay."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint(one_of("role", ("USER", "ADMIN")), name="role"), MYSQL)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(50))
    password_hash: Mapped[str] = mapped_column(ascii_text(255))
    role: Mapped[str] = mapped_column(WORD)
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class SignInSession(Base):
    """One sign-in. Its refresh token is used once and replaced; ``refresh_token_id`` names the only one that is still good."""

    __tablename__ = "sign_in_sessions"
    __table_args__ = (MYSQL,)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    refresh_token_id: Mapped[UUID]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None] = mapped_column(WORD)


class AccountEventHead(Base):
    """How many events a user has had. Whoever adds some locks it until his COMMIT, so the ids follow the order of the commits."""

    __tablename__ = "account_event_heads"
    __table_args__ = (CheckConstraint("last_id > 0", name="last_id"), MYSQL)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    last_id: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(index=True)


class AccountEventRow(Base):
    """What happened to an account, never changed afterwards. ``id`` counts the user's events from 1 without a gap; ``data`` is a JSON object."""

    __tablename__ = "account_events"
    __table_args__ = (
        CheckConstraint("id > 0", name="id"),
        CheckConstraint(one_of("kind", EventKind), name="kind"),
        {**MYSQL, "info": APPEND_ONLY},
    )

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("account_event_heads.user_id"), primary_key=True
    )
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(WORD)
    occurred_at: Mapped[datetime]
    data: Mapped[str] = mapped_column(Text)


class IdempotencyReceipt(Base):
    """A key that a client gave a request, and the first answer to it once there is one (``status`` is not NULL)."""

    __tablename__ = "idempotency_receipts"
    __table_args__ = (
        Index("ix_idempotency_receipts_created_at", "created_at"),
        CheckConstraint("(status IS NULL) = (body IS NULL)", name="answer"),
        MYSQL,
    )

    scope: Mapped[str] = mapped_column(ascii_text(40), primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(ascii_text(64), primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(fixed_bytes(32))
    claim_id: Mapped[UUID]
    claimed_until: Mapped[datetime]
    status: Mapped[int | None]
    body: Mapped[str | None] = mapped_column(
        Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
    )
    location: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime]
