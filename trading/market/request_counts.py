"""Redis for counting what people ask for: each command is waited for a moment only, and after a failure none is for a while.

Requests wait for these counts before anything else is done for them. A Redis that is frozen may cost one of them a wait, but not each of them.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from redis import ConnectionPool, Redis, RedisError

from trading.market.connection import connect

log = structlog.get_logger(__name__)

T = TypeVar("T")

REST_S = 2.0


class CountsUnavailable(Exception):
    """Redis does not answer, so nothing can be counted. ``retry_after_s`` is when it is asked again, in whole seconds."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class RequestCounts:
    """A client of its own, and a circuit before it. Safe to share between threads.

    A failure opens the circuit. When it has rested, a single command is let through, and by what becomes of that it closes or rests again.
    """

    def __init__(self, url: str, *, timeout_s: float, rest_s: float = REST_S) -> None:
        self._redis = connect(url, timeout_s=timeout_s)
        self._rest_s = rest_s
        self._lock = threading.Lock()
        self._open = False
        self._rests_until = 0.0

    def run(self, command: Callable[[Redis], T]) -> T:
        """What the command makes of the client. Raises CountsUnavailable, at once while the circuit is open."""
        if self._open:
            self._wait_ones_turn()
        try:
            result = command(self._redis)
        except RedisError as fault:
            self._rest(fault)
            raise CountsUnavailable(round(self._rest_s)) from fault
        if self._open:
            self._open = False
            log.info("request_counts_back")
        return result

    @property
    def connection_pool(self) -> "ConnectionPool":
        """The client's connections, for what is made of them elsewhere and then handed to ``run``."""
        return self._redis.connection_pool

    def close(self) -> None:
        self._redis.close()

    def _wait_ones_turn(self) -> None:
        with self._lock:
            left_s = self._rests_until - time.monotonic()
            if self._open and left_s > 0:
                raise CountsUnavailable(max(1, round(left_s)))
            # Whoever comes meanwhile finds the circuit resting.
            self._rests_until = time.monotonic() + self._rest_s

    def _rest(self, fault: RedisError) -> None:
        with self._lock:
            if not self._open:
                log.warning("request_counts_away", reason=type(fault).__name__)
            self._open = True
            self._rests_until = time.monotonic() + self._rest_s
