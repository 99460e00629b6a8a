"""Queries of credentials and sessions."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from trading.accounts.records import Role
from trading.accounts.tables import SIGN_IN_SESSIONS, USERS

# Prepared once: every request runs it, and building the statement takes longer than running it.
_IDENTITY = (
    select(USERS.c.id, USERS.c.role)
    .join(SIGN_IN_SESSIONS, SIGN_IN_SESSIONS.c.user_id == USERS.c.id)
    .where(
        SIGN_IN_SESSIONS.c.id == bindparam("session_id"),
        SIGN_IN_SESSIONS.c.revoked_at.is_(None),
        USERS.c.deleted_at.is_(None),
    )
)


@dataclass(frozen=True, slots=True)
class Credentials:
    user_id: UUID
    password_hash: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The signed-in user of a request."""

    user_id: UUID
    session_id: UUID
    role: Role


def credentials_by_email(session: Session, email: str) -> Credentials | None:
    """Return the credentials of a normalized address; None if no open account has it."""
    row = session.execute(
        select(USERS.c.id, USERS.c.password_hash).where(
            USERS.c.email == email, USERS.c.deleted_at.is_(None)
        )
    ).one_or_none()
    return None if row is None else Credentials(row.id, row.password_hash)


def credentials_of(session: Session, user_id: UUID) -> Credentials | None:
    row = session.execute(
        select(USERS.c.id, USERS.c.password_hash).where(
            USERS.c.id == user_id, USERS.c.deleted_at.is_(None)
        )
    ).one_or_none()
    return None if row is None else Credentials(row.id, row.password_hash)


def identity_of(session: Session, session_id: UUID) -> Identity | None:
    """Return the user of a session; None if it has ended or the account is closed."""
    row = session.execute(_IDENTITY, {"session_id": session_id}).one_or_none()
    return None if row is None else Identity(row.id, session_id, Role(row.role))


def sessions_ended_since(session: Session, user_id: UUID, since: datetime) -> list[UUID]:
    """Return the user's sessions that ended at `since` or later."""
    return list(
        session.scalars(
            select(SIGN_IN_SESSIONS.c.id).where(
                SIGN_IN_SESSIONS.c.user_id == user_id, SIGN_IN_SESSIONS.c.revoked_at >= since
            )
        )
    )
