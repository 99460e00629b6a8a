"""The state of the whole that is nobody's process: what is due and since when, who has read how far, the queues, the feed.

For operators and their instruments, who ask often and most of all when the system is in trouble. So each look is a few statements that an index and a
limit keep small on the fullest database, and what one source does not tell does not hide what the others do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

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

# Beyond so many rows it matters no more how many there are, and counting them all would cost the database the more the worse things are.
COUNTED_MAX = 10_000

CANDLES = "candles"
ALERTS = "alerts"


def matcher(shard: int) -> str:
    """The name of a shard's matcher among the readers of the tick stream."""
    return f"matcher-{shard}"


class Stage(StrEnum):
    """Where work can be due. Of account events no row says so: whether any are missing in their streams only a repair finds out."""

    EXECUTE = "execute"
    SETTLE = "settle"
    PORTFOLIO = "portfolio"
    PAYMENTS = "payments"
    REFUNDS = "refunds"
    ACCOUNT_EVENTS = "account-events"


@dataclass(frozen=True, slots=True)
class DueRows:
    """The rows that are due in a stage, counted up to COUNTED_MAX, and for how many seconds the oldest of them has been; None without any."""

    count: int
    oldest_age_s: int | None


@dataclass(frozen=True, slots=True)
class Reader:
    """How far the tick stream was read by a matcher, into candles or for alerts; ``read_at`` is when all was read, where that is written down."""

    name: str
    position: Position
    read_at: datetime | None

    def behind_s(self, end: Position | None) -> float | None:
        """How far it is behind the stream's end in time of the ticks; None before its first look, and where the stream holds nothing."""
        if end is None or not self.position.packed:
            return None
        return max(0, end.ms - self.position.ms) / 1_000


@dataclass(frozen=True, slots=True)
class AuditStatus:
    """How the audit stands: breaches that nobody has resolved, accounts whose trading is halted, and accounts that this night's audit has not reached, each
    counted up to COUNTED_MAX; and when it looked last, None before its first look."""

    breaches: int
    halted_accounts: int
    accounts_due: int
    run_at: datetime | None


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """What the database tells: due rows by stage, in the order of the stages; who has read how far; open payment alerts by kind, up to COUNTED_MAX
    together; since when trading is halted; and how the audit stands."""

    due: Mapping[Stage, DueRows]
    readers: tuple[Reader, ...]
    payment_alerts: Mapping[str, int]
    halted_since: datetime | None
    audit: AuditStatus


@dataclass(frozen=True, slots=True)
class QueuesStatus:
    """What the broker tells: messages that wait, by queue, and those of all queues that a worker has taken and not acknowledged."""

    depths: Mapping[str, int]
    unacknowledged: int


@dataclass(frozen=True, slots=True)
class MarketStatus:
    """What Redis tells of the feed: the relayer's record and what it means, whether ticks are to be expected now, the tick stream's end, and when all
    account events were last held against their streams."""

    diagnosis: Diagnosis
    health: RelayerHealth | None
    trading: bool
    stream_end: Position | None
    events_repaired_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """All of it at one moment. A part is None where its source did not answer."""

    taken_at: datetime
    books: DatabaseStatus | None
    queues: QueuesStatus | None
    market: MarketStatus | None


def database_status(session: Session, *, settings: Settings, now: datetime) -> DatabaseStatus:
    """What is due, how far the stream was read, what waits for a person, and whether trading is halted."""
    return DatabaseStatus(
        due=due_rows(session, settings=settings, now=now),
        readers=tuple(_readers(session, settings)),
        payment_alerts=_payment_alerts(session),
        halted_since=session.scalar(select(HALTED_SINCE)),
        audit=_audit(session, now=now),
    )


def due_rows(session: Session, *, settings: Settings, now: datetime) -> dict[Stage, DueRows]:
    """What is due in each stage; of account events only a repair can tell."""
    # An order's instant is the sweep's: it has been due since the grace time before that.
    until = now + timedelta(milliseconds=settings.wake_grace_ms)
    unsettled = ORDER_EXECUTIONS.c.applied_at.is_(None) & ORDER_EXECUTIONS.c.settled_at.is_(None)
    unapplied = ORDER_EXECUTIONS.c.applied_at.is_(None) & ORDER_EXECUTIONS.c.settled_at.is_not(None)
    return {
        Stage.EXECUTE: _due(
            session,
            ORDERS,
            ORDERS.c.next_attempt_at <= until,
            ORDERS.c.next_attempt_at,
            until=until,
        ),
        # The index orders the unsettled executions by their ids, which ascend with their times.
        Stage.SETTLE: _due(
            session,
            ORDER_EXECUTIONS,
            unsettled,
            ORDER_EXECUTIONS.c.executed_at,
            first=ORDER_EXECUTIONS.c.id,
            until=now,
        ),
        Stage.PORTFOLIO: _due(
            session, ORDER_EXECUTIONS, unapplied, ORDER_EXECUTIONS.c.settled_at, until=now
        ),
        Stage.PAYMENTS: _due(
            session,
            PAYMENTS,
            PAYMENTS.c.next_attempt_at <= now,
            PAYMENTS.c.next_attempt_at,
            until=now,
        ),
        Stage.REFUNDS: _due(
            session,
            PAYMENT_REFUNDS,
            PAYMENT_REFUNDS.c.next_attempt_at <= now,
            PAYMENT_REFUNDS.c.next_attempt_at,
            until=now,
        ),
    }


def queues_status(broker: Redis, queues: Sequence[str]) -> QueuesStatus:
    """How long Celery's queues are. Raises RedisError when the broker does not answer."""
    with broker.pipeline(transaction=False) as pipeline:
        pipeline.hlen(keys.BROKER_UNACKNOWLEDGED)
        for queue in queues:
            pipeline.llen(queue)
        unacknowledged, *lengths = map(int, pipeline.execute())
    return QueuesStatus(dict(zip(queues, lengths, strict=True)), unacknowledged)


def market_status(redis: Redis, *, hours: MarketHours, now: datetime) -> MarketStatus:
    """How the feed is. Raises MarketUnavailable when Redis does not answer."""
    health = QuoteStore(redis).relayer_health()
    since = trading_since(hours, now)
    latest = TickStream(redis).latest(limit=1)
    return MarketStatus(
        diagnosis=diagnose(health, now, trading_since=since),
        health=health,
        trading=since is not None,
        stream_end=latest[0].position if latest else None,
        events_repaired_at=AccountStreams(redis).last_sweep_at(),
    )


def _due(
    session: Session,
    table: Table,
    is_due: ColumnElement[bool],
    since: ColumnElement[Any],
    *,
    until: datetime,
    first: ColumnElement[Any] | None = None,
) -> DueRows:
    """``first`` orders the due rows as their index does, the oldest before all others, whose age ends at ``until``."""
    oldest = session.scalar(
        select(since).where(is_due).order_by(since if first is None else first).limit(1)
    )
    if oldest is None:
        return DueRows(0, None)
    # Clocks of two machines may differ.
    return DueRows(_count(session, table, is_due), max(0, (until - oldest) // timedelta(seconds=1)))


def _count(session: Session, table: Table, condition: ColumnElement[bool]) -> int:
    """How many rows meet a condition that an index serves, up to COUNTED_MAX."""
    some = select(literal(1)).select_from(table).where(condition).limit(COUNTED_MAX).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


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
    of_now = matchers.c.shards == settings.matcher_shards
    return [
        *(
            Reader(matcher(row.shard), Position.unpack(row.position), row.scanned_at)
            for row in session.execute(select(matchers).where(of_now).order_by(matchers.c.shard))
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
    is_open = (
        select(PAYMENT_ALERTS.c.kind)
        .where(PAYMENT_ALERTS.c.resolved_at.is_(None))
        .limit(COUNTED_MAX)
        .subquery()
    )
    return {
        str(kind): int(count)
        for kind, count in session.execute(
            select(is_open.c.kind, func.count()).group_by(is_open.c.kind)
        )
    }
