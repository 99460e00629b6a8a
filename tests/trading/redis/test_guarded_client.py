"""A Redis that is away costs who counts a wait once, and comes back by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey, wait_until
from trading.redis.guarded_client import GuardedRedis, RedisUnavailable


class Counting:
    """A count that knows how often it was sent to Redis."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, redis: "Redis") -> object:
        self.sent += 1
        return redis.incr("counted")


@contextmanager
def counts_of(url: str, *, timeout_s: float = DEADLINE_S, rest_s: float) -> Iterator[GuardedRedis]:
    counts = GuardedRedis(url, timeout_s=timeout_s, rest_s=rest_s)
    try:
        yield counts
    finally:
        counts.close()


def is_refused(counts: GuardedRedis, count: Counting) -> bool:
    try:
        counts.run(count)
    except RedisUnavailable as refusal:
        return refusal.retry_after_s >= 1
    return False


def test_a_frozen_redis_is_asked_once(valkey_server: Valkey, valkey_url: str) -> None:
    """The first request waits for the timeout; the next ones are refused without asking Redis."""
    count = Counting()
    with counts_of(valkey_url, timeout_s=0.5, rest_s=3_600) as counts:
        valkey_server.pause()
        try:
            assert all(is_refused(counts, count) for _ in range(50))
        finally:
            valkey_server.resume()
    assert count.sent == 1


def test_it_is_asked_again_when_it_is_back(valkey_server: Valkey, valkey_url: str) -> None:
    """After a stop and a start the circuit closes by itself, on a connection that is new."""
    count = Counting()
    with counts_of(valkey_url, rest_s=0.5) as counts:
        assert not is_refused(counts, count)
        valkey_server.stop()
        try:
            assert is_refused(counts, count)
        finally:
            valkey_server.start()
        wait_until(lambda: not is_refused(counts, count), what="the circuit is closed")


def test_a_fault_of_the_caller_is_no_outage(valkey_url: str) -> None:
    """What is wrong on this side passes through, and the circuit stays closed."""
    with counts_of(valkey_url, rest_s=3_600) as counts:
        with pytest.raises(ZeroDivisionError):
            counts.run(lambda _redis: 1 // 0)

        assert not is_refused(counts, Counting())
