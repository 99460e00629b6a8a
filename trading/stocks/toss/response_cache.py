"""Cache of upstream answers in Redis, with locks that elect the process to fetch a new one.

Redis is optional: while it is unavailable, every method raises CacheUnavailable immediately, and
callers query the source themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from redis import Redis, RedisError

from trading.circuit_breaker import CircuitBreaker, CircuitOpen
from trading.redis import keys

T = TypeVar("T")

# Each wait for an unavailable Redis costs a user half a second.
OPEN_S = 1.0

_RELEASE_LOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class CacheUnavailable(Exception):
    """Redis is unavailable."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Requests to a host are suspended for ``left_s`` more seconds."""

    reason: str
    left_s: int


class ResponseCache:
    """Cache in Redis. Every method raises CacheUnavailable on a timeout. Thread-safe."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._breaker = CircuitBreaker(open_s=OPEN_S)
        self._release_lock = redis.register_script(_RELEASE_LOCK)

    def get(self, subject: str) -> str | None:
        """Return the cached answer of a subject; None if there is none."""
        value = self._run(lambda: self._redis.get(keys.upstream_answer(subject)))
        return cast("str | None", value)

    def put(self, subject: str, answer: str, *, for_s: int) -> None:
        self._run(lambda: self._redis.set(keys.upstream_answer(subject), answer, ex=for_s))

    def acquire_lock(self, subject: str, owner: str, *, for_ms: int) -> bool:
        """Try to lock a subject for ``owner``, for at most ``for_ms``. Return True on success."""
        return bool(
            self._run(
                lambda: self._redis.set(keys.upstream_lock(subject), owner, nx=True, px=for_ms)
            )
        )

    def release_lock(self, subject: str, owner: str) -> None:
        """Release the lock if ``owner`` still holds it."""
        self._run(lambda: self._release_lock(keys=[keys.upstream_lock(subject)], args=[owner]))

    def pause(self, host: str, reason: str, *, for_s: int) -> None:
        """Suspend requests to a host."""
        self._run(lambda: self._redis.set(keys.upstream_pause(host), reason, ex=for_s))

    def current_pause(self, host: str) -> Pause | None:
        """Return the current pause of a host; None if requests are allowed."""

        def read_pause() -> tuple[str | None, int]:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.get(keys.upstream_pause(host))
                pipeline.ttl(keys.upstream_pause(host))
                reason, left_s = pipeline.execute()
                return reason, left_s

        reason, left_s = self._run(read_pause)
        return None if reason is None else Pause(reason, max(1, left_s))

    def _run(self, command: Callable[[], T]) -> T:
        try:
            self._breaker.admit()
            result = command()
        except CircuitOpen as fault:
            raise CacheUnavailable from fault
        except RedisError as fault:
            self._breaker.record_failure()
            raise CacheUnavailable from fault
        self._breaker.record_success()
        return result
