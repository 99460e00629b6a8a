"""Status of the whole system: due rows, positions of stream readers, queues and feed.

Operators and monitoring read it often, above all during incidents. So it takes a few statements
that stay fast on a large database, and a source that does not answer does not hide the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from redis import Redis
from sqlalchemy import ColumnElement, Table, func, literal, select
from sqlalchemy.orm import Session

from trading.account_events.stream import AccountStreams
from trading.accounts.tables import ACCOUNT_AUDITS
from trading.audit.model import last_night
from trading.audit.tables import AUDIT_BREACHES, AUDIT_RUNS
from trading.config.settings import Settings
from trading.exchange.hours import MarketHours
from trading.halts.queries import ACCOUNT_IS_HALTED, HALTED_SINCE
from trading.halts.tables import ACCOUNT_HALTS
from trading.marketdata.health import Diagnosis, RelayerHealth, diagnose, trading_since
from trading.marketdata.quotes import QuoteStore
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Position
from trading.orders.tables import MATCH_CURSORS, ORDER_EXECUTIONS, ORDERS
from trading.payments.tables import PAYMENT_ALERTS, PAYMENT_REFUNDS, PAYMENTS
from trading.redis import keys
from trading.stocks.candles.tables import CANDLE_CURSORS
from trading.watchlists.tables import ALERT_CURSORS

# The exact number does not matter beyond this, and counting would cost the most during an incident.
COUNTED_MAX = 10_000

CANDLES = "candles"
ALERTS = "alerts"


def matcher(shard: int) -> str:
    """Return the name of a shard's matcher among the readers of the tick stream."""
    return f"matcher-{shard}"


class PipelineStage(StrEnum):
    """Stages with due work.

    Missing account events have no due rows: only the repair job finds them.
    """

    EXECUTE = "execute"
    SETTLE = "settle"
    PORTFOLIO = "portfolio"
    PAYMENTS = "payments"
    REFUNDS = "refunds"
    ACCOUNT_EVENTS = "account-events"


@dataclass(frozen=True, slots=True)
class DueRows:
    """Due rows of a stage, counted up to COUNTED_MAX, and the oldest's age (None without)."""

    count: int
    oldest_age_s: int | None


@dataclass(frozen=True, slots=True)
class Reader:
    """How far a matcher, the candles or the price alerts have read the tick stream.

    ``read_at`` is when everything had been read, None if that is not stored.
    """

    name: str
    position: Position
    read_at: datetime | None

    def behind_s(self, end: Position | None) -> float | None:
        """Return the lag behind the stream's end in seconds of tick time.

        Return None before the first read and for an empty stream.
        """
        if end is None or not self.position.packed:
            return None
        return max(0, end.ms - self.position.ms) / 1_000


@dataclass(frozen=True, slots=True)
class AuditStatus:
    """State of the audit: open breaches, halted accounts, and accounts left for the nightly audit.

    Each is counted up to COUNTED_MAX. ``run_at`` is the time of the last run, None before the
    first.
    """

    breaches: int
    halted_accounts: int
    accounts_due: int
    run_at: datetime | None


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """Status read from the database.

    Due rows by stage in the order of the stages, readers of the tick stream, open payment alerts by
    kind (up to COUNTED_MAX in total), the start of a trading halt, and the state of the audit.
    """

    due: Mapping[PipelineStage, DueRows]
    readers: tuple[Reader, ...]
    payment_alerts: Mapping[str, int]
    halted_since: datetime | None
    audit: AuditStatus


@dataclass(frozen=True, slots=True)
class QueuesStatus:
    """Status read from the broker: queue depths, and unacknowledged messages of all queues."""

    depths: Mapping[str, int]
    unacknowledged: int


@dataclass(frozen=True, slots=True)
class MarketStatus:
    """Status read from Redis.

    The relayer's health record with its diagnosis, whether a relayer holds the lease, whether ticks
    are expected now, the end of the tick stream, and the time of the last complete repair of
    account events.
    """

    diagnosis: Diagnosis
    health: RelayerHealth | None
    lease_held: bool
    trading: bool
    stream_end: Position | None
    events_repaired_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """The whole status at one moment. A part is None if its source did not answer."""

    taken_at: datetime
    database: DatabaseStatus | None
    queues: QueuesStatus | None
    market: MarketStatus | None


def database_status(session: Session, *, settings: Settings, now: datetime) -> DatabaseStatus:
    """Read due work, stream positions, open alerts, the trading halt and the audit's state."""
    return DatabaseStatus(
        due=due_rows(session, settings=settings, now=now),
        readers=tuple(_readers(session, settings)),
        payment_alerts=_payment_alerts(session),
        halted_since=session.scalar(select(HALTED_SINCE)),
        audit=_audit(session, now=now),
    )


def due_rows(
    session: Session, *, settings: Settings, now: datetime
) -> dict[PipelineStage, DueRows]:
    """Return the due rows of each stage except account events, found only by the repair job."""
    # ``next_attempt_at`` of an order is when the recovery sweep dispatches it: the grace time after
    # it became due.
    until = now + timedelta(milliseconds=settings.wake_grace_ms)
    unsettled = ORDER_EXECUTIONS.c.applied_at.is_(None) & ORDER_EXECUTIONS.c.settled_at.is_(None)
    unapplied = ORDER_EXECUTIONS.c.applied_at.is_(None) & ORDER_EXECUTIONS.c.settled_at.is_not(None)
    return {
        PipelineStage.EXECUTE: _due(
            session,
            ORDERS,
            ORDERS.c.next_attempt_at <= until,
            ORDERS.c.next_attempt_at,
            until=until,
        ),
        # The index orders unsettled executions by id, which increases with time.
        PipelineStage.SETTLE: _due(
            session,
            ORDER_EXECUTIONS,
            unsettled,
            ORDER_EXECUTIONS.c.executed_at,
            first=ORDER_EXECUTIONS.c.id,
            until=now,
        ),
        PipelineStage.PORTFOLIO: _due(
            session, ORDER_EXECUTIONS, unapplied, ORDER_EXECUTIONS.c.settled_at, until=now
        ),
        PipelineStage.PAYMENTS: _due(
            session,
            PAYMENTS,
            PAYMENTS.c.next_attempt_at <= now,
            PAYMENTS.c.next_attempt_at,
            until=now,
        ),
        PipelineStage.REFUNDS: _due(
            session,
            PAYMENT_REFUNDS,
            PAYMENT_REFUNDS.c.next_attempt_at <= now,
            PAYMENT_REFUNDS.c.next_attempt_at,
            until=now,
        ),
    }


def queues_status(broker: Redis, queues: Sequence[str]) -> QueuesStatus:
    """Read the lengths of Celery's queues. Raise RedisError if the broker does not answer."""
    with broker.pipeline(transaction=False) as pipeline:
        pipeline.hlen(keys.BROKER_UNACKNOWLEDGED)
        for queue in queues:
            pipeline.llen(queue)
        unacknowledged, *lengths = map(int, pipeline.execute())
    return QueuesStatus(dict(zip(queues, lengths, strict=True)), unacknowledged)


def market_status(redis: Redis, *, hours: MarketHours, now: datetime) -> MarketStatus:
    """Read the state of the feed. Raise MarketUnavailable if Redis does not answer."""
    health = QuoteStore(redis).relayer_health()
    since = trading_since(hours, now)
    latest = TickStream(redis).latest(limit=1)
    return MarketStatus(
        diagnosis=diagnose(health, now, trading_since=since),
        health=health,
        lease_held=bool(redis.exists(keys.RELAYER_LEASE)),
        trading=since is not None,
        stream_end=latest[0].position if latest else None,
        events_repaired_at=AccountStreams(redis).last_sweep_at(),
    )


def _due(
    session: Session,
    table: Table,
    is_due: ColumnElement[bool],
    since: ColumnElement[datetime],
    *,
    until: datetime,
    first: ColumnElement[UUID] | None = None,
) -> DueRows:
    """Count the due rows and compute the age of the oldest at ``until``.

    ``first`` is the column by which the index orders the due rows, if it is not ``since``.
    """
    oldest = session.scalar(
        select(since).where(is_due).order_by(since if first is None else first).limit(1)
    )
    if oldest is None:
        return DueRows(0, None)
    # Clocks of two machines may differ.
    return DueRows(_count(session, table, is_due), max(0, (until - oldest) // timedelta(seconds=1)))


def _count(session: Session, table: Table, condition: ColumnElement[bool]) -> int:
    """Count the rows that meet an indexed condition, up to COUNTED_MAX."""
    limited = select(literal(1)).select_from(table).where(condition).limit(COUNTED_MAX).subquery()
    return session.scalar(select(func.count()).select_from(limited)) or 0


def _audit(session: Session, *, now: datetime) -> AuditStatus:
    audits, breaches, halts = ACCOUNT_AUDITS, AUDIT_BREACHES, ACCOUNT_HALTS
    return AuditStatus(
        breaches=_count(session, breaches, breaches.c.resolved_at.is_(None)),
        halted_accounts=_count(session, halts, ACCOUNT_IS_HALTED),
        accounts_due=_count(session, audits, audits.c.audited_at < last_night(now)),
        run_at=session.scalar(select(AUDIT_RUNS.c.run_at)),
    )


def _readers(session: Session, settings: Settings) -> list[Reader]:
    matchers, candles, alerts = MATCH_CURSORS, CANDLE_CURSORS, ALERT_CURSORS
    is_current = matchers.c.shards == settings.matcher_shards
    return [
        *(
            Reader(matcher(row.shard), Position.unpack(row.position), row.scanned_at)
            for row in session.execute(
                select(matchers).where(is_current).order_by(matchers.c.shard)
            )
        ),
        *(
            Reader(CANDLES, Position.unpack(row.position), row.read_at)
            for row in session.execute(select(candles))
        ),
        *(
            Reader(ALERTS, Position.unpack(row.position), None)
            for row in session.execute(select(alerts))
        ),
    ]


def _payment_alerts(session: Session) -> dict[str, int]:
    open_alerts = (
        select(PAYMENT_ALERTS.c.kind)
        .where(PAYMENT_ALERTS.c.resolved_at.is_(None))
        .limit(COUNTED_MAX)
        .subquery()
    )
    return {
        str(kind): int(count)
        for kind, count in session.execute(
            select(open_alerts.c.kind, func.count()).group_by(open_alerts.c.kind)
        )
    }
