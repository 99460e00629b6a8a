"""Lines about what was tried and refused, of which somebody may cause any number: so many a minute are written, and then how many were not."""

import threading
import time
from typing import Any

import structlog

log = structlog.get_logger(__name__)

LINES_PER_MINUTE = 20
_MINUTE_S = 60.0


class RefusedAttempts:
    """Writes the lines of one process. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute_ends_at = 0.0
        self._written = 0
        self._left_out = 0

    def tell(self, event: str, **facts: Any) -> None:
        """Write a line, unless this minute has had its share; the first of the next minute says how many had to be left out."""
        with self._lock:
            now = time.monotonic()
            if now >= self._minute_ends_at:
                self._minute_ends_at, self._written = now + _MINUTE_S, 0
            if self._written >= LINES_PER_MINUTE:
                self._left_out += 1
                return
            self._written += 1
            left_out, self._left_out = self._left_out, 0
        log.warning(event, **facts, **({"left_out": left_out} if left_out else {}))
