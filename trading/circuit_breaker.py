"""A circuit breaker: stop calling a dependency that fails, and try it again by single calls."""

import threading
import time
from collections.abc import Callable


class CircuitOpen(Exception):
    """The dependency may not be called now. ``retry_after_s`` is when it may be tried again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class CircuitBreaker:
    """Count failures in a row; after ``failures_max`` of them, admit one call per ``open_s``.

    A success closes the circuit again. An admitted call whose outcome is never recorded delays the
    next one by ``open_s``. Threads may share it. ``clock`` counts seconds and never runs backwards.
    """

    def __init__(
        self,
        *,
        open_s: float,
        failures_max: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_s = open_s
        self._failures_max = failures_max
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until = 0.0

    def admit(self) -> None:
        """Return if a call may be made now; raise CircuitOpen otherwise."""
        if self._failures < self._failures_max:
            return
        with self._lock:
            now = self._clock()
            if self._failures >= self._failures_max and now < self._open_until:
                raise CircuitOpen(self._open_until - now)
            self._open_until = now + self._open_s

    def record_success(self) -> bool:
        """Close the circuit. Return whether it was open."""
        if not self._failures:
            return False
        with self._lock:
            was_open = self._failures >= self._failures_max
            self._failures = 0
            return was_open

    def record_failure(self) -> bool:
        """Count a failure. Return whether it opened the circuit."""
        with self._lock:
            self._failures += 1
            self._open_until = self._clock() + self._open_s
            return self._failures == self._failures_max
