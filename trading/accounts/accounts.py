"""Use cases of accounts: register, sign in and out, refresh, change password and profile.

Only registration reveals whether an email address has an account. Signing in with an unknown
address computes one password hash too, so the response time does not reveal it either.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from trading.accounts.errors import EmailTaken, UserNotFound
from trading.accounts.passwords import normalized
from trading.accounts.records import Role, UserRecord
from trading.accounts.tables import (
    ACCOUNT_AUDITS,
    REFRESH_TOKENS,
    SIGN_IN_SESSIONS,
    USERS,
)
from trading.config.settings import Settings
from trading.db.ids import new_id
from trading.db.statements import execute_rowcount
from trading.errors import Unauthorized
from trading.ledger.cash import open_balance
from trading.ledger.model import LedgerEntry, TransactionType
from trading.orders.close import cancel_orders_of_closed_account
from trading.unit_of_work import UnitOfWork
from trading.watchlists.directories import delete_watchlist, lock_watchlist

# A refresh token may be exchanged again for so long: two tabs may use it at once, and the answer to
# its first use may be lost.
REUSE_WITHIN = timedelta(seconds=10)
# Below one thousand values, from which MariaDB before 10.5 makes a subquery.
_PURGE_BATCH = 500
# The parameters of `_record`, in their order.
_RECORD_COLUMNS = (USERS.c.id, USERS.c.email, USERS.c.name, USERS.c.role, USERS.c.created_at)


class Passwords:
    """Argon2id hashes with the parameters of the settings, over passwords in NFKC.

    Hashes with other parameters, or of a password before normalization, still verify and are
    renewed at sign-in.
    """

    def __init__(self, settings: Settings) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_time_cost,
            memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_parallelism,
        )

    def hash(self, password: str) -> str:
        return self._hasher.hash(normalized(password))

    def matches(self, password: str, hashed: str | None) -> bool:
        """Return True if the password matches the hash; False, after the same work, if `hashed` is
        None.
        """
        return self._verifies(normalized(password), hashed) or (
            normalized(password) != password and self._verifies(password, hashed)
        )

    def outdated(self, hashed: str, password: str) -> bool:
        """Return True if the hash that `password` matched should be renewed."""
        return self._hasher.check_needs_rehash(hashed) or (
            normalized(password) != password and not self._verifies(normalized(password), hashed)
        )

    def _verifies(self, text: str, hashed: str | None) -> bool:
        try:
            return self._hasher.verify(hashed or self._nobody, text) and hashed is not None
        except (VerifyMismatchError, InvalidHashError):
            return False

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash(new_id().hex)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A sign-in session and the id of a new refresh token of it."""

    session_id: UUID
    refresh_token_id: UUID
    user: UserRecord


def normalized_email(email: str) -> str:
    """Return the address as it is stored and compared: stripped and in lower case."""
    return email.strip().lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterUser:
    """Command to create a user."""

    user_id: UUID
    email: str
    password_hash: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacePassword:
    """Command to replace the password whose hash is `verified_hash`, in session `session_id`."""

    user_id: UUID
    session_id: UUID
    verified_hash: str
    new_hash: str


def register(uow: UnitOfWork, command: RegisterUser) -> UserRecord:
    """Create a user, a balance with the starting cash as first DEPOSIT, and a default watchlist.

    Raises EmailTaken.
    """
    session, now, settings = uow.session, uow.now, uow.settings
    user_id, email = command.user_id, normalized_email(command.email)
    try:
        session.execute(
            insert(USERS).values(
                id=user_id,
                email=email,
                name=command.name,
                password_hash=command.password_hash,
                role=Role.USER,
                created_at=now,
                deleted_at=None,
            )
        )
    except IntegrityError as conflict:
        if "email" in str(conflict.orig):
            raise EmailTaken from None
        raise
    opening = LedgerEntry(
        kind=TransactionType.DEPOSIT,
        amount=settings.starting_cash,
        at=now,
        description="시작 자금",
    )
    open_balance(uow, user_id, opening)
    lock_watchlist(session, user_id, now=now)
    session.execute(
        insert(ACCOUNT_AUDITS).values(user_id=user_id, event_id=0, begun_at=now, audited_at=now)
    )
    return UserRecord(id=user_id, email=email, name=command.name, role=Role.USER, created_at=now)


def sign_in(
    uow: UnitOfWork, *, user_id: UUID, verified_hash: str, passwords: Passwords, password: str
) -> SignIn:
    """Begin a session for a user whose password has just matched `verified_hash`.

    Raises Unauthorized if the account or the password has changed since.
    """
    session, now, settings = uow.session, uow.now, uow.settings
    row = session.execute(
        select(USERS.c.password_hash, *_RECORD_COLUMNS)
        .where(USERS.c.id == user_id, USERS.c.deleted_at.is_(None))
        .with_for_update()
    ).one_or_none()
    if row is None or row.password_hash != verified_hash:
        raise Unauthorized
    if passwords.outdated(verified_hash, password):
        session.execute(
            update(USERS)
            .where(USERS.c.id == user_id)
            .values(password_hash=passwords.hash(password))
        )
    opened = SignIn(session_id=new_id(), refresh_token_id=new_id(), user=_record(*row[1:]))
    session.execute(
        insert(SIGN_IN_SESSIONS).values(
            id=opened.session_id,
            user_id=user_id,
            created_at=now,
            expires_at=now + timedelta(days=settings.refresh_token_days),
            revoked_at=None,
            revoked_reason=None,
        )
    )
    _add_refresh_token(uow, opened)
    return opened


def refresh(
    uow: UnitOfWork, *, session_id: UUID, refresh_token_id: UUID, renewed_token_id: UUID
) -> SignIn | None:
    """Exchange a refresh token for a new one; return None if it is not valid.

    Each use within REUSE_WITHIN of the first one returns another token of the session. A later
    reuse means that two parties have the token, one of them unauthorized: the session ends with all
    its tokens. That must be committed, so the refusal is a return value and not an exception. The
    caller creates `renewed_token_id` before the transaction, so that a rerun after a COMMIT of
    unknown outcome recognizes its own exchange.
    """
    session, now, settings = uow.session, uow.now, uow.settings
    row = session.execute(
        select(SIGN_IN_SESSIONS, USERS.c.deleted_at)
        .join(USERS, USERS.c.id == SIGN_IN_SESSIONS.c.user_id)
        .where(SIGN_IN_SESSIONS.c.id == session_id)
        # Only the session: closing an account locks the user first.
        .with_for_update(of=SIGN_IN_SESSIONS)
    ).one_or_none()
    if (
        row is None
        or row.revoked_at is not None
        or row.deleted_at is not None
        or row.expires_at <= now
    ):
        return None
    renewed = SignIn(
        session_id=session_id, refresh_token_id=renewed_token_id, user=user_of(session, row.user_id)
    )
    own = REFRESH_TOKENS.c.session_id == session_id
    tokens = {token.id: token for token in session.execute(select(REFRESH_TOKENS).where(own)).all()}
    if renewed_token_id in tokens:
        return renewed
    used = tokens.get(refresh_token_id)
    if used is not None and used.expires_at <= now:
        return None
    if used is None or (used.used_at is not None and used.used_at < now - REUSE_WITHIN):
        _revoke(
            session, SIGN_IN_SESSIONS.c.id == session_id, reason="refresh-token-reused", now=now
        )
        return None
    if used.used_at is None:
        session.execute(
            update(REFRESH_TOKENS).where(REFRESH_TOKENS.c.id == used.id).values(used_at=now)
        )
    old = [
        token.id
        for token in tokens.values()
        if token.expires_at <= now
        or (token.used_at is not None and token.used_at < now - REUSE_WITHIN)
    ]
    if old:
        session.execute(delete(REFRESH_TOKENS).where(REFRESH_TOKENS.c.id.in_(old)))
    session.execute(
        update(SIGN_IN_SESSIONS)
        .where(SIGN_IN_SESSIONS.c.id == session_id)
        .values(expires_at=now + timedelta(days=settings.refresh_token_days))
    )
    _add_refresh_token(uow, renewed)
    return renewed


def _add_refresh_token(uow: UnitOfWork, signed_in: SignIn) -> None:
    lifetime = timedelta(days=uow.settings.refresh_token_days)
    uow.session.execute(
        insert(REFRESH_TOKENS).values(
            id=signed_in.refresh_token_id,
            session_id=signed_in.session_id,
            expires_at=uow.now + lifetime,
            used_at=None,
        )
    )


def sign_out(uow: UnitOfWork, *, session_id: UUID) -> None:
    """End one session: its access and refresh tokens become invalid."""
    session, now = uow.session, uow.now
    _revoke(session, SIGN_IN_SESSIONS.c.id == session_id, reason="signed-out", now=now)


def change_password(uow: UnitOfWork, command: ReplacePassword) -> None:
    """Replace the password and end all other sessions. Raises Unauthorized if the password has
    changed.
    """
    session, now, user_id = uow.session, uow.now, command.user_id
    met = execute_rowcount(
        session,
        update(USERS)
        .where(
            USERS.c.id == user_id,
            USERS.c.password_hash == command.verified_hash,
            USERS.c.deleted_at.is_(None),
        )
        .values(password_hash=command.new_hash),
    )
    if met != 1:
        raise Unauthorized
    others = (SIGN_IN_SESSIONS.c.user_id == user_id) & (SIGN_IN_SESSIONS.c.id != command.session_id)
    _revoke(session, others, reason="password-changed", now=now)


def rename(uow: UnitOfWork, *, user_id: UUID, name: str) -> UserRecord:
    session = uow.session
    session.execute(update(USERS).where(USERS.c.id == user_id).values(name=name))
    return user_of(session, user_id)


def close_account(uow: UnitOfWork, *, user_id: UUID) -> None:
    """Close an account: cancel its open orders, delete name, address and watchlist, end all
    sessions, keep the ledger.
    """
    session, now = uow.session, uow.now
    session.execute(
        update(USERS)
        .where(USERS.c.id == user_id, USERS.c.deleted_at.is_(None))
        .values(
            email=f"{user_id}@closed.invalid", name="탈퇴한 회원", password_hash="", deleted_at=now
        )
    )
    cancel_orders_of_closed_account(uow, user_id=user_id)
    delete_watchlist(session, user_id, now=now)
    _revoke(session, SIGN_IN_SESSIONS.c.user_id == user_id, reason="account-closed", now=now)


def promote(uow: UnitOfWork, *, email: str) -> UserRecord:
    """Give an account the ADMIN role. Raises UserNotFound."""
    session = uow.session
    return _set_role(session, email, Role.ADMIN)


def demote(uow: UnitOfWork, *, email: str) -> UserRecord:
    """Remove the ADMIN role, effective with the account's next request. Raises UserNotFound."""
    session = uow.session
    return _set_role(session, email, Role.USER)


def _set_role(session: Session, email: str, role: Role) -> UserRecord:
    row = session.execute(
        select(USERS.c.id).where(
            USERS.c.email == normalized_email(email), USERS.c.deleted_at.is_(None)
        )
    ).one_or_none()
    if row is None:
        raise UserNotFound
    session.execute(update(USERS).where(USERS.c.id == row.id).values(role=role))
    return user_of(session, row.id)


def purge_sessions(uow: UnitOfWork, *, keep_days: int) -> int:
    """Delete one batch of sessions whose refresh token expired `keep_days` days ago; return their
    number.

    Sessions that were ended earlier wait for the same day. None is usable any more: an access token
    lasts at most a day.
    """
    session, now = uow.session, uow.now
    old = (
        select(SIGN_IN_SESSIONS.c.id)
        .where(SIGN_IN_SESSIONS.c.expires_at <= now - timedelta(days=keep_days))
        .order_by(SIGN_IN_SESSIONS.c.expires_at)
        .limit(_PURGE_BATCH)
    )
    # By primary key, so that no other row is locked.
    ids = sorted(session.scalars(old))
    if not ids:
        return 0
    session.execute(delete(REFRESH_TOKENS).where(REFRESH_TOKENS.c.session_id.in_(ids)))
    return execute_rowcount(session, delete(SIGN_IN_SESSIONS).where(SIGN_IN_SESSIONS.c.id.in_(ids)))


def user_of(session: Session, user_id: UUID) -> UserRecord:
    """Return the user's own record. Raises UserNotFound."""
    row = session.execute(
        select(*_RECORD_COLUMNS).where(USERS.c.id == user_id, USERS.c.deleted_at.is_(None))
    ).one_or_none()
    if row is None:
        raise UserNotFound
    return _record(*row)


def _record(user_id: UUID, email: str, name: str, role: str, created_at: datetime) -> UserRecord:
    return UserRecord(id=user_id, email=email, name=name, role=Role(role), created_at=created_at)


def _revoke(session: Session, which: ColumnElement[bool], *, reason: str, now: datetime) -> None:
    session.execute(
        update(SIGN_IN_SESSIONS)
        .where(which, SIGN_IN_SESSIONS.c.revoked_at.is_(None))
        .values(revoked_at=now, revoked_reason=reason)
    )
