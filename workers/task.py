"""What every task of ours is: named, timed, logged with its ids, and run on a trading core that belongs to this very process."""

import os
import time
from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

import structlog
from celery import Task
from celery.exceptions import Reject, Retry, SoftTimeLimitExceeded
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

import celery_config
from trading import core
from trading.core import Core
from trading.database.transactions import DatabaseUnavailable
from trading.market.quote_book import MarketUnavailable
from trading.queue import courier
from workers.application import SETTINGS, app

log = structlog.get_logger(__name__)

# Faults of the surroundings, which pass by themselves. Anything else is a fault of ours, and trying again would only repeat it.
TRANSIENT = (DatabaseUnavailable, MarketUnavailable)

RETRIES_MAX = 3
RETRY_BACKOFF_MAX_S = 20


class CoreTask(Task):
    """A task on the trading core.

    A transient fault is retried a few times with back-off and jitter. Whatever else goes wrong, the rows stay due and the recovery sweep brings
    them back, so a task never has to hold on to its message.
    """

    autoretry_for = TRANSIENT
    max_retries = RETRIES_MAX
    retry_backoff = True
    retry_backoff_max = RETRY_BACKOFF_MAX_S
    retry_jitter = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        clear_contextvars()
        bind_contextvars(task=self.name, task_id=self.request.id, request_id=getattr(self.request, "request_id", None))
        began = time.perf_counter()
        try:
            result = super().__call__(*args, **kwargs)
        except SoftTimeLimitExceeded:
            log.exception("task_ran_too_long", limit_s=self.soft_time_limit or celery_config.SOFT_TIME_LIMIT_S)
            return None
        except Retry as retry:
            log.warning("task_retried", reason=type(retry.exc).__name__, attempt=self.request.retries + 1)
            raise
        except Reject as rejected:
            # The broker took no message for a retry; the rows are still due.
            log.warning("task_not_retried", reason=type(rejected.reason).__name__)
            raise
        except TRANSIENT as fault:
            log.warning("task_faltered", reason=type(fault).__name__)
            raise
        except Exception:
            log.exception("task_failed")
            raise
        duration_ms = round((time.perf_counter() - began) * 1_000, 1)
        # A periodic task that found nothing to do answers None; twice a second that is no news.
        note = log.debug if result is None else log.info
        note("task_done", duration_ms=duration_ms, **(result if isinstance(result, dict) else {}))
        return result


def the_core() -> Core:
    """The trading core of this process. A pool's child is forked from a process that may have one, and connections can't be shared."""
    return _core_of(os.getpid())


@cache
def _core_of(_pid: int) -> Core:
    return core.build(SETTINGS, deliver=courier(_send))


def _send(task: str, ids: list[str]) -> None:
    headers = {"request_id": get_contextvars().get("request_id")}
    app.send_task(task, args=(ids,), retry=False, ignore_result=True, headers=headers)


def ids_of(texts: Sequence[str]) -> list[UUID]:
    """The ids that a message carries, sorted as they are locked."""
    return sorted(UUID(text) for text in texts)
