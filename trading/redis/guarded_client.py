"""Redis client for request counters, behind a circuit breaker.

Every request waits for these counters first. A hanging Redis may delay one request, not all.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import structlog
from redis import ConnectionPool, Redis, RedisError

from trading.circuit_breaker import CircuitBreaker, CircuitOpen
from trading.redis.client import connect

log = structlog.get_logger(__name__)

T = TypeVar("T")

OPEN_S = 2.0


class RedisUnavailable(Exception):
    """Redis does not respond, so nothing can be counted. ``retry_after_s`` is in whole seconds."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__()
        self.retry_after_s = math.ceil(retry_after_s)


class GuardedRedis:
    """Redis client with its own connections and a circuit breaker. Thread-safe."""

    def __init__(self, url: str, *, timeout_s: float, open_s: float = OPEN_S) -> None:
        self._redis = connect(url, timeout_s=timeout_s)
        self._open_s = open_s
        self._breaker = CircuitBreaker(open_s=open_s)

    def run(self, command: Callable[[Redis], T]) -> T:
        """Run ``command``. Raises RedisUnavailable if it fails or the circuit is open."""
        try:
            self._breaker.admit()
            result = command(self._redis)
        except CircuitOpen as refusal:
            raise RedisUnavailable(refusal.retry_after_s) from None
        except RedisError as fault:
            if self._breaker.record_failure():
                log.warning("rate_limit_store_lost", reason=type(fault).__name__)
            raise RedisUnavailable(self._open_s) from fault
        if self._breaker.record_success():
            log.info("rate_limit_store_restored")
        return result

    @property
    def connection_pool(self) -> "ConnectionPool":
        """The client's connections, for objects created elsewhere and passed to ``run``."""
        return self._redis.connection_pool

    def close(self) -> None:
        self._redis.close()
