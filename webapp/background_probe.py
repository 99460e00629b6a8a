"""A question that many may ask and that may hang: it is asked by one at a time, seldom, and nobody waits long for its answer."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")


class BackgroundProbe(Generic[T]):
    """Asks ``look`` on a thread of its own, one at a time, and not again within ``keep_s``."""

    def __init__(self, look: Callable[[], T], *, name: str, keep_s: float) -> None:
        self._look = look
        self._name = name
        self._keep_s = keep_s
        self._changed = threading.Condition()
        self._looking = False
        self._answer: T | None = None
        self._answered_at = float("-inf")

    def begin(self) -> None:
        """Ask, unless that is being done or was done just now."""
        with self._changed:
            if self._looking or self._is_good():
                return
            self._looking = True
        threading.Thread(target=self._run, name=f"look-{self._name}", daemon=True).start()

    def answer(self, *, within_s: float) -> T | None:
        """The answer to what was begun; None when that failed, or does not come in time."""
        with self._changed:
            return (
                self._answer
                if self._changed.wait_for(lambda: not self._looking, within_s)
                else None
            )

    def _is_good(self) -> bool:
        return time.monotonic() - self._answered_at < self._keep_s

    def _run(self) -> None:
        answer: T | None = None
        try:
            answer = self._look()
        except Exception as fault:  # noqa: BLE001 - whatever is wrong with a source, its answer is missing and the others come
            log.warning("metrics_source_failed", source=self._name, reason=type(fault).__name__)
        with self._changed:
            self._looking = False
            # That it failed is an answer too: what is in trouble is not asked more often.
            self._answer, self._answered_at = answer, time.monotonic()
            self._changed.notify_all()
