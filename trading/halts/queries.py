"""Halts of all trading and of single accounts, as the database keeps them: the statements of everybody who asks for some."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, select
from sqlalchemy.orm import Session

from trading.halts.records import AccountHaltRecord, HaltRecord
from trading.halts.tables import ACCOUNT_HALTS, TRADING_HALTS

IS_RUNNING = TRADING_HALTS.c.running == 1

# Since when trading is halted, for a statement that asks for something else anyway; NULL when it is not.
HALTED_SINCE = select(TRADING_HALTS.c.halted_at).where(IS_RUNNING).scalar_subquery()

# Since when the account ``owner`` is halted, in the same way.
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
    """The halts that meet these conditions, earliest first."""
    return tuple(HaltRecord(**row) for row in session.execute(_HALT.where(*conditions)).mappings())


def halts_since(session: Session, at: datetime) -> tuple[HaltRecord, ...]:
    """The halts that had not been lifted by an instant, earliest first; the running one is the last."""
    return halts_where(session, IS_RUNNING | (TRADING_HALTS.c.resumed_at > at))


def account_halted_since(session: Session, user_id: UUID) -> datetime | None:
    """Since when an account is halted; None while it may trade."""
    at: datetime | None = session.scalar(select(ACCOUNT_HALTED_SINCE), {"owner": user_id})
    return at


def running_account_halt(session: Session, user_id: UUID) -> AccountHaltRecord | None:
    """The account's halt that has not been lifted yet; None while it may trade."""
    return next(
        iter(account_halts_where(session, ACCOUNT_HALTS.c.user_id == user_id, ACCOUNT_IS_HALTED)),
        None,
    )


def account_halts_where(
    session: Session, *conditions: ColumnElement[bool], limit: int = 1
) -> tuple[AccountHaltRecord, ...]:
    """At most ``limit`` halts of accounts that meet these conditions, the newest first."""
    newest = (
        _ACCOUNT_HALT.where(*conditions).order_by(ACCOUNT_HALTS.c.halted_at.desc()).limit(limit)
    )
    return tuple(AccountHaltRecord(**row) for row in session.execute(newest).mappings())


def halted_accounts(session: Session, user_ids: Collection[UUID]) -> frozenset[UUID]:
    """Which of these accounts are halted."""
    mine = ACCOUNT_HALTS.c.user_id.in_(sorted(user_ids))
    return frozenset(
        session.scalars(select(ACCOUNT_HALTS.c.user_id).where(ACCOUNT_IS_HALTED, mine))
    )


def halted_since(session: Session) -> datetime | None:
    """Since when an administrator has trading stopped; None while it goes on."""
    return session.scalar(select(HALTED_SINCE))
