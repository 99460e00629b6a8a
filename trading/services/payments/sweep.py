"""The sweep over payments: whatever is due is woken, whoever should have done so."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session

from trading.database.tables import Payment, PaymentRefund, table_of
from trading.database.transactions import send_after_commit
from trading.queue import Task, Wakeup

# How many of each are woken at once, and when those are woken again of which nothing was heard: a request to PortOne may take a minute.
BATCH = 100
AGAIN_AFTER = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Due:
    """How many payments and refunds were woken."""

    payments: int
    refunds: int


def wake_due_payments(session: Session, *, now: datetime) -> Due:
    """Wake what is due, the longest waiting first, and put each off, so that the next sweep does not wake it too."""
    payments = _due(session, table_of(Payment), now)
    refunds = _due(session, table_of(PaymentRefund), now)
    for task, ids in ((Task.VERIFY_PAYMENT, payments), (Task.REFUND_PAYMENT, refunds)):
        for one in ids:
            send_after_commit(session, Wakeup(task, (one,)))
    return Due(len(payments), len(refunds))


def _due(session: Session, table: Table, now: datetime) -> list[UUID]:
    ids = list(
        session.scalars(
            select(table.c.id)
            .where(table.c.wake_at <= now)
            .order_by(table.c.wake_at, table.c.id)
            .limit(BATCH)
        )
    )
    if ids:
        # What was woken or done since is due no more, and stays as it is.
        session.execute(
            update(table)
            .where(table.c.id.in_(sorted(ids)), table.c.wake_at <= now)
            .values(wake_at=now + AGAIN_AFTER)
        )
    return ids
