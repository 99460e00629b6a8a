"""How the system keeps up: rows that are due in each stage, messages that wait in each queue, and the feed. Cheap enough to be asked every few seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis import Redis
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from trading.database.tables import Order, OrderExecution, Payment, PaymentRefund, table_of
from trading.market.health import Diagnosis, diagnose, trading_since
from trading.market.quote_book import QuoteBook
from trading.rules.market_hours import MarketHours
from trading.settings import Settings

_ORDERS = table_of(Order)
_EXECUTIONS = table_of(OrderExecution)
_PAYMENTS = table_of(Payment)
_REFUNDS = table_of(PaymentRefund)

_UNAPPLIED = _EXECUTIONS.c.applied_at.is_(None)


@dataclass(frozen=True, slots=True)
class DueRows:
    """How many rows a stage has yet to work on, and for how many seconds the oldest has been due; None without any."""

    count: int
    oldest_age_s: int | None


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """Due rows by stage, waiting messages by queue, and what the feed's health means now."""

    due: Mapping[str, DueRows]
    queues: Mapping[str, int]
    feed: Diagnosis


def system_status(
    session: Session,
    *,
    broker: Redis,
    queues: Sequence[str],
    quotes: QuoteBook,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> SystemStatus:
    """All three. Raises RedisError and MarketUnavailable when a Redis does not answer."""
    return SystemStatus(
        due=due_rows(session, settings=settings, now=now),
        queues=queue_depths(broker, queues),
        feed=feed(quotes, hours=hours, now=now),
    )


def due_rows(session: Session, *, settings: Settings, now: datetime) -> dict[str, DueRows]:
    """Each stage by an index of its own: what is not due is not read."""
    # An order's instant is the sweep's; whoever executes takes it from the grace time before on.
    grace = timedelta(milliseconds=settings.wake_grace_ms)
    stages: dict[str, tuple[ColumnElement[datetime], ColumnElement[bool]]] = {
        "execute": (_ORDERS.c.wake_at, _ORDERS.c.wake_at <= now + grace),
        "settle": (_EXECUTIONS.c.executed_at, _UNAPPLIED & _EXECUTIONS.c.settled_at.is_(None)),
        "portfolio": (_EXECUTIONS.c.settled_at, _UNAPPLIED & _EXECUTIONS.c.settled_at.is_not(None)),
        "payments": (_PAYMENTS.c.wake_at, _PAYMENTS.c.wake_at <= now),
        "refunds": (_REFUNDS.c.wake_at, _REFUNDS.c.wake_at <= now),
    }
    found = {}
    for stage, (since, is_due) in stages.items():
        count, oldest = session.execute(select(func.count(), func.min(since)).where(is_due)).one()
        until = now + grace if stage == "execute" else now
        # Clocks of two machines may differ.
        age_s = None if oldest is None else max(0, (until - oldest) // timedelta(seconds=1))
        found[stage] = DueRows(count, age_s)
    return found


def queue_depths(broker: Redis, queues: Sequence[str]) -> dict[str, int]:
    """How many messages wait in each queue of Celery's; one that a worker has taken waits no more. Raises RedisError."""
    with broker.pipeline(transaction=False) as pipeline:
        for queue in queues:
            pipeline.llen(queue)
        return dict(zip(queues, map(int, pipeline.execute()), strict=True))


def feed(quotes: QuoteBook, *, hours: MarketHours, now: datetime) -> Diagnosis:
    """What the relayer's health means. Raises MarketUnavailable when Redis does not answer."""
    return diagnose(quotes.relayer_health(), now, trading_since=trading_since(hours, now))
