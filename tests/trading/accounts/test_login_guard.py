"""Guessing a password is slow from anywhere, and locks nobody out where he always signs in."""

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


def visit(guard: LoginGuard, client: str = "home", email: str = ADDRESS) -> LoginAttempt:
    return guard.attempt(email=email, client=client)


def refusal_of(guard: LoginGuard, attempt: LoginAttempt) -> dict[str, object]:
    with pytest.raises(SignInLocked) as refused:
        guard.begin(attempt)
    return refused.value.facts


def test_failures_in_a_row_lock_for_longer_and_longer(guard: LoginGuard) -> None:
    """The third locks, each further doubles the span, and no span is longer than the longest."""
    spans = [guard.failed(visit(guard)) for _ in range(7)]

    assert spans == [0, 0, 60, 120, 240, 300, 300]
    assert 298 <= int(str(refusal_of(guard, visit(guard))["retry_after_s"])) <= 300


def test_a_lock_ends_by_itself(counts: GuardedRedis) -> None:
    """And the failure after it locks at once again, for twice as long."""
    guard = LoginGuard(
        counts,
        LoginLimits(attempts=1_000, window_s=60, failures_max=1, lock_s=1, lock_max_s=10),
        secret=lambda: "secret",
    )
    assert guard.failed(visit(guard)) == 1
    assert refusal_of(guard, visit(guard)) == {"retry_after_s": 1}

    def open_again() -> bool:
        try:
            guard.begin(visit(guard))
        except SignInLocked:
            return False
        return True

    wait_until(open_again, what="the lock's end")
    assert guard.failed(visit(guard)) == 2


def test_a_success_is_a_new_beginning(guard: LoginGuard) -> None:
    """Failures count in a row only."""
    for _ in range(2):
        guard.failed(visit(guard))
    guard.succeeded(visit(guard))

    assert [guard.failed(visit(guard)) for _ in range(3)] == [0, 0, 60]


def test_guessing_locks_the_guessing_address_first(guard: LoginGuard) -> None:
    """Another client, and another account from the same one, sign in all the same."""
    for _ in range(5):
        guard.failed(visit(guard, "guesser"))

    refusal_of(guard, visit(guard, "guesser"))
    guard.begin(visit(guard, "home"))
    guard.begin(visit(guard, "guesser", "other@example.com"))


def test_many_guessers_lock_the_account_but_not_its_owner_at_home(guard: LoginGuard) -> None:
    """However many addresses they have, together they are slow; where the owner has signed in before he still does, and may mistype as before."""
    guard.succeeded(visit(guard, "home"))

    spans = [
        guard.failed(visit(guard, f"guesser {number}"))
        for number in range(LIMITS.failures_max * EVERYWHERE_FACTOR)
    ]

    assert spans == [0] * (len(spans) - 1) + [60]
    refusal_of(guard, visit(guard, "one who has not guessed yet"))
    for _ in range(LIMITS.failures_max - 1):
        guard.begin(visit(guard, "home"))
        assert guard.failed(visit(guard, "home")) == 0
    guard.begin(visit(guard, "home"))
    guard.succeeded(visit(guard, "home"))
    # The owner's success at home is no reason to let the others go on.
    refusal_of(guard, visit(guard, "one who has not guessed yet"))


def test_the_owner_is_not_held_up_by_the_attempts_of_others(counts: GuardedRedis) -> None:
    """Strangers share one limit of attempts on an account; a client that it knows has its own."""
    guard = LoginGuard(
        counts,
        LoginLimits(attempts=2, window_s=60, failures_max=100, lock_s=60, lock_max_s=300),
        secret=lambda: "secret",
    )
    guard.succeeded(visit(guard, "home"))

    for client in ("one", "another"):
        guard.begin(visit(guard, client))
    with pytest.raises(RateLimited) as limited:
        guard.begin(visit(guard, "a third"))
    guard.begin(visit(guard, "home"))

    assert (limited.value.facts["limit"], limited.value.facts["window_s"]) == (2, 60)
    assert 58 <= int(str(limited.value.facts["retry_after_s"])) <= 60


def test_guesses_at_the_same_time_are_no_more(counts: GuardedRedis) -> None:
    """Fifty threads that all find the account open get no more attempts than one after another would."""
    guard = LoginGuard(
        counts,
        LoginLimits(attempts=5, window_s=60, failures_max=100, lock_s=60, lock_max_s=300),
        secret=lambda: "secret",
    )

    def let_in(_number: int) -> bool:
        try:
            guard.begin(visit(guard))
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(let_in, range(50))) == 5


def test_redis_holds_no_plain_account_or_address(guard: LoginGuard, valkey_url: str) -> None:
    """Neither an account's address nor a client's is in a name or a value, everything expires, and another secret hashes otherwise."""
    attempt = visit(guard, "198.51.100.7")
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
    ) != visit(guard, "x")


def test_half_a_character_is_an_account_like_any_other(guard: LoginGuard) -> None:
    """What JSON calls a text may hold half of one, which UTF-8 can't."""
    assert [guard.failed(visit(guard, email="\ud800@example.com")) for _ in range(3)] == [0, 0, 60]


def test_a_guard_that_is_away_lets_nobody_pass(guard: LoginGuard, valkey_server: Valkey) -> None:
    """Every question says so, soon."""
    valkey_server.stop()
    try:
        for ask in (guard.begin, guard.failed, guard.succeeded):
            with pytest.raises(RedisUnavailable):
                ask(visit(guard))
    finally:
        valkey_server.start()
