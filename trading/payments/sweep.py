"""Recovery sweep of payments: dispatch every payment and refund that is due."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session

from trading.payments.tables import PAYMENT_REFUNDS, PAYMENTS
from trading.tasks import Task, TaskRequest
from trading.unit_of_work import UnitOfWork

# How many of each to dispatch at once, and when to dispatch them again if nothing was recorded: a
# request to PortOne may take a minute.
BATCH_SIZE = 100
REDISPATCH_AFTER = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class DueCounts:
    """Numbers of payments and refunds that were dispatched."""

    payments: int
    refunds: int


def dispatch_due_payments(uow: UnitOfWork) -> DueCounts:
    """Dispatch due payments and refunds, longest overdue first, at most BATCH_SIZE of each.

    Postpone each of them, so that the next sweep does not dispatch it too.
    """
    session, now = uow.session, uow.now
    payments = _claim_due(session, PAYMENTS, now)
    refunds = _claim_due(session, PAYMENT_REFUNDS, now)
    for task, ids in ((Task.VERIFY_PAYMENT, payments), (Task.REFUND_PAYMENT, refunds)):
        for row_id in ids:
            uow.after_commit(TaskRequest(task, (row_id,)))
    return DueCounts(len(payments), len(refunds))


def _claim_due(session: Session, table: Table, now: datetime) -> list[UUID]:
    ids = list(
        session.scalars(
            select(table.c.id)
            .where(table.c.next_attempt_at <= now)
            .order_by(table.c.next_attempt_at, table.c.id)
            .limit(BATCH_SIZE)
        )
    )
    if ids:
        # Rows dispatched or processed in the meantime are no longer due and stay unchanged.
        session.execute(
            update(table)
            .where(table.c.id.in_(sorted(ids)), table.c.next_attempt_at <= now)
            .values(next_attempt_at=now + REDISPATCH_AFTER)
        )
    return ids
