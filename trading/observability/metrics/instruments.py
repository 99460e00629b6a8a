"""Prometheus instruments. Recording a metric never raises.

Every instrument has labels: without any, its values would be created on import, before it is
decided whether they are shared between processes (trading.observability.metrics.multiprocess).
"""

from collections.abc import Iterable
from functools import cache

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trading.observability.metrics import families
from trading.observability.metrics.families import Family

log = structlog.get_logger(__name__)

# Values recorded by this process alone, even if files are shared.
REGISTRY = CollectorRegistry()

DONE, NOTHING, RETRIED, FAILED = "done", "nothing", "retried", "failed"
TIMED_OUT, KILLED, LOST = "timed-out", "killed", "lost"
OUTCOMES = (DONE, NOTHING, RETRIED, FAILED, TIMED_OUT, KILLED, LOST)


def _counter(family: Family) -> Counter:
    return Counter(family.name, family.help, family.labels, registry=REGISTRY)


def _gauge(family: Family) -> Gauge:
    # A dead process runs no tasks.
    return Gauge(
        family.name, family.help, family.labels, registry=REGISTRY, multiprocess_mode="livesum"
    )


def _histogram(family: Family) -> Histogram:
    return Histogram(
        family.name, family.help, family.labels, registry=REGISTRY, buckets=family.buckets
    )


REQUEST_DURATION = _histogram(families.HTTP_REQUEST_DURATION)
REQUESTS_IN_FLIGHT = _gauge(families.HTTP_REQUESTS_IN_FLIGHT)
PROBLEMS = _counter(families.PROBLEMS)
ORDERS_ACCEPTED = _counter(families.ORDERS_ACCEPTED)
ORDERS_ENDED = _counter(families.ORDERS_ENDED)
FILLS = _counter(families.FILLS)
EXECUTIONS_BOOKED = _counter(families.EXECUTIONS_BOOKED)
PAYMENT_CHECKS = _counter(families.PAYMENT_CHECKS)
REFUNDS_FINISHED = _counter(families.REFUNDS_FINISHED)
TASKS = _counter(families.TASKS)
TASK_DURATION = _histogram(families.TASK_DURATION)
TASKS_RUNNING = _gauge(families.TASKS_RUNNING)
TASK_DISPATCH_FAILURES = _counter(families.TASK_DISPATCH_FAILURES)
SWEEP_OVERDUE_ROWS = _counter(families.SWEEP_OVERDUE_ROWS)
TRANSACTIONS_RETRIED = _counter(families.TRANSACTIONS_RETRIED)
TICKS_READ = _counter(families.TICKS_READ)
TICK_GAPS = _counter(families.TICK_GAPS)
BASE_PRICE_JUMPS = _counter(families.BASE_PRICE_JUMPS)
BEAT_MESSAGES = _counter(families.BEAT_MESSAGES)


def record(instrument: Counter | Gauge | Histogram, *labels: object, value: float = 1) -> None:
    """Add ``value`` to a counter or gauge, or observe it in a histogram.

    Failures, such as a full disk, are logged and lose the value; they never fail a request or task.
    """
    try:
        child = instrument.labels(*labels)
        if isinstance(child, Histogram):
            child.observe(value)
        else:
            child.inc(value)
    except Exception as fault:  # noqa: BLE001 - the work goes on
        _warn_once(f"{type(fault).__name__}: {fault}")


@cache
def _warn_once(reason: str) -> None:
    log.warning("metrics_update_failed", reason=reason)


def initialise_series(
    *, codes: Iterable[str] = (), tasks: Iterable[str] = (), sent: Iterable[str] = ()
) -> None:
    """Create these series with 0: Prometheus sees no increase in a series that starts with 1."""
    for code in codes:
        record(PROBLEMS, code, value=0)
    for task in tasks:
        record(TASK_DISPATCH_FAILURES, task, value=0)
        for outcome in OUTCOMES:
            record(TASKS, task, outcome, value=0)
    for task in sent:
        record(BEAT_MESSAGES, task, value=0)


def record_ticks(reader: str, ticks: int, *, gap: bool) -> None:
    """Record one read of the tick stream, and whether ticks were lost before it."""
    record(TICKS_READ, reader, value=ticks)
    record(TICK_GAPS, reader, value=int(gap))
