"""Tests of the login guard: guessing is slow, and known clients are not locked out."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from tests.support.servers import Valkey, wait_until
from trading.accounts.errors import SignInLocked
from trading.accounts.login_guard import EVERYWHERE_FACTOR, LoginAttempt, LoginGuard, LoginLimits
from trading.errors import RateLimited
from trading.redis.guarded_client import GuardedRedis, RedisUnavailable

LIMITS = LoginLimits(attempts=1_000, window_s=60, failures_max=3, lock_s=60, lock_max_s=300)
ADDRESS = "owner@example.com"


@pytest.fixture
def counts(valkey_url: str) -> Iterator[GuardedRedis]:
    counts = GuardedRedis(valkey_url, timeout_s=5)
    try:
        yield counts
    finally:
        counts.close()


@pytest.fixture
def guard(counts: GuardedRedis) -> LoginGuard:
    return LoginGuard(counts, LIMITS, secret=lambda: "secret")


def attempt_from(guard: LoginGuard, client: str = "home", email: str = ADDRESS) -> LoginAttempt:
    return guard.attempt(email=email, client=client)


def lock_facts(guard: LoginGuard, attempt: LoginAttempt) -> dict[str, object]:
    with pytest.raises(SignInLocked) as locked:
        guard.begin(attempt)
    return locked.value.facts


def test_each_further_failure_doubles_the_lock_up_to_the_maximum(guard: LoginGuard) -> None:
    spans = [guard.failed(attempt_from(guard)) for _ in range(7)]

    assert spans == [0, 0, 60, 120, 240, 300, 300]
    assert 298 <= int(str(lock_facts(guard, attempt_from(guard))["retry_after_s"])) <= 300


def test_lock_expires_and_the_next_failure_locks_for_twice_as_long(counts: GuardedRedis) -> None:
    guard = LoginGuard(
        counts,
        LoginLimits(attempts=1_000, window_s=60, failures_max=1, lock_s=1, lock_max_s=10),
        secret=lambda: "secret",
    )
    assert guard.failed(attempt_from(guard)) == 1
    assert lock_facts(guard, attempt_from(guard)) == {"retry_after_s": 1}

    def is_unlocked() -> bool:
        try:
            guard.begin(attempt_from(guard))
        except SignInLocked:
            return False
        return True

    wait_until(is_unlocked, what="the lock to expire")
    assert guard.failed(attempt_from(guard)) == 2


def test_successful_sign_in_resets_the_failure_count(guard: LoginGuard) -> None:
    for _ in range(2):
        guard.failed(attempt_from(guard))
    guard.succeeded(attempt_from(guard))

    assert [guard.failed(attempt_from(guard)) for _ in range(3)] == [0, 0, 60]


def test_lock_applies_to_one_account_and_client(guard: LoginGuard) -> None:
    """Other clients of the account and other accounts of the client are not locked."""
    for _ in range(5):
        guard.failed(attempt_from(guard, "guesser"))

    lock_facts(guard, attempt_from(guard, "guesser"))
    guard.begin(attempt_from(guard, "home"))
    guard.begin(attempt_from(guard, "guesser", "other@example.com"))


def test_failures_of_many_clients_lock_the_account_except_for_known_clients(
    guard: LoginGuard,
) -> None:
    """A known client keeps its own failure count."""
    guard.succeeded(attempt_from(guard, "home"))

    spans = [
        guard.failed(attempt_from(guard, f"guesser {number}"))
        for number in range(LIMITS.failures_max * EVERYWHERE_FACTOR)
    ]

    assert spans == [0] * (len(spans) - 1) + [60]
    lock_facts(guard, attempt_from(guard, "new client"))
    for _ in range(LIMITS.failures_max - 1):
        guard.begin(attempt_from(guard, "home"))
        assert guard.failed(attempt_from(guard, "home")) == 0
    guard.begin(attempt_from(guard, "home"))
    guard.succeeded(attempt_from(guard, "home"))
    # A success of a known client does not unlock the account for the others.
    lock_facts(guard, attempt_from(guard, "new client"))


def test_attempts_of_unknown_clients_do_not_limit_a_known_client(counts: GuardedRedis) -> None:
    """Unknown clients share one limit of attempts per account; a known client has its own."""
    guard = LoginGuard(
        counts,
        LoginLimits(attempts=2, window_s=60, failures_max=100, lock_s=60, lock_max_s=300),
        secret=lambda: "secret",
    )
    guard.succeeded(attempt_from(guard, "home"))

    for client in ("one", "another"):
        guard.begin(attempt_from(guard, client))
    with pytest.raises(RateLimited) as limited:
        guard.begin(attempt_from(guard, "a third"))
    guard.begin(attempt_from(guard, "home"))

    assert (limited.value.facts["limit"], limited.value.facts["window_s"]) == (2, 60)
    assert 58 <= int(str(limited.value.facts["retry_after_s"])) <= 60


def test_concurrent_attempts_do_not_exceed_the_limit(counts: GuardedRedis) -> None:
    guard = LoginGuard(
        counts,
        LoginLimits(attempts=5, window_s=60, failures_max=100, lock_s=60, lock_max_s=300),
        secret=lambda: "secret",
    )

    def is_allowed(_number: int) -> bool:
        try:
            guard.begin(attempt_from(guard))
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(is_allowed, range(50))) == 5


def test_redis_holds_only_keyed_hashes_that_expire(guard: LoginGuard, valkey_url: str) -> None:
    """No key contains an email address or a client's address; hashes depend on the secret."""
    attempt = attempt_from(guard, "198.51.100.7")
    guard.begin(attempt)
    guard.failed(attempt)
    guard.succeeded(attempt)
    guard.failed(attempt)

    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        names = client.keys("*")
        assert len(names) >= 3
        assert all(client.ttl(name) > 0 for name in names)
    assert not any("@" in name or "198.51" in name for name in names)
    assert LoginGuard(guard._counts, LIMITS, secret=lambda: "another").attempt(
        email=ADDRESS, client="x"
    ) != attempt_from(guard, "x")


def test_lone_surrogate_in_an_email_address_is_hashed(guard: LoginGuard) -> None:
    """JSON strings can contain lone surrogates, which UTF-8 cannot encode."""
    assert [guard.failed(attempt_from(guard, email="\ud800@example.com")) for _ in range(3)] == [
        0,
        0,
        60,
    ]


def test_every_method_raises_while_redis_is_unavailable(
    guard: LoginGuard, valkey_server: Valkey
) -> None:
    valkey_server.stop()
    try:
        for method in (guard.begin, guard.failed, guard.succeeded):
            with pytest.raises(RedisUnavailable):
                method(attempt_from(guard))
    finally:
        valkey_server.start()
