"""The recovery sweep: find rows that have been due for too long, because their wake-up was lost, and wake them again.

It changes nothing itself, so it may run twice, late or beside the wake-ups that it repeats.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.database.tables import Order, OrderExecution, table_of
from trading.queue import Task, Wakeup, wakeups
from trading.settings import Settings

_ORDERS = table_of(Order)
_EXECUTIONS = table_of(OrderExecution)

BATCHES_PER_STAGE = 40


@dataclass(frozen=True, slots=True)
class Overdue:
    """What a sweep found: rows due in each stage, and the wake-ups for them."""

    orders: int
    unsettled: int
    unapplied: int
    wakeups: tuple[Wakeup, ...]


def find_overdue(session: Session, *, settings: Settings, now: datetime) -> Overdue:
    """Due orders and executions older than the grace time, oldest first, at most BATCHES_PER_STAGE batches a stage."""
    limit = settings.stage_batch_size * BATCHES_PER_STAGE
    overdue_since = now - timedelta(milliseconds=settings.wake_grace_ms)
    orders = session.scalars(
        select(_ORDERS.c.id)
        .where(_ORDERS.c.wake_at <= now)
        .order_by(_ORDERS.c.wake_at, _ORDERS.c.id)
        .limit(limit)
    ).all()
    unsettled = session.scalars(
        select(_EXECUTIONS.c.id)
        .where(
            _EXECUTIONS.c.applied_at.is_(None),
            _EXECUTIONS.c.settled_at.is_(None),
            _EXECUTIONS.c.executed_at <= overdue_since,
        )
        .order_by(_EXECUTIONS.c.id)
        .limit(limit)
    ).all()
    unapplied = session.scalars(
        select(_EXECUTIONS.c.id)
        .where(_EXECUTIONS.c.applied_at.is_(None), _EXECUTIONS.c.settled_at <= overdue_since)
        .order_by(_EXECUTIONS.c.id)
        .limit(limit)
    ).all()
    found = (
        (Task.EXECUTE_ORDERS, sorted(orders)),
        (Task.SETTLE_EXECUTIONS, unsettled),
        (Task.UPDATE_PORTFOLIOS, unapplied),
    )
    return Overdue(
        orders=len(orders),
        unsettled=len(unsettled),
        unapplied=len(unapplied),
        wakeups=tuple(
            one
            for task, ids in found
            for one in wakeups(task, ids, batch_size=settings.stage_batch_size)
        ),
    )
