"""A task as the worker's main process sees it: what its own process can't tell any more is counted here."""

from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import WorkerLostError
from celery.worker.request import Request

from trading.observability.metrics import instruments


class CountedRequest(Request):
    """Celery's own, which counts the tasks that were killed at the hard limit, and those whose process died."""

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001 - Celery's signature
        if not soft:
            instruments.record(instruments.TASKS, self.name, instruments.KILLED)
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> Any:
        if _is_loss(exc_info.exception):
            instruments.record(instruments.TASKS, self.name, instruments.LOST)
        return super().on_failure(exc_info, *arguments, **options)


def _is_loss(fault: object) -> bool:
    """Whether the process died or was told to: then it was not the task that failed."""
    cause = fault.exc if isinstance(fault, ExceptionWithTraceback) else fault
    return isinstance(cause, WorkerLostError | SystemExit | KeyboardInterrupt)
