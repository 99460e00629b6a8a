"""What every task of ours is: named, timed, logged with its ids, and run on a trading core that belongs to this very process."""

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

# Faults of the surroundings, which pass by themselves. Anything else is a fault of ours, and trying again would only repeat it.
TRANSIENT = (DatabaseUnavailable, MarketUnavailable)

RETRIES_MAX = 3
RETRY_BACKOFF_MAX_S = 20


class TaskResult(NamedTuple):
    """What a task did: figures, which Flower shows too, and the rows that it worked on, which only the log tells."""

    figures: dict[str, Any]
    ids: Mapping[str, Sequence[object]]


def done(*worked_on: AffectedIds, **figures: Any) -> TaskResult:
    """What a task did, in one transaction or in several."""
    ids: defaultdict[str, list[object]] = defaultdict(list)
    for one in worked_on:
        for field in fields(one):
            ids[field.name] += getattr(one, field.name)
    return TaskResult(figures, ids)


class CoreTask(Task):
    """A task on the trading core.

    A transient fault is retried a few times with back-off and jitter. Whatever else goes wrong, the rows stay due and the recovery sweep brings
    them back, so a task never has to hold on to its message.
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
        asked = log_fields(self.name, args[0]) if args and isinstance(args[0], list) else {}
        began = time.perf_counter()
        outcome: str | None = None
        instruments.record(instruments.TASKS_RUNNING, self.name)
        try:
            result = super().__call__(*args, **kwargs)
            outcome = instruments.DONE if _did_something(result) else instruments.NOTHING
        except SoftTimeLimitExceeded:
            outcome = instruments.TIMED_OUT
            log_with_ids(
                log.exception,
                "task_timed_out",
                asked,
                limit_s=self.soft_time_limit or celery_config.SOFT_TIME_LIMIT_S,
            )
            return None
        except Retry as retry:
            outcome = instruments.RETRIED
            log_with_ids(
                log.warning,
                "task_retried",
                asked,
                reason=type(retry.exc).__name__,
                attempt=self.request.retries + 1,
            )
            raise
        except Reject as rejected:
            # The broker took no message for a retry; the rows are still due.
            outcome = instruments.FAILED
            log_with_ids(
                log.warning, "task_retry_not_queued", asked, reason=type(rejected.reason).__name__
            )
            raise
        except TRANSIENT as fault:
            outcome = instruments.FAILED
            log_with_ids(log.warning, "task_retries_exhausted", asked, reason=type(fault).__name__)
            raise
        except Exception:
            outcome = instruments.FAILED
            log_with_ids(log.exception, "task_failed", asked)
            raise
        finally:
            seconds = time.perf_counter() - began
            instruments.record(instruments.TASKS_RUNNING, self.name, value=-1)
            # Without an outcome the process ends too, and the worker's main process counts the task.
            if outcome is not None:
                instruments.record(instruments.TASKS, self.name, outcome)
                instruments.record(instruments.TASK_DURATION, self.name, outcome, value=seconds)
        duration_ms = round((time.perf_counter() - began) * 1_000, 1)
        # A periodic task that found nothing to do answers None; twice a second that is no news.
        figures, ids = result if isinstance(result, TaskResult) else (result or {}, {})
        log_with_ids(
            log.debug if result is None else log.info,
            "task_done",
            ids,
            duration_ms=duration_ms,
            **figures,
        )
        # Flower shows this: of many figures most are nought.
        return {name: figure for name, figure in figures.items() if figure} or None

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """As Celery's, with what Flower shows of the ids. Retries and beat come this way."""
        if not args or isinstance(args[0], list):
            options.setdefault("argsrepr", describe_ids(self.name, args[0]) if args else "")
        return super().apply_async(args, kwargs, **options)


def _did_something(result: object) -> bool:
    """Whether a task found something to do, by what it tells: nothing at all, or how much of what."""
    figures = result.figures if isinstance(result, TaskResult) else result
    return any(figures.values()) if isinstance(figures, dict) else figures is not None


def get_core() -> Core:
    """The trading core of this process. A pool's child is forked from a process that may have one, and connections can't be shared."""
    return _core_of(os.getpid())


@cache
def _core_of(_pid: int) -> Core:
    return bootstrap.build(SETTINGS, deliver=task_dispatcher(_send, lost=_lost))


def _lost(task: str, count: int) -> None:
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
    """The ids that a message carries, sorted as they are locked."""
    return sorted(UUID(text) for text in texts)
