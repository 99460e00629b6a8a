"""A Redis that is away costs who counts a wait once, and comes back by itself."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from tests.servers import Valkey, wait_until
from trading.market.request_counts import CountsUnavailable, RequestCounts

TIMEOUT_S = 0.5
REST_S = 1.5


@pytest.fixture
def counts(valkey_url: str) -> Iterator[RequestCounts]:
    counts = RequestCounts(valkey_url, timeout_s=TIMEOUT_S, rest_s=REST_S)
    try:
        yield counts
    finally:
        counts.close()


def count(redis: "Redis") -> object:
    return redis.incr("counted")


def span_of(ask: Callable[[], object]) -> float:
    """How long it takes to be told that nothing is counted (s)."""
    began = time.monotonic()
    with pytest.raises(CountsUnavailable) as told:
        ask()
    assert told.value.retry_after_s >= 1
    return time.monotonic() - began


def test_a_frozen_redis_costs_its_timeout_once(
    counts: RequestCounts, valkey_server: Valkey
) -> None:
    """The first who asks waits; the next are told at once; when it has rested one of many tries again, and only he waits."""
    assert counts.run(count) == 1
    valkey_server.pause()
    try:
        assert span_of(lambda: counts.run(count)) >= TIMEOUT_S
        assert max(span_of(lambda: counts.run(count)) for _ in range(50)) < TIMEOUT_S

        rested = time.monotonic() + REST_S
        wait_until(lambda: time.monotonic() > rested, what="the circuit has rested")
        with ThreadPoolExecutor(8) as pool:
            spans = list(pool.map(lambda _: span_of(lambda: counts.run(count)), range(8)))
        assert sum(span >= TIMEOUT_S for span in spans) == 1
    finally:
        valkey_server.resume()


def test_it_is_asked_again_when_it_is_back(counts: RequestCounts, valkey_server: Valkey) -> None:
    """After a stop and a start the circuit closes by itself, on a connection that is new."""
    assert counts.run(count) == 1
    valkey_server.stop()
    try:
        span_of(lambda: counts.run(count))
    finally:
        valkey_server.start()

    def is_back() -> bool:
        try:
            return bool(counts.run(count))
        except CountsUnavailable:
            return False

    wait_until(is_back, what="the circuit is closed")
    assert counts.run(count)


def test_a_fault_of_the_caller_is_no_outage(counts: RequestCounts) -> None:
    """What is wrong on this side passes through, and the circuit stays closed."""
    with pytest.raises(ZeroDivisionError):
        counts.run(lambda _redis: 1 // 0)

    assert counts.run(count) == 1
