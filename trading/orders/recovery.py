"""The recovery sweep: find rows that are overdue because their task was lost, and dispatch them.

It changes no rows itself, so it may run twice, late or concurrently with the tasks it repeats.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.tasks import Task, TaskRequest, task_requests

BATCHES_PER_STAGE = 40


@dataclass(frozen=True, slots=True)
class Overdue:
    """Result of a sweep: the number of overdue rows in each stage, and the tasks to dispatch."""

    orders: int
    unsettled: int
    unapplied: int
    requests: tuple[TaskRequest, ...]


def find_overdue(session: Session, *, settings: Settings, now: datetime) -> Overdue:
    """Return due orders and executions that are older than the grace time, oldest first.

    At most BATCHES_PER_STAGE batches for each stage.
    """
    limit = settings.stage_batch_size * BATCHES_PER_STAGE
    overdue_since = now - timedelta(milliseconds=settings.wake_grace_ms)
    orders = session.scalars(
        select(ORDERS.c.id)
        .where(ORDERS.c.next_attempt_at <= now)
        .order_by(ORDERS.c.next_attempt_at, ORDERS.c.id)
        .limit(limit)
    ).all()
    unsettled = session.scalars(
        select(ORDER_EXECUTIONS.c.id)
        .where(
            ORDER_EXECUTIONS.c.applied_at.is_(None),
            ORDER_EXECUTIONS.c.settled_at.is_(None),
            ORDER_EXECUTIONS.c.executed_at <= overdue_since,
        )
        .order_by(ORDER_EXECUTIONS.c.id)
        .limit(limit)
    ).all()
    unapplied = session.scalars(
        select(ORDER_EXECUTIONS.c.id)
        .where(
            ORDER_EXECUTIONS.c.applied_at.is_(None), ORDER_EXECUTIONS.c.settled_at <= overdue_since
        )
        .order_by(ORDER_EXECUTIONS.c.id)
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
        requests=tuple(
            one
            for task, ids in found
            for one in task_requests(task, ids, batch_size=settings.stage_batch_size)
        ),
    )
