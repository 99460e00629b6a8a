"""Answers of a slow source, kept in Redis for all processes, and whose turn it is to ask for a new one.

Redis is optional here: while it does not answer, every method raises CacheUnavailable at once, and
callers query the source themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis, RedisError

from trading.circuit_breaker import CircuitBreaker, CircuitOpen
from trading.redis import keys

# Each wait for a Redis that is away costs a user half a second.
OPEN_S = 1.0

_END_TURN = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class CacheUnavailable(Exception):
    """Redis does not answer."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Nobody may ask a host now. ``left_s`` is for how long."""

    reason: str
    left_s: int


class AnswerCache:
    """Every method raises CacheUnavailable when Redis does not answer within the client's timeout. Safe to share between threads."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._breaker = CircuitBreaker(open_s=OPEN_S)
        self._end_turn = redis.register_script(_END_TURN)

    def look(self, subject: str) -> str | None:
        """What was kept of a subject; None when nothing was, or no more."""
        value = self._do(lambda: self._redis.get(keys.upstream_answer(subject)))
        return cast("str | None", value)

    def keep(self, subject: str, answer: str, *, for_s: int) -> None:
        self._do(lambda: self._redis.set(keys.upstream_answer(subject), answer, ex=for_s))

    def take_turn(self, subject: str, who: str, *, for_ms: int) -> bool:
        """Whether it is ``who``'s turn to ask now; it is until ``end_turn``, and for so long at most."""
        return bool(
            self._do(lambda: self._redis.set(keys.upstream_turn(subject), who, nx=True, px=for_ms))
        )

    def end_turn(self, subject: str, who: str) -> None:
        """Let another ask; nothing if it is another's turn already."""
        self._do(lambda: self._end_turn(keys=[keys.upstream_turn(subject)], args=[who]))

    def pause(self, host: str, reason: str, *, for_s: int) -> None:
        """Have nobody ask a host for so long."""
        self._do(lambda: self._redis.set(keys.upstream_pause(host), reason, ex=for_s))

    def pause_of(self, host: str) -> Pause | None:
        """The pause that a host is in; None while it may be asked."""

        def ask() -> list[Any]:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.get(keys.upstream_pause(host))
                pipeline.ttl(keys.upstream_pause(host))
                return list(pipeline.execute())

        reason, left_s = self._do(ask)
        return None if reason is None else Pause(reason, max(1, left_s))

    def _do(self, command: Callable[[], Any]) -> Any:
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
