"""The sweep over payments: whatever is due is woken, whoever should have done so."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session

from trading.db.transactions import after_commit
from trading.payments.tables import PAYMENT_REFUNDS, PAYMENTS
from trading.tasks import Task, TaskRequest

# How many of each are woken at once, and when those are woken again of which nothing was heard: a request to PortOne may take a minute.
BATCH_SIZE = 100
REDISPATCH_AFTER = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class DueCounts:
    """How many payments and refunds were woken."""

    payments: int
    refunds: int


def dispatch_due_payments(session: Session, *, now: datetime) -> DueCounts:
    """Wake what is due, the longest waiting first, and put each off, so that the next sweep does not wake it too."""
    payments = _due(session, PAYMENTS, now)
    refunds = _due(session, PAYMENT_REFUNDS, now)
    for task, ids in ((Task.VERIFY_PAYMENT, payments), (Task.REFUND_PAYMENT, refunds)):
        for one in ids:
            after_commit(session, TaskRequest(task, (one,)))
    return DueCounts(len(payments), len(refunds))


def _due(session: Session, table: Table, now: datetime) -> list[UUID]:
    ids = list(
        session.scalars(
            select(table.c.id)
            .where(table.c.next_attempt_at <= now)
            .order_by(table.c.next_attempt_at, table.c.id)
            .limit(BATCH_SIZE)
        )
    )
    if ids:
        # What was woken or done since is due no more, and stays as it is.
        session.execute(
            update(table)
            .where(table.c.id.in_(sorted(ids)), table.c.next_attempt_at <= now)
            .values(next_attempt_at=now + REDISPATCH_AFTER)
        )
    return ids
