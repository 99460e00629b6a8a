"""Counting: what edges call where something happened. Nothing of it waits, and nothing of it ever fails its caller.

No family here is without labels: those would make their values when this is imported, and whether they are shared between processes is decided
later (trading.metrics.sharing).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import ParamSpec

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trading.metrics import families
from trading.metrics.families import Family

log = structlog.get_logger(__name__)

P = ParamSpec("P")

# What this process has counted; of one that shares its work only its own part.
COUNTED = CollectorRegistry()

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
NO_RULE = "none"
# The reason of an order that has none, as it was filled.
FILLED = "filled"

DONE, NOTHING, RETRIED, FAILED = "done", "nothing", "retried", "failed"
TOO_LONG, KILLED, LOST = "too-long", "killed", "lost"
OUTCOMES = (DONE, NOTHING, RETRIED, FAILED, TOO_LONG, KILLED, LOST)


def _counter(family: Family) -> Counter:
    return Counter(family.name, family.help, family.labels, registry=COUNTED)


def _gauge(family: Family) -> Gauge:
    # Of a process that has died nothing is under way any more.
    return Gauge(
        family.name, family.help, family.labels, registry=COUNTED, multiprocess_mode="livesum"
    )


def _histogram(family: Family) -> Histogram:
    return Histogram(
        family.name, family.help, family.labels, registry=COUNTED, buckets=family.buckets
    )


_REQUEST_DURATION = _histogram(families.HTTP_REQUEST_DURATION)
_REQUESTS_IN_FLIGHT = _gauge(families.HTTP_REQUESTS_IN_FLIGHT)
PROBLEMS = _counter(families.PROBLEMS)
_ORDERS_ACCEPTED = _counter(families.ORDERS_ACCEPTED)
_ORDERS_ENDED = _counter(families.ORDERS_ENDED)
_FILLS = _counter(families.FILLS)
_EXECUTIONS_BOOKED = _counter(families.EXECUTIONS_BOOKED)
_PAYMENT_LOOKS = _counter(families.PAYMENT_LOOKS)
_REFUNDS_FINISHED = _counter(families.REFUNDS_FINISHED)
_TASKS = _counter(families.TASKS)
_TASK_DURATION = _histogram(families.TASK_DURATION)
_TASKS_RUNNING = _gauge(families.TASKS_RUNNING)
_WAKEUPS_LOST = _counter(families.WAKEUPS_LOST)
_SWEEP_FOUND = _counter(families.SWEEP_FOUND)
_TRANSACTIONS_RETRIED = _counter(families.TRANSACTIONS_RETRIED)
_TICKS_READ = _counter(families.TICKS_READ)
_TICK_GAPS = _counter(families.TICK_GAPS)
BEAT_MESSAGES = _counter(families.BEAT_MESSAGES)


def harmless(count: Callable[P, None]) -> Callable[P, None]:
    """What counts, without ever failing its caller: a full disk or a vanished file costs figures, and neither a request nor a task."""
    told = False

    @wraps(count)
    def counted(*args: P.args, **kwargs: P.kwargs) -> None:
        nonlocal told
        try:
            count(*args, **kwargs)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the work goes on
            if not told:
                told = True
                log.warning(
                    "metrics_not_counted",
                    what=count.__name__,
                    reason=f"{type(fault).__name__}: {fault}",
                )

    return counted


@harmless
def begin_with_zero(
    *, codes: Iterable[str] = (), tasks: Iterable[str] = (), sent: Iterable[str] = ()
) -> None:
    """Tell these problems, tasks and messages of beat before there are any: Prometheus sees no increase in a series that begins with 1."""
    for code in codes:
        PROBLEMS.labels(code)
    for task in tasks:
        _WAKEUPS_LOST.labels(task)
        for outcome in OUTCOMES:
            _TASKS.labels(task, outcome)
    for task in sent:
        BEAT_MESSAGES.labels(task)


@harmless
def request_began(method: str) -> None:
    _REQUESTS_IN_FLIGHT.labels(_known(method)).inc()


@harmless
def request_ended(method: str) -> None:
    _REQUESTS_IN_FLIGHT.labels(_known(method)).dec()


@harmless
def request_answered(method: str, rule: str | None, status: int, *, seconds: float) -> None:
    _REQUEST_DURATION.labels(_known(method), rule or NO_RULE, status).observe(seconds)


@harmless
def problem_answered(code: str) -> None:
    PROBLEMS.labels(code).inc()


@harmless
def order_accepted(side: str, order_type: str) -> None:
    _ORDERS_ACCEPTED.labels(side, order_type).inc()


@harmless
def orders_ended(status: str, reason: str, count: int = 1) -> None:
    if count:
        _ORDERS_ENDED.labels(status, reason).inc(count)


@harmless
def fills_recorded(fills: Mapping[tuple[str, str], int]) -> None:
    """Fills by their side and rule."""
    for (side, rule), count in fills.items():
        _FILLS.labels(side, rule).inc(count)


@harmless
def executions_booked(stage: str, count: int) -> None:
    if count:
        _EXECUTIONS_BOOKED.labels(stage).inc(count)


@harmless
def payment_looked_at(action: str | None) -> None:
    """A look at a payment; without an action PortOne gave no answer that says anything."""
    _PAYMENT_LOOKS.labels(action or "unanswered").inc()


@harmless
def refund_finished(status: str) -> None:
    _REFUNDS_FINISHED.labels(status).inc()


@harmless
def task_began(task: str) -> None:
    _TASKS_RUNNING.labels(task).inc()


@harmless
def task_ended(task: str, outcome: str | None, *, seconds: float) -> None:
    """A task came to an end of its own; without an outcome its process ends with it, and the worker's main process counts it."""
    _TASKS_RUNNING.labels(task).dec()
    if outcome is not None:
        _TASKS.labels(task, outcome).inc()
        _TASK_DURATION.labels(task, outcome).observe(seconds)


@harmless
def task_was_ended(task: str, outcome: str) -> None:
    """A task was killed or lost with its process, whose running tasks are forgotten with it."""
    _TASKS.labels(task, outcome).inc()


@harmless
def wakeups_lost(task: str, count: int) -> None:
    _WAKEUPS_LOST.labels(task).inc(count)


@harmless
def sweep_found(stage: str, count: int) -> None:
    """What a sweep found; with none, too, so that the first find is an increase."""
    _SWEEP_FOUND.labels(stage).inc(count)


@harmless
def transaction_retried(reason: str) -> None:
    _TRANSACTIONS_RETRIED.labels(reason).inc()


@harmless
def ticks_read(reader: str, ticks: int, *, gap: bool) -> None:
    _TICKS_READ.labels(reader).inc(ticks)
    _TICK_GAPS.labels(reader).inc(int(gap))


@harmless
def beat_message_sent(task: str) -> None:
    BEAT_MESSAGES.labels(task).inc()


def _known(method: str) -> str:
    """A client may call a method whatever it likes."""
    return method if method in METHODS else OTHER
