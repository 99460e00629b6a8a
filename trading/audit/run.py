"""Run the audit: choose the accounts to audit, batch by batch, and record the results.

An account is audited after it changed, and once every night in any case. Which accounts are next
follows from their rows, so the next run continues an interrupted one. Concurrent runs may audit an
account twice.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from trading.account_events.tables import ACCOUNT_EVENT_HEADS
from trading.accounts.tables import ACCOUNT_AUDITS
from trading.audit.account_halts import AccountHaltRequest, halt_account
from trading.audit.model import AuditBatch, Breach, last_night
from trading.audit.tables import AUDIT_BREACHES, AUDIT_RUNS
from trading.db.ids import new_id
from trading.db.upsert import upsert
from trading.halts.model import HaltCause
from trading.unit_of_work import UnitOfWork

# A batch is audited in one database state, which should take no longer than about a second.
ACCOUNTS_MAX = 200
EVENTS_MAX = 20_000
# Older changes, made while no worker ran, are left to the nightly audit.
CHANGED_WITHIN = timedelta(days=2)
# An account whose audit did not finish (too large, or the worker was killed) is tried again after
# this time.
AGAIN_AFTER = timedelta(minutes=10)


class _Candidate(NamedTuple):
    user_id: UUID
    events: int


def claim_batch(
    uow: UnitOfWork,
    *,
    run_began_at: datetime,
    accounts_max: int = ACCOUNTS_MAX,
    events_max: int = EVENTS_MAX,
) -> list[UUID]:
    """Choose the accounts to audit next and mark them as begun.

    Changed accounts come first; without any, those that the nightly audit has not reached. Accounts
    begun since ``run_began_at`` are left out, or a run would not end while anybody trades. A batch
    has at most ``accounts_max`` accounts with ``events_max`` account events together, or one
    account with more events.
    """
    session, now = uow.session, uow.now
    changed = (ACCOUNT_EVENT_HEADS.c.updated_at >= now - CHANGED_WITHIN) & (
        ACCOUNT_EVENT_HEADS.c.last_id != ACCOUNT_AUDITS.c.event_id
    )
    candidates = _load_candidates(
        session,
        accounts_max,
        changed,
        ACCOUNT_AUDITS.c.begun_at < run_began_at,
        order=ACCOUNT_AUDITS.c.begun_at,
    )
    if not candidates:
        unaudited = ACCOUNT_AUDITS.c.audited_at < last_night(now)
        not_recent = ACCOUNT_AUDITS.c.begun_at < run_began_at - AGAIN_AFTER
        candidates = _load_candidates(
            session, accounts_max, unaudited, not_recent, order=ACCOUNT_AUDITS.c.audited_at
        )
    batch = sorted(_take_events(events_max, candidates))
    if batch:
        session.execute(
            update(ACCOUNT_AUDITS).where(ACCOUNT_AUDITS.c.user_id.in_(batch)).values(begun_at=now)
        )
    return batch


def _load_candidates(
    session: Session, limit: int, *conditions: ColumnElement[bool], order: ColumnElement[datetime]
) -> list[_Candidate]:
    """Return the accounts that meet the conditions, with their number of events."""
    rows = session.execute(
        select(
            ACCOUNT_AUDITS.c.user_id,
            func.coalesce(ACCOUNT_EVENT_HEADS.c.last_id, 0).label("events"),
        )
        .outerjoin(ACCOUNT_EVENT_HEADS, ACCOUNT_EVENT_HEADS.c.user_id == ACCOUNT_AUDITS.c.user_id)
        .where(*conditions)
        .order_by(order, ACCOUNT_AUDITS.c.user_id)
        .limit(limit)
    ).mappings()
    return [_Candidate(**row) for row in rows]


def _take_events(events_max: int, candidates: Sequence[_Candidate]) -> Iterator[UUID]:
    """Yield the first accounts with at most ``events_max`` events together, but at least one."""
    events = 0
    for row in candidates:
        events += row.events
        if events > events_max and row is not candidates[0]:
            return
        yield row.user_id


def record_batch(uow: UnitOfWork, audited: AuditBatch, *, begun_at: datetime) -> list[Breach]:
    """Record a batch with its breaches, halt the affected accounts, return new breaches."""
    session, now, settings = uow.session, uow.now, uow.settings
    upsert(
        session,
        ACCOUNT_AUDITS,
        [
            {"user_id": user_id, "event_id": event_id, "begun_at": begun_at, "audited_at": begun_at}
            for user_id, event_id in sorted(audited.events.items())
        ],
        update=("event_id", "audited_at"),
    )
    if not audited.breaches:
        return []
    affected = {breach.user_id for breach in audited.breaches}
    open_breaches = select(AUDIT_BREACHES.c.user_id, AUDIT_BREACHES.c.check_number).where(
        AUDIT_BREACHES.c.user_id.in_(affected), AUDIT_BREACHES.c.resolved_at.is_(None)
    )
    known = {(row.user_id, row.check_number) for row in session.execute(open_breaches)}
    new = [
        breach for breach in audited.breaches if (breach.user_id, breach.check_number) not in known
    ]
    _store_breaches(session, audited.breaches, now=now)
    for user_id in sorted(affected) if settings.audit_halts else ():
        numbers = sorted(
            breach.check_number for breach in audited.breaches if breach.user_id == user_id
        )
        command = AccountHaltRequest(
            halt_id=new_id(),
            user_id=user_id,
            cause=HaltCause.AUDIT_BREACH,
            reason=", ".join(numbers)[:200],
        )
        halt_account(uow, command)
    return new


def _store_breaches(session: Session, breaches: Sequence[Breach], *, now: datetime) -> None:
    upsert(
        session,
        AUDIT_BREACHES,
        [
            {
                "user_id": breach.user_id,
                "check_number": breach.check_number,
                "sample": breach.sample,
                "times": 1,
                "found_at": now,
                "seen_at": now,
                "resolved_at": None,
                "note": None,
            }
            for breach in sorted(breaches, key=lambda breach: (breach.user_id, breach.check_number))
        ],
        update=("sample", "seen_at", "resolved_at", "note"),
        merge={
            "times": "old.times + 1",
            "found_at": "CASE WHEN old.resolved_at IS NULL THEN old.found_at ELSE new.found_at END",
        },
    )


def record_audit_run(uow: UnitOfWork, *, accounts: int, duration_ms: int) -> None:
    """Record when the audit ran, for how long, and how many accounts it audited."""
    session, now = uow.session, uow.now
    run = {"id": 1, "run_at": now, "accounts": accounts, "duration_ms": duration_ms}
    upsert(session, AUDIT_RUNS, [run], update=("run_at", "accounts", "duration_ms"))
