"""The audit at work: which accounts are to be audited, a batch at a time, and what follows from what is found.

An account is due when something happened to it since it was last audited, and once every night whatever happened. Which ones are due is told by their
rows, so a look that was cut short is made up for by the next; two looks at once do some work twice.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from trading.account_events.tables import ACCOUNT_EVENT_HEADS
from trading.accounts.tables import ACCOUNT_AUDITS
from trading.audit.account_halts import halt_account
from trading.audit.model import AuditBatch, Breach, last_night
from trading.audit.tables import AUDIT_BREACHES, AUDIT_RUNS
from trading.config.settings import Settings
from trading.db.ids import new_id
from trading.db.statements import AnyRow
from trading.db.upsert import upsert
from trading.halts.model import HaltCause

# A batch is audited in one state of the database, which should not take longer than about a second.
ACCOUNTS_MAX = 200
EVENTS_MAX = 20_000
# What happened longer ago than this, because no worker ran, waits for the night.
CHANGED_WITHIN = timedelta(days=2)
# An account whose audit did not come to its end, as it was too large or a worker was killed, is tried again after this.
AGAIN_AFTER = timedelta(minutes=10)


def claim_batch(
    session: Session,
    *,
    look_began_at: datetime,
    now: datetime,
    accounts_max: int = ACCOUNTS_MAX,
    events_max: int = EVENTS_MAX,
) -> list[UUID]:
    """The accounts to audit next, noted as begun: those that changed, and when there is none, those that the night has not audited yet.

    None of them was begun since ``look_began_at``, or a look would go on for as long as somebody trades. A batch has at most ``accounts_max`` accounts with
    ``events_max`` account events together, or one account that has more.
    """
    changed = (ACCOUNT_EVENT_HEADS.c.updated_at >= now - CHANGED_WITHIN) & (
        ACCOUNT_EVENT_HEADS.c.last_id != ACCOUNT_AUDITS.c.event_id
    )
    waiting = _waiting(
        session,
        accounts_max,
        changed,
        ACCOUNT_AUDITS.c.begun_at < look_began_at,
        order=ACCOUNT_AUDITS.c.begun_at,
    )
    if not waiting:
        unaudited = ACCOUNT_AUDITS.c.audited_at < last_night(now)
        left_alone = ACCOUNT_AUDITS.c.begun_at < look_began_at - AGAIN_AFTER
        waiting = _waiting(
            session, accounts_max, unaudited, left_alone, order=ACCOUNT_AUDITS.c.audited_at
        )
    batch = sorted(_at_most(events_max, waiting))
    if batch:
        session.execute(
            update(ACCOUNT_AUDITS).where(ACCOUNT_AUDITS.c.user_id.in_(batch)).values(begun_at=now)
        )
    return batch


def _waiting(
    session: Session, limit: int, *conditions: ColumnElement[bool], order: ColumnElement[datetime]
) -> Sequence[AnyRow]:
    """Accounts that meet the conditions, each with the number of its events."""
    return session.execute(
        select(
            ACCOUNT_AUDITS.c.user_id,
            func.coalesce(ACCOUNT_EVENT_HEADS.c.last_id, 0).label("events"),
        )
        .outerjoin(ACCOUNT_EVENT_HEADS, ACCOUNT_EVENT_HEADS.c.user_id == ACCOUNT_AUDITS.c.user_id)
        .where(*conditions)
        .order_by(order, ACCOUNT_AUDITS.c.user_id)
        .limit(limit)
    ).all()


def _at_most(events_max: int, waiting: Sequence[AnyRow]) -> Iterator[UUID]:
    """The first accounts that together have no more events; the first one in any case."""
    events = 0
    for row in waiting:
        events += row.events
        if events > events_max and row is not waiting[0]:
            return
        yield row.user_id


def record_batch(
    session: Session, audited: AuditBatch, *, begun_at: datetime, settings: Settings, now: datetime
) -> list[Breach]:
    """Note what was audited, keep the breaches for a person, and halt the trading of their accounts; those breaches that were not known before."""
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
    concerned = {breach.user_id for breach in audited.breaches}
    open_ones = select(AUDIT_BREACHES.c.user_id, AUDIT_BREACHES.c.check_number).where(
        AUDIT_BREACHES.c.user_id.in_(concerned), AUDIT_BREACHES.c.resolved_at.is_(None)
    )
    known = {(row.user_id, row.check_number) for row in session.execute(open_ones)}
    found = [
        breach for breach in audited.breaches if (breach.user_id, breach.check_number) not in known
    ]
    _keep(session, audited.breaches, now=now)
    for user_id in sorted(concerned) if settings.audit_halts else ():
        numbers = sorted(
            breach.check_number for breach in audited.breaches if breach.user_id == user_id
        )
        halt_account(
            session,
            user_id,
            halt_id=new_id(),
            cause=HaltCause.AUDIT_BREACH,
            reason=", ".join(numbers)[:200],
            by=None,
            now=now,
        )
    return found


def _keep(session: Session, breaches: Sequence[Breach], *, now: datetime) -> None:
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


def record_audit_run(session: Session, *, accounts: int, duration_ms: int, now: datetime) -> None:
    """Note that the audit looked, and how much that was."""
    look = {"id": 1, "run_at": now, "accounts": accounts, "duration_ms": duration_ms}
    upsert(session, AUDIT_RUNS, [look], update=("run_at", "accounts", "duration_ms"))
