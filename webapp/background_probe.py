"""Run a slow probe in a background thread: one at a time, cached, with a bounded wait."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")


class BackgroundProbe(Generic[T]):
    """Runs `probe` in its own thread, one run at a time, at most once per `keep_s` seconds."""

    def __init__(self, probe: Callable[[], T], *, name: str, keep_s: float) -> None:
        self._probe = probe
        self._name = name
        self._keep_s = keep_s
        self._changed = threading.Condition()
        self._running = False
        self._result: T | None = None
        self._finished_at = float("-inf")

    def begin(self) -> None:
        """Start a run unless one is in progress or the last result is still valid."""
        with self._changed:
            if self._running or self._is_fresh():
                return
            self._running = True
        threading.Thread(target=self._run, name=f"probe-{self._name}", daemon=True).start()

    def result(self, *, within_s: float) -> T | None:
        """Return the result of the run; None if it failed or does not finish within `within_s`
        seconds.
        """
        with self._changed:
            return (
                self._result
                if self._changed.wait_for(lambda: not self._running, within_s)
                else None
            )

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._finished_at < self._keep_s

    def _run(self) -> None:
        result: T | None = None
        try:
            result = self._probe()
        except Exception as fault:  # noqa: BLE001 - any failure only removes this source
            log.warning("metrics_source_failed", source=self._name, reason=type(fault).__name__)
        with self._changed:
            self._running = False
            # A failure is cached too, so that a failing source is not probed more often.
            self._result, self._finished_at = result, time.monotonic()
            self._changed.notify_all()
