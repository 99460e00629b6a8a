"""Queries of trading halts and account halts."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, select
from sqlalchemy.orm import Session

from trading.halts.records import AccountHaltRecord, HaltRecord
from trading.halts.tables import ACCOUNT_HALTS, TRADING_HALTS

IS_RUNNING = TRADING_HALTS.c.running == 1

# Start of the running trading halt as a subquery for other statements; NULL without one.
HALTED_SINCE = select(TRADING_HALTS.c.halted_at).where(IS_RUNNING).scalar_subquery()

# The same for the account bound as `owner`.
ACCOUNT_IS_HALTED = ACCOUNT_HALTS.c.running == 1
ACCOUNT_HALTED_SINCE = (
    select(ACCOUNT_HALTS.c.halted_at)
    .where(ACCOUNT_HALTS.c.user_id == bindparam("owner"), ACCOUNT_IS_HALTED)
    .scalar_subquery()
)

_ACCOUNT_HALT = select(
    ACCOUNT_HALTS.c.id,
    ACCOUNT_HALTS.c.user_id,
    ACCOUNT_HALTS.c.cause,
    ACCOUNT_HALTS.c.reason,
    ACCOUNT_HALTS.c.halted_at,
    ACCOUNT_HALTS.c.resumed_at,
)

_HALT = select(
    TRADING_HALTS.c.id,
    TRADING_HALTS.c.reason,
    TRADING_HALTS.c.halted_at,
    TRADING_HALTS.c.resumed_at,
).order_by(TRADING_HALTS.c.halted_at)


def halts_where(session: Session, *conditions: ColumnElement[bool]) -> tuple[HaltRecord, ...]:
    """Return the trading halts that meet these conditions, earliest first."""
    return tuple(HaltRecord(**row) for row in session.execute(_HALT.where(*conditions)).mappings())


def halts_since(session: Session, at: datetime) -> tuple[HaltRecord, ...]:
    """Return the halts that were in force at or after a time, earliest first; a running one is
    last.
    """
    return halts_where(session, IS_RUNNING | (TRADING_HALTS.c.resumed_at > at))


def account_halted_since(session: Session, user_id: UUID) -> datetime | None:
    """Return since when an account is halted; None if it may trade."""
    at: datetime | None = session.scalar(select(ACCOUNT_HALTED_SINCE), {"owner": user_id})
    return at


def running_account_halt(session: Session, user_id: UUID) -> AccountHaltRecord | None:
    """Return the account's running halt; None if it may trade."""
    return next(
        iter(account_halts_where(session, ACCOUNT_HALTS.c.user_id == user_id, ACCOUNT_IS_HALTED)),
        None,
    )


def account_halts_where(
    session: Session, *conditions: ColumnElement[bool], limit: int = 1
) -> tuple[AccountHaltRecord, ...]:
    """Return at most `limit` account halts that meet these conditions, newest first."""
    newest = (
        _ACCOUNT_HALT.where(*conditions).order_by(ACCOUNT_HALTS.c.halted_at.desc()).limit(limit)
    )
    return tuple(AccountHaltRecord(**row) for row in session.execute(newest).mappings())


def halted_accounts(session: Session, user_ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of the accounts that are halted."""
    mine = ACCOUNT_HALTS.c.user_id.in_(sorted(user_ids))
    return frozenset(
        session.scalars(select(ACCOUNT_HALTS.c.user_id).where(ACCOUNT_IS_HALTED, mine))
    )


def halted_since(session: Session) -> datetime | None:
    """Return since when trading is halted; None if it is not."""
    return session.scalar(select(HALTED_SINCE))
