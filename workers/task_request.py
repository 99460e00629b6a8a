"""Task requests as seen by the worker's main process, which counts killed and lost tasks."""

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


def _is_loss(fault: object) -> bool:
    """Return True if the process died or was stopped, so that the task itself did not fail."""
    cause = fault.exc if isinstance(fault, ExceptionWithTraceback) else fault
    return isinstance(cause, WorkerLostError | SystemExit | KeyboardInterrupt)
