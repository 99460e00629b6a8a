"""Base class of all tasks: named, timed, logged with ids, and run on the process's own core."""

import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from celery import Task
from celery.exceptions import Reject, Retry, SoftTimeLimitExceeded
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

import celery_config
from trading import bootstrap
from trading.bootstrap import Core
from trading.db.transactions import DatabaseUnavailable
from trading.marketdata.quotes import MarketUnavailable
from trading.observability.logs.ids import log_with_ids
from trading.observability.metrics import instruments
from trading.tasks import AffectedIds, describe_ids, log_fields, task_dispatcher
from workers.application import SETTINGS, app

log = structlog.get_logger(__name__)

# Failures of the environment, which pass. Retrying anything else would only repeat a bug.
TRANSIENT = (DatabaseUnavailable, MarketUnavailable)

RETRIES_MAX = 3
RETRY_BACKOFF_MAX_S = 20


class TaskResult(NamedTuple):
    """Result of a task: figures, also shown in Flower, and ids of the rows, only for the log."""

    figures: dict[str, Any]
    ids: Mapping[str, Sequence[object]]


def task_result(*affected: AffectedIds, **figures: Any) -> TaskResult:
    """Return the result of one or several transactions."""
    ids: defaultdict[str, list[object]] = defaultdict(list)
    for one in affected:
        for field in fields(one):
            ids[field.name] += getattr(one, field.name)
    return TaskResult(figures, ids)


class _Failure(NamedTuple):
    """How a failed task is counted and logged."""

    outcome: str
    event: str
    with_traceback: bool


# The first matching type applies.
_FAILURES: Mapping[type[Exception], _Failure] = {
    SoftTimeLimitExceeded: _Failure(instruments.TIMED_OUT, "task_timed_out", with_traceback=True),
    Retry: _Failure(instruments.RETRIED, "task_retried", with_traceback=False),
    # The broker accepted no message for a retry; the rows are still due.
    Reject: _Failure(instruments.FAILED, "task_retry_not_queued", with_traceback=False),
    **dict.fromkeys(
        TRANSIENT, _Failure(instruments.FAILED, "task_retries_exhausted", with_traceback=False)
    ),
    Exception: _Failure(instruments.FAILED, "task_failed", with_traceback=True),
}


class CoreTask(Task):
    """A task on the trading core.

    Transient failures are retried a few times with back-off and jitter. After any other failure the
    rows stay due and the recovery sweep dispatches them again, so a task never has to keep its
    message.
    """

    Request = "workers.task_request:CountedRequest"
    autoretry_for = TRANSIENT
    max_retries = RETRIES_MAX
    retry_backoff = True
    retry_backoff_max = RETRY_BACKOFF_MAX_S
    retry_jitter = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        clear_contextvars()
        bind_contextvars(task=self.name, task_id=self.request.id)
        if request_id := getattr(self.request, "request_id", None):
            bind_contextvars(request_id=request_id)
        ids = log_fields(self.name, args[0]) if args and isinstance(args[0], list) else {}
        began = time.perf_counter()
        outcome: str | None = None
        instruments.record(instruments.TASKS_RUNNING, self.name)
        try:
            result = super().__call__(*args, **kwargs)
            outcome = instruments.DONE if _did_something(result) else instruments.NOTHING
        except Exception as fault:
            outcome = self._log_failure(fault, ids)
            if isinstance(fault, SoftTimeLimitExceeded):
                return None
            raise
        finally:
            seconds = time.perf_counter() - began
            instruments.record(instruments.TASKS_RUNNING, self.name, value=-1)
            # Without an outcome the process is ending, and the worker's main process counts it.
            if outcome is not None:
                instruments.record(instruments.TASKS, self.name, outcome)
                instruments.record(instruments.TASK_DURATION, self.name, outcome, value=seconds)
        return _log_result(result, duration_ms=round((time.perf_counter() - began) * 1_000, 1))

    def _log_failure(self, fault: Exception, ids: Mapping[str, Sequence[object]]) -> str:
        """Log how a task failed; return the outcome to count."""
        failure = next(failure for kind, failure in _FAILURES.items() if isinstance(fault, kind))
        facts: dict[str, object] = {}
        match fault:
            case SoftTimeLimitExceeded():
                facts["limit_s"] = self.soft_time_limit or celery_config.SOFT_TIME_LIMIT_S
            case Retry():
                facts["reason"] = type(fault.exc).__name__
                facts["attempt"] = self.request.retries + 1
            case Reject():
                facts["reason"] = type(fault.reason).__name__
            case DatabaseUnavailable() | MarketUnavailable():
                facts["reason"] = type(fault).__name__
        write = log.exception if failure.with_traceback else log.warning
        log_with_ids(write, failure.event, ids, **facts)
        return failure.outcome

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send the task with its ids described for Flower; retries and beat use this method too."""
        if not args or isinstance(args[0], list):
            options.setdefault("argsrepr", describe_ids(self.name, args[0]) if args else "")
        return super().apply_async(args, kwargs, **options)


class PeriodicTask(CoreTask):
    """A task that finds its own work; Flower shows only runs that found some, or failed."""

    Request = "workers.task_request:PeriodicRequest"
    send_events = False  # Celery's own events; `PeriodicRequest` sends them.


def _log_result(result: Any, *, duration_ms: float) -> dict[str, Any] | None:
    """Log what a task did; return the figures that Flower shows, without the zeros."""
    figures, ids = result if isinstance(result, TaskResult) else (result or {}, {})
    # A periodic task that found nothing returns None, as often as twice a second: not logged.
    write = log.debug if result is None else log.info
    log_with_ids(write, "task_done", ids, duration_ms=duration_ms, **figures)
    return {name: figure for name, figure in figures.items() if figure} or None


def _did_something(result: object) -> bool:
    """Return True if the result is not empty and not all zeros."""
    figures = result.figures if isinstance(result, TaskResult) else result
    return any(figures.values()) if isinstance(figures, dict) else figures is not None


def get_core() -> Core:
    """Return this process's core. Forked pool children must not share connections."""
    return _core_of(os.getpid())


@cache
def _core_of(_pid: int) -> Core:
    return bootstrap.build(SETTINGS, deliver=task_dispatcher(_send, lost=_count_failed_dispatch))


def _count_failed_dispatch(task: str, count: int) -> None:
    instruments.record(instruments.TASK_DISPATCH_FAILURES, task, value=count)


def _send(task: str, ids: list[str]) -> None:
    headers = {"request_id": get_contextvars().get("request_id")}
    app.send_task(
        task,
        args=(ids,),
        argsrepr=describe_ids(task, ids),
        retry=False,
        ignore_result=True,
        headers=headers,
    )


def ids_of(texts: Sequence[str]) -> list[UUID]:
    """Return the message's ids, sorted in lock order."""
    return sorted(UUID(text) for text in texts)
