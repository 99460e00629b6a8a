"""Exceptions that nobody catches, in the main thread, in other threads and while Python clears up, as lines of the log."""

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

log = structlog.get_logger(__name__)


def log_uncaught_exceptions() -> None:
    """Python would write these to standard error itself, in many lines of another shape."""
    sys.excepthook = _process_died
    threading.excepthook = _thread_died
    sys.unraisablehook = _ignored


def _process_died(
    kind: type[BaseException], fault: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, fault, traceback)
        return
    log.critical("uncaught_exception", exc_info=(kind, fault, traceback))


def _thread_died(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is None or issubclass(told.exc_type, SystemExit):
        return
    thread = told.thread.name if told.thread else None
    log.critical(
        "uncaught_exception",
        thread=thread,
        exc_info=(told.exc_type, told.exc_value, told.exc_traceback),
    )


def _ignored(told: "UnraisableHookArgs") -> None:
    """What is raised where it can't go on, for example when an object is cleared away."""
    if told.exc_value is not None:
        place = told.err_msg or "Exception ignored in"
        log.error(
            "exception_ignored",
            place=f"{place}: {type(told.object).__name__}",
            exc_info=(told.exc_type, told.exc_value, told.exc_traceback),
        )
