"""State of the audit: last run, accounts to audit, breaches and halted accounts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from trading.account_events.tables import ACCOUNT_EVENT_HEADS
from trading.accounts.tables import ACCOUNT_AUDITS
from trading.audit.checks import CHECKS
from trading.audit.model import last_night
from trading.audit.tables import AUDIT_BREACHES, AUDIT_RUNS
from trading.halts.queries import ACCOUNT_IS_HALTED, account_halts_where
from trading.halts.records import AccountHaltRecord

_OPEN = AUDIT_BREACHES.c.resolved_at.is_(None)

SHOWN_MAX = 100

_CHECK_NAMES = {check.number: check.name for check in CHECKS}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachRecord:
    """An invariant that was violated when the audit last checked the account.

    ``sample`` shows faulty rows, one a line.
    """

    user_id: UUID
    check: str
    sample: tuple[str, ...]
    times: int
    found_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditState:
    """State of the audit for operators.

    ``run_at`` is None before the first run; ``accounts`` and ``duration_ms`` describe the last run.
    ``changed`` counts the accounts changed since their audit, ``unaudited`` those that the nightly
    audit, begun at ``night``, has not reached yet. ``oldest_audited_at`` is the earliest time of an
    account's last audit. At most SHOWN_MAX breaches and halted accounts are listed, newest first;
    the totals count all.
    """

    run_at: datetime | None
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
    """Return the state of the audit."""
    last_run = session.execute(select(AUDIT_RUNS)).one_or_none()
    night = last_night(now)
    figures = session.execute(
        select(
            func.count().label("accounts"),
            func.coalesce(
                func.sum(_as_integer(ACCOUNT_EVENT_HEADS.c.last_id != ACCOUNT_AUDITS.c.event_id)), 0
            ).label("changed"),
            func.coalesce(func.sum(_as_integer(ACCOUNT_AUDITS.c.audited_at < night)), 0).label(
                "unaudited"
            ),
            func.min(ACCOUNT_AUDITS.c.audited_at).label("oldest"),
        ).select_from(
            ACCOUNT_AUDITS.outerjoin(
                ACCOUNT_EVENT_HEADS, ACCOUNT_EVENT_HEADS.c.user_id == ACCOUNT_AUDITS.c.user_id
            )
        )
    ).one()
    return AuditState(
        run_at=None if last_run is None else last_run.run_at,
        accounts=0 if last_run is None else last_run.accounts,
        duration_ms=0 if last_run is None else last_run.duration_ms,
        accounts_total=figures.accounts,
        changed=int(figures.changed),
        night=night,
        unaudited=int(figures.unaudited),
        oldest_audited_at=figures.oldest,
        breaches=tuple(_open_breaches(session)),
        breaches_total=session.scalar(select(func.count()).where(_OPEN)) or 0,
        halted=account_halts_where(session, ACCOUNT_IS_HALTED, limit=SHOWN_MAX),
        halted_total=session.scalar(select(func.count()).where(ACCOUNT_IS_HALTED)) or 0,
    )


def _as_integer(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """Return 1 if the condition holds, else 0, for use in sums."""
    return case((condition, 1), else_=0)


def _open_breaches(session: Session) -> Iterator[BreachRecord]:
    rows = session.execute(
        select(AUDIT_BREACHES)
        .where(_OPEN)
        .order_by(AUDIT_BREACHES.c.found_at.desc())
        .limit(SHOWN_MAX)
    )
    for row in rows:
        yield BreachRecord(
            user_id=row.user_id,
            check=_CHECK_NAMES.get(row.check_number, row.check_number),
            sample=tuple(row.sample.splitlines()),
            times=row.times,
            found_at=row.found_at,
            seen_at=row.seen_at,
        )
