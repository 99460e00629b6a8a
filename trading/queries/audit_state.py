"""How the audit stands: when it looked last, what it still has to look at, what it found, and whose trading is halted."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from trading.database.halts import ACCOUNT_IS_HALTED, account_halts_where
from trading.database.rows import AnyRow
from trading.database.tables import (
    AccountAudit,
    AccountEventHead,
    AccountHalt,
    AuditBreach,
    AuditLook,
    table_of,
)
from trading.queries.audit import CHECKS
from trading.rules.audits import last_night
from trading.rules.records import AccountHaltRecord

_AUDITS = table_of(AccountAudit)
_HEADS = table_of(AccountEventHead)
_BREACHES = table_of(AuditBreach)
_LOOKS = table_of(AuditLook)
_HALTS = table_of(AccountHalt)

_OPEN = _BREACHES.c.resolved_at.is_(None)

SHOWN_MAX = 100

_CHECK_NAMES = {check.number: check.name for check in CHECKS}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachRecord:
    """An invariant that did not hold for an account when the audit saw it last; ``sample`` shows rows at fault, a line each."""

    user_id: UUID
    check: str
    sample: tuple[str, ...]
    times: int
    found_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditState:
    """``looked_at`` is None before the first look; ``accounts`` and ``duration_ms`` are the last look's. ``changed`` counts the accounts that changed
    since they were audited, ``unaudited`` those that this night's audit, begun at ``night``, has not reached yet; ``oldest_audited_at`` is the
    account's that was audited longest ago. At most SHOWN_MAX breaches and halted accounts are shown, the newest first; the totals count all."""

    looked_at: datetime | None
    accounts: int
    duration_ms: int
    accounts_total: int
    changed: int
    night: datetime
    unaudited: int
    oldest_audited_at: datetime | None
    breaches: tuple[BreachRecord, ...]
    breaches_total: int
    halted: tuple[AccountHaltRecord, ...]
    halted_total: int


def audit_state(session: Session, *, now: datetime) -> AuditState:
    """How the audit stands."""
    look = session.execute(select(_LOOKS)).one_or_none()
    night = last_night(now)
    figures = session.execute(
        select(
            func.count().label("accounts"),
            func.coalesce(func.sum(_is(_HEADS.c.last_id != _AUDITS.c.event_id)), 0).label(
                "changed"
            ),
            func.coalesce(func.sum(_is(_AUDITS.c.audited_at < night)), 0).label("unaudited"),
            func.min(_AUDITS.c.audited_at).label("oldest"),
        ).select_from(_AUDITS.outerjoin(_HEADS, _HEADS.c.user_id == _AUDITS.c.user_id))
    ).one()
    breaches = session.execute(
        select(_BREACHES).where(_OPEN).order_by(_BREACHES.c.found_at.desc()).limit(SHOWN_MAX)
    ).all()
    return AuditState(
        looked_at=None if look is None else look.looked_at,
        accounts=0 if look is None else look.accounts,
        duration_ms=0 if look is None else look.duration_ms,
        accounts_total=figures.accounts,
        changed=int(figures.changed),
        night=night,
        unaudited=int(figures.unaudited),
        oldest_audited_at=figures.oldest,
        breaches=tuple(map(_breach, breaches)),
        breaches_total=session.scalar(select(func.count()).where(_OPEN)) or 0,
        halted=account_halts_where(session, ACCOUNT_IS_HALTED, limit=SHOWN_MAX),
        halted_total=session.scalar(select(func.count()).where(ACCOUNT_IS_HALTED)) or 0,
    )


def account_halt_lifted(
    session: Session, user_id: UUID, *, by: UUID, at: datetime
) -> AccountHaltRecord | None:
    """The account's halt that was lifted by this administrator at this very instant; None if none was."""
    this = (_HALTS.c.user_id == user_id) & (_HALTS.c.resumed_by == by) & (_HALTS.c.resumed_at == at)
    return next(iter(account_halts_where(session, this)), None)


def _is(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """1 where it holds, for a sum."""
    return case((condition, 1), else_=0)


def _breach(row: AnyRow) -> BreachRecord:
    return BreachRecord(
        user_id=row.user_id,
        check=_CHECK_NAMES.get(row.check_number, row.check_number),
        sample=tuple(row.sample.splitlines()),
        times=row.times,
        found_at=row.found_at,
        seen_at=row.seen_at,
    )
