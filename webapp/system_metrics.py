"""System status as Prometheus metrics: cached, in bounded time, each source independently."""

import math
import time
from collections.abc import Iterator
from datetime import datetime

import structlog
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import celery_config
from trading.bootstrap import Clock, Core
from trading.db.clock import utc_now
from trading.exchange.hours import AlwaysOpen, KrxHours, MarketHours
from trading.marketdata.health import FeedStatus
from trading.observability.metrics import families
from trading.operations.system_status import (
    DatabaseStatus,
    MarketStatus,
    QueuesStatus,
    SystemStatus,
    database_status,
    market_status,
    queues_status,
)
from trading.payments.alert_kinds import PaymentAlertKind
from trading.redis.client import connect_broker
from webapp.background_probe import BackgroundProbe

log = structlog.get_logger(__name__)

# Scrapes within this time share one result, so they do not load a database in trouble.
KEEP_S = 3.0
# Prometheus gives up after ten seconds (deploy/monitoring/prometheus.yml).
WAIT_S = 3.0


class SystemMetrics(Collector):
    """Collector of process metrics and the system status.

    If a source fails, its families are missing and METRICS_SOURCE_UP is 0 for it.
    """

    def __init__(
        self, core: Core, counted: Collector, *, keep_s: float = KEEP_S, wait_s: float = WAIT_S
    ) -> None:
        names = celery_config.queue_names(core.settings)
        broker = connect_broker(core.settings.broker_url)
        self._core = core
        self._counted = counted
        self._wait_s = wait_s
        # Used until the database has provided its time and the calendar's corrections.
        self._clock: Clock = utc_now
        self._hours: MarketHours = (
            AlwaysOpen() if core.settings.hours_rule == "always" else KrxHours({})
        )
        self._books: BackgroundProbe[DatabaseStatus] = BackgroundProbe(
            self._read_database, name="database", keep_s=keep_s
        )
        self._queues: BackgroundProbe[QueuesStatus] = BackgroundProbe(
            lambda: queues_status(broker, names), name="broker", keep_s=keep_s
        )
        self._market: BackgroundProbe[MarketStatus] = BackgroundProbe(
            self._read_market, name="market", keep_s=keep_s
        )

    def collect(self) -> Iterator[Metric]:
        """Yield the families of every source that answered."""
        counted = self._count()
        status = self._status()
        yield from counted or ()
        up = {
            "processes": counted is not None,
            "database": status.database is not None,
            "broker": status.queues is not None,
            "market": status.market is not None,
        }
        yield families.SOURCE_UP.read(((source,), is_up) for source, is_up in up.items())
        yield from families_of(status)

    def _count(self) -> list[Metric] | None:
        try:
            return list(self._counted.collect())
        except Exception as fault:  # noqa: BLE001 - files that are gone or broken must not hide the state of the whole
            log.warning("metrics_source_failed", source="processes", reason=type(fault).__name__)
            return None

    def _status(self) -> SystemStatus:
        until = time.monotonic() + self._wait_s
        for read in (self._books, self._queues, self._market):
            read.begin()
        books = self._books.result(within_s=until - time.monotonic())
        return SystemStatus(
            taken_at=self._clock(),
            database=books,
            queues=self._queues.result(within_s=until - time.monotonic()),
            market=self._market.result(within_s=until - time.monotonic()),
        )

    def _read_database(self) -> DatabaseStatus:
        core = self._core
        hours = core.market_hours()
        books = core.read(database_status, settings=core.settings, now=core.clock())
        self._clock, self._hours = core.clock, hours
        return books

    def _read_market(self) -> MarketStatus:
        self._books.result(within_s=self._wait_s / 2)
        return market_status(self._core.redis, hours=self._hours, now=self._clock())


def families_of(status: SystemStatus) -> Iterator[Metric]:
    """Yield the status as families, without sources that did not answer."""
    if status.database is not None:
        yield from _of_books(status.database, status.market, status.taken_at)
    if status.queues is not None:
        yield families.QUEUE_MESSAGES.read(
            ((queue,), length) for queue, length in status.queues.depths.items()
        )
        yield families.QUEUE_UNACKNOWLEDGED.value(status.queues.unacknowledged)
    if status.market is not None:
        yield from _of_market(status.market, status.taken_at)


def _of_books(
    books: DatabaseStatus, market: MarketStatus | None, now: datetime
) -> Iterator[Metric]:
    yield families.STAGE_DUE.read(((stage,), due.count) for stage, due in books.due.items())
    yield families.STAGE_OLDEST_AGE.read(
        ((stage,), due.oldest_age_s or 0) for stage, due in books.due.items()
    )
    yield families.READER_CAUGHT_UP_AGE.read(
        ((one.name,), _age_s(one.read_at, now)) for one in books.readers if one.read_at is not None
    )
    if market is not None:
        behind = {one.name: one.behind_s(market.stream_end) for one in books.readers}
        yield families.READER_LAG.read(
            ((name,), value) for name, value in behind.items() if value is not None
        )
    yield families.PAYMENT_ALERTS_OPEN.read(
        ((kind,), books.payment_alerts.get(kind, 0)) for kind in PaymentAlertKind
    )
    yield families.TRADING_HALTED.value(books.halted_since is not None)
    audit = books.audit
    yield families.AUDIT_BREACHES_OPEN.value(audit.breaches)
    yield families.ACCOUNTS_HALTED.value(audit.halted_accounts)
    yield families.AUDIT_ACCOUNTS_DUE.value(audit.accounts_due)
    yield families.AUDIT_LAST_RUN_AGE.value(
        math.inf if audit.run_at is None else _age_s(audit.run_at, now)
    )


def _of_market(market: MarketStatus, now: datetime) -> Iterator[Metric]:
    yield families.FEED_STATUS.read(((one,), market.diagnosis.status is one) for one in FeedStatus)
    yield families.MARKET_TRADING.value(market.trading)
    if market.health is not None and market.health.last_tick_at is not None:
        yield families.FEED_LAST_TICK_AGE.value(_age_s(market.health.last_tick_at, now))
    if market.events_repaired_at is not None:
        yield families.EVENTS_REPAIR_AGE.value(_age_s(market.events_repaired_at, now))


def _age_s(at: datetime, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds())
