"""Halts of all trading and of single accounts, as the database keeps them: the statements of everybody who asks for some."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, select
from sqlalchemy.orm import Session

from trading.database.tables import AccountHalt, TradingHalt, table_of
from trading.rules.records import AccountHaltRecord, HaltRecord

_HALTS = table_of(TradingHalt)
_ACCOUNT_HALTS = table_of(AccountHalt)

IS_RUNNING = _HALTS.c.running == 1

# Since when trading is halted, for a statement that asks for something else anyway; NULL when it is not.
HALTED_SINCE = select(_HALTS.c.halted_at).where(IS_RUNNING).scalar_subquery()

# Since when the account ``owner`` is halted, in the same way.
ACCOUNT_IS_HALTED = _ACCOUNT_HALTS.c.running == 1
ACCOUNT_HALTED_SINCE = (
    select(_ACCOUNT_HALTS.c.halted_at)
    .where(_ACCOUNT_HALTS.c.user_id == bindparam("owner"), ACCOUNT_IS_HALTED)
    .scalar_subquery()
)

_ACCOUNT_HALT = select(
    _ACCOUNT_HALTS.c.id,
    _ACCOUNT_HALTS.c.user_id,
    _ACCOUNT_HALTS.c.cause,
    _ACCOUNT_HALTS.c.reason,
    _ACCOUNT_HALTS.c.halted_at,
    _ACCOUNT_HALTS.c.resumed_at,
)

_HALT = select(_HALTS.c.id, _HALTS.c.reason, _HALTS.c.halted_at, _HALTS.c.resumed_at).order_by(
    _HALTS.c.halted_at
)


def halts_where(session: Session, *conditions: ColumnElement[bool]) -> tuple[HaltRecord, ...]:
    """The halts that meet these conditions, earliest first."""
    return tuple(HaltRecord(**row) for row in session.execute(_HALT.where(*conditions)).mappings())


def halts_since(session: Session, at: datetime) -> tuple[HaltRecord, ...]:
    """The halts that had not been lifted by an instant, earliest first; the running one is the last."""
    return halts_where(session, IS_RUNNING | (_HALTS.c.resumed_at > at))


def account_halted_since(session: Session, user_id: UUID) -> datetime | None:
    """Since when an account is halted; None while it may trade."""
    at: datetime | None = session.scalar(select(ACCOUNT_HALTED_SINCE), {"owner": user_id})
    return at


def running_account_halt(session: Session, user_id: UUID) -> AccountHaltRecord | None:
    """The account's halt that has not been lifted yet; None while it may trade."""
    return next(
        iter(account_halts_where(session, _ACCOUNT_HALTS.c.user_id == user_id, ACCOUNT_IS_HALTED)),
        None,
    )


def account_halts_where(
    session: Session, *conditions: ColumnElement[bool], limit: int = 1
) -> tuple[AccountHaltRecord, ...]:
    """At most ``limit`` halts of accounts that meet these conditions, the newest first."""
    newest = (
        _ACCOUNT_HALT.where(*conditions).order_by(_ACCOUNT_HALTS.c.halted_at.desc()).limit(limit)
    )
    return tuple(AccountHaltRecord(**row) for row in session.execute(newest).mappings())


def halted_accounts(session: Session, user_ids: Collection[UUID]) -> frozenset[UUID]:
    """Which of these accounts are halted."""
    mine = _ACCOUNT_HALTS.c.user_id.in_(sorted(user_ids))
    return frozenset(
        session.scalars(select(_ACCOUNT_HALTS.c.user_id).where(ACCOUNT_IS_HALTED, mine))
    )
