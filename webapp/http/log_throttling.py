"""Limit the log lines that clients can cause with refused attempts."""

import threading
import time
from typing import Any

import structlog

log = structlog.get_logger(__name__)

LINES_PER_MINUTE = 20
_MINUTE_S = 60.0


class RefusedAttemptLog:
    """Logs refused attempts of one process, at most LINES_PER_MINUTE per minute. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute_ends_at = 0.0
        self._written = 0
        self._suppressed = 0

    def warn(self, event: str, **facts: Any) -> None:
        """Log a warning unless this minute's lines are used up.

        The first line of the next minute has the number of suppressed lines in `left_out`.
        """
        with self._lock:
            now = time.monotonic()
            if now >= self._minute_ends_at:
                self._minute_ends_at, self._written = now + _MINUTE_S, 0
            if self._written >= LINES_PER_MINUTE:
                self._suppressed += 1
                return
            self._written += 1
            left_out, self._suppressed = self._suppressed, 0
        log.warning(event, **facts, **({"left_out": left_out} if left_out else {}))
