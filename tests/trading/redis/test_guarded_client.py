"""GuardedRedis: an outage delays one request, and the circuit closes by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey, wait_until
from trading.redis.guarded_client import GuardedRedis, RedisUnavailable


class CountingCommand:
    """Redis command that counts how often it was sent."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, redis: "Redis") -> object:
        self.sent += 1
        return redis.incr("counted")


@contextmanager
def guarded_redis(
    url: str, *, timeout_s: float = DEADLINE_S, open_s: float
) -> Iterator[GuardedRedis]:
    counts = GuardedRedis(url, timeout_s=timeout_s, open_s=open_s)
    try:
        yield counts
    finally:
        counts.close()


def is_rejected(counts: GuardedRedis, count: CountingCommand) -> bool:
    try:
        counts.run(count)
    except RedisUnavailable as refusal:
        return refusal.retry_after_s >= 1
    return False


def test_only_the_first_request_waits_for_a_frozen_redis(
    valkey_server: Valkey, valkey_url: str
) -> None:
    """The next ones are rejected without a call to Redis."""
    count = CountingCommand()
    with guarded_redis(valkey_url, timeout_s=0.5, open_s=3_600) as counts:
        valkey_server.pause()
        try:
            assert all(is_rejected(counts, count) for _ in range(50))
        finally:
            valkey_server.resume()
    assert count.sent == 1


def test_circuit_closes_after_redis_restarts(valkey_server: Valkey, valkey_url: str) -> None:
    count = CountingCommand()
    with guarded_redis(valkey_url, open_s=0.5) as counts:
        assert not is_rejected(counts, count)
        valkey_server.stop()
        try:
            assert is_rejected(counts, count)
        finally:
            valkey_server.start()
        wait_until(lambda: not is_rejected(counts, count), what="the circuit is closed")


def test_exception_of_the_caller_does_not_open_the_circuit(valkey_url: str) -> None:
    with guarded_redis(valkey_url, open_s=3_600) as counts:
        with pytest.raises(ZeroDivisionError):
            counts.run(lambda _redis: 1 // 0)

        assert not is_rejected(counts, CountingCommand())
