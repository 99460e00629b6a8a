"""Who is who: credentials for signing in, and whether a session still stands."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from trading.accounts.tables import SIGN_IN_SESSIONS, USERS

# Every request asks this, and putting a statement together takes longer than the server takes to answer it.
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
    """A signed-in user as every request sees him."""

    user_id: UUID
    session_id: UUID
    role: str


def credentials_by_email(session: Session, email: str) -> Credentials | None:
    """The credentials behind a normalised address; None when no open account has it."""
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
    """Whose session this is; None once it is revoked or its account closed. One read by primary keys, as every request does it."""
    row = session.execute(_IDENTITY, {"session_id": session_id}).one_or_none()
    return None if row is None else Identity(row.id, session_id, row.role)


def sessions_ended_since(session: Session, user_id: UUID, since: datetime) -> list[UUID]:
    """The user's sessions that were ended at ``since`` or later."""
    return list(
        session.scalars(
            select(SIGN_IN_SESSIONS.c.id).where(
                SIGN_IN_SESSIONS.c.user_id == user_id, SIGN_IN_SESSIONS.c.revoked_at >= since
            )
        )
    )
