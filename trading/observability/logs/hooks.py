"""Hooks that log uncaught exceptions of the main thread, other threads and finalizers."""

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

log = structlog.get_logger(__name__)


def log_uncaught_exceptions() -> None:
    """Install the hooks; Python would print these exceptions in its own format."""
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


def _log_uncaught(
    kind: type[BaseException], fault: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, fault, traceback)
        return
    log.critical("uncaught_exception", exc_info=(kind, fault, traceback))


def _log_uncaught_in_thread(hook: threading.ExceptHookArgs) -> None:
    if hook.exc_value is None or issubclass(hook.exc_type, SystemExit):
        return
    thread = hook.thread.name if hook.thread else None
    log.critical(
        "uncaught_exception",
        thread=thread,
        exc_info=(hook.exc_type, hook.exc_value, hook.exc_traceback),
    )


def _log_unraisable(hook: "UnraisableHookArgs") -> None:
    """Log an exception that cannot propagate, for example from a finalizer."""
    if hook.exc_value is not None:
        place = hook.err_msg or "Exception ignored in"
        log.error(
            "exception_ignored",
            place=f"{place}: {type(hook.object).__name__}",
            exc_info=(hook.exc_type, hook.exc_value, hook.exc_traceback),
        )
