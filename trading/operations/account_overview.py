"""Accounts for operators: who they are, their state and their figures."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from trading.accounts.errors import UserNotFound
from trading.accounts.records import Role
from trading.accounts.tables import SIGN_IN_SESSIONS, USERS
from trading.halts.queries import ACCOUNT_IS_HALTED
from trading.halts.tables import ACCOUNT_HALTS
from trading.ledger.tables import PORTFOLIOS, VIRTUAL_BALANCES
from trading.orders.model import OPEN_STATUSES
from trading.orders.tables import ORDERS

IDS_PER_STATEMENT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSummary:
    """An account with its halt, if it is halted. The address of a closed account is erased."""

    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime
    closed_at: datetime | None
    halted_at: datetime | None
    halt_cause: str | None
    halt_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOverview:
    """An account with its cash, reservation and debt (won), its holdings and open orders.

    ``last_sign_in_at`` is the start of the newest session, None without a session.
    """

    account: AccountSummary
    cash: int
    reserved_cash: int
    debt: int
    holdings: int
    open_orders: int
    last_sign_in_at: datetime | None


_SUMMARY = select(
    USERS.c.id,
    USERS.c.email,
    USERS.c.name,
    USERS.c.role,
    USERS.c.created_at,
    USERS.c.deleted_at.label("closed_at"),
    ACCOUNT_HALTS.c.halted_at,
    ACCOUNT_HALTS.c.cause.label("halt_cause"),
    ACCOUNT_HALTS.c.reason.label("halt_reason"),
).outerjoin(ACCOUNT_HALTS, and_(ACCOUNT_HALTS.c.user_id == USERS.c.id, ACCOUNT_IS_HALTED))


def list_accounts(
    session: Session,
    *,
    limit: int,
    search: str | None = None,
    role: Role | None = None,
    halted: bool = False,
    closed: bool = False,
    before: UUID | None = None,
) -> tuple[AccountSummary, ...]:
    """Return at most ``limit`` accounts, newest first.

    ``search`` is a part of the address or name. ``halted`` leaves only halted accounts, ``closed``
    only closed instead of open ones. ``before`` continues a list after this id.
    """
    statement = _SUMMARY.where(
        USERS.c.deleted_at.is_not(None) if closed else USERS.c.deleted_at.is_(None)
    )
    if search is not None:
        statement = statement.where(
            or_(
                func.lower(USERS.c.email).contains(search.lower(), autoescape=True),
                func.lower(USERS.c.name).contains(search.lower(), autoescape=True),
            )
        )
    if role is not None:
        statement = statement.where(USERS.c.role == role)
    if halted:
        statement = statement.where(ACCOUNT_HALTS.c.id.is_not(None))
    if before is not None:
        statement = statement.where(USERS.c.id < before)
    rows = session.execute(statement.order_by(USERS.c.id.desc()).limit(limit)).mappings()
    return tuple(AccountSummary(**row) for row in rows)


def account_overview(session: Session, user_id: UUID) -> AccountOverview:
    """Return one account, also a closed one. Raise UserNotFound."""
    row = session.execute(_SUMMARY.where(USERS.c.id == user_id)).mappings().one_or_none()
    if row is None:
        raise UserNotFound
    balance = session.execute(
        select(VIRTUAL_BALANCES).where(VIRTUAL_BALANCES.c.user_id == user_id)
    ).one_or_none()
    holdings = select(func.count()).where(
        PORTFOLIOS.c.user_id == user_id, PORTFOLIOS.c.quantity > 0
    )
    open_orders = select(func.count()).where(
        ORDERS.c.user_id == user_id, ORDERS.c.status.in_(OPEN_STATUSES)
    )
    last_sign_in = select(func.max(SIGN_IN_SESSIONS.c.created_at)).where(
        SIGN_IN_SESSIONS.c.user_id == user_id
    )
    return AccountOverview(
        account=AccountSummary(**row),
        cash=balance.cash_balance if balance else 0,
        reserved_cash=balance.reserved_cash if balance else 0,
        debt=balance.debt if balance else 0,
        holdings=session.scalar(holdings) or 0,
        open_orders=session.scalar(open_orders) or 0,
        last_sign_in_at=session.scalar(last_sign_in),
    )


def emails_of(session: Session, user_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the addresses of open accounts by id."""
    return dict(_emails(session, sorted(set(user_ids))))


def _emails(session: Session, ids: list[UUID]) -> Iterator[tuple[UUID, str]]:
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        rows = session.execute(
            select(USERS.c.id, USERS.c.email).where(
                USERS.c.id.in_(ids[start : start + IDS_PER_STATEMENT]),
                USERS.c.deleted_at.is_(None),
            )
        )
        yield from ((row.id, row.email) for row in rows)
