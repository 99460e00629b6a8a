"""Task requests as seen by the worker's main process, which counts killed and lost tasks."""

import time
from collections.abc import Mapping
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import WorkerLostError
from celery.worker.request import Request

from trading.observability.metrics import instruments


class CountedRequest(Request):
    """Celery's request, counting tasks killed at the hard limit and tasks whose process died."""

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001 - Celery's signature
        if not soft:
            instruments.record(instruments.TASKS, self.name, instruments.KILLED)
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> Any:
        if _is_loss(exc_info.exception):
            instruments.record(instruments.TASKS, self.name, instruments.LOST)
        return super().on_failure(exc_info, *arguments, **options)


class PeriodicRequest(CountedRequest):
    """A request of a periodic task; its events go to Flower only at its end.

    Runs that found nothing send none: several times a second, they would push the tasks of orders
    off Flower's list.
    """

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's signature
        """Send an event that ends the task, after the one that introduces the task to Flower."""
        if not (self._eventer and self._eventer.enabled) or not _matters(type, fields):
            return
        introduction = {"name": self.name, "args": self.argsrepr, "kwargs": self.kwargsrepr}
        self._eventer.send(
            "task-received", uuid=self.id, timestamp=self.time_start or time.time(), **introduction
        )
        self._eventer.send(type, uuid=self.id, **fields)


def _matters(event: str, fields: Mapping[str, Any]) -> bool:
    # Celery passes the result as text. An expired message (revoked) is followed by the next one.
    if event == "task-succeeded":
        return str(fields["result"]) != repr(None)
    return event not in ("task-started", "task-revoked")


def _is_loss(fault: object) -> bool:
    """Return True if the process died or was stopped, so that the task itself did not fail."""
    cause = fault.exc if isinstance(fault, ExceptionWithTraceback) else fault
    return isinstance(cause, WorkerLostError | SystemExit | KeyboardInterrupt)
