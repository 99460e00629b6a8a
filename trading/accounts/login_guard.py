"""Slow down password guessing without letting a guesser lock users out of their accounts.

Consecutive failures lock the account for the client (an address) they came from, for a time that
doubles with each further failure. A second lock covers the account for all clients, against
guessers with many addresses. Clients from which the account has signed in before are exempt from
that lock and from the others' limit of attempts, so the owner can sign in while others guess.
Unknown accounts are treated like known ones. Nothing is kept for long or in clear: accounts and
clients are keyed hashes.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from redis import Redis

from trading.accounts.errors import SignInLocked
from trading.errors import RateLimited
from trading.redis import keys
from trading.redis.guarded_client import GuardedRedis

# Many clients together fail more often without guessing, e.g. a family after a password change.
EVERYWHERE_FACTOR = 4
FAILURES_REMEMBERED_S = 86_400
CLIENT_REMEMBERED_S = 30 * 86_400

# Redis's clock, because the clocks of API machines differ.
_NOW = "local time = redis.call('TIME') local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"

# KEYS: failures here, failures everywhere, known, attempts here, attempts everywhere. ARGV:
# attempts allowed, window in ms.
_BEGIN = (
    _NOW
    + """
local function locked_for(key)
  return (tonumber(redis.call('HGET', key, 'locked_until')) or 0) - now
end
local known = redis.call('EXISTS', KEYS[3]) == 1
local left = locked_for(KEYS[1])
if not known then left = math.max(left, locked_for(KEYS[2])) end
if left > 0 then return {'locked', left} end
local attempts = known and KEYS[4] or KEYS[5]
local allowed, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local oldest = tonumber(redis.call('LINDEX', attempts, allowed - 1))
if oldest and oldest > now - window then return {'limited', oldest + window - now} end
redis.call('LPUSH', attempts, now)
redis.call('LTRIM', attempts, 0, allowed - 1)
redis.call('PEXPIRE', attempts, window)
return {'open', 0}
"""
)

# KEYS: failures here, failures everywhere, known. ARGV: failures until the lock here and
# everywhere, first and longest lock (ms), lifetime of the failure count (s).
_FAILED = (
    _NOW
    + """
local function fail(key, most)
  local failures = redis.call('HINCRBY', key, 'failures', 1)
  redis.call('EXPIRE', key, ARGV[5])
  if failures < most then return 0 end
  local span = math.min(tonumber(ARGV[3]) * 2 ^ math.min(failures - most, 30), tonumber(ARGV[4]))
  redis.call('HSET', key, 'locked_until', string.format('%.0f', now + span))
  return span
end
local here = fail(KEYS[1], tonumber(ARGV[1]))
if redis.call('EXISTS', KEYS[3]) == 1 then return {here, 0} end
return {here, fail(KEYS[2], tonumber(ARGV[2]))}
"""
)

# KEYS: failures here, failures everywhere, known. ARGV: how long the client stays known (s).
# Failures of other clients are kept, because the owner's success says nothing about a guesser.
_SUCCEEDED = """
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('DEL', KEYS[2]) end
redis.call('SET', KEYS[3], 1, 'EX', ARGV[1])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLimits:
    """Limits: `attempts` per `window_s` seconds; lock times for failures in a row.

    The `failures_max`-th failure locks for `lock_s`, each further one for twice the time before, up
    to `lock_max_s`.
    """

    attempts: int
    window_s: int
    failures_max: int
    lock_s: int
    lock_max_s: int


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """An attempt to sign in: account (known or not) and client, both as keyed hashes."""

    account: str
    client: str

    @property
    def failures(self) -> list[str]:
        return [
            keys.sign_in_failures(self.account, self.client),
            keys.sign_in_failures(self.account),
        ]

    @property
    def attempts(self) -> list[str]:
        return [
            keys.sign_in_attempts(self.account, self.client),
            keys.sign_in_attempts(self.account),
        ]

    @property
    def known(self) -> str:
        return keys.sign_in_known(self.account, self.client)


class LoginGuard:
    """Limits and locks of sign-in attempts. Safe to share between threads.

    Every method raises CountsUnavailable when Redis does not answer.
    """

    def __init__(
        self, counts: GuardedRedis, limits: LoginLimits, *, secret: Callable[[], str]
    ) -> None:
        """`secret` is called at the first attempt, because processes without sign-ins have none."""
        self._counts = counts
        self._limits = limits
        self._secret = secret

    def attempt(self, *, email: str, client: str) -> LoginAttempt:
        """Return the attempt for a normalized email address and a client."""
        return LoginAttempt(self._hashed(email), self._hashed(client))

    def begin(self, attempt: LoginAttempt) -> None:
        """Check limits before the password is verified. Raises SignInLocked and RateLimited."""
        limits = self._limits
        result, left_ms = self._run(
            _BEGIN,
            [*attempt.failures, attempt.known, *attempt.attempts],
            [limits.attempts, limits.window_s * 1_000],
        )
        retry_after_s = -(-int(left_ms) // 1_000)
        if result == "locked":
            raise SignInLocked(retry_after_s=retry_after_s)
        if result == "limited":
            raise RateLimited(
                limit=limits.attempts, window_s=limits.window_s, retry_after_s=retry_after_s
            )

    def failed(self, attempt: LoginAttempt) -> int:
        """Record a wrong password; return for how many seconds the account is now locked, 0 for not
        at all.
        """
        limits = self._limits
        spans_ms = self._run(
            _FAILED,
            [*attempt.failures, attempt.known],
            [
                limits.failures_max,
                limits.failures_max * EVERYWHERE_FACTOR,
                limits.lock_s * 1_000,
                limits.lock_max_s * 1_000,
                FAILURES_REMEMBERED_S,
            ],
        )
        return max(int(span_ms) for span_ms in spans_ms) // 1_000

    def succeeded(self, attempt: LoginAttempt) -> None:
        """Record a correct password: clear the failures of this client and mark it as known."""
        self._run(_SUCCEEDED, [*attempt.failures, attempt.known], [CLIENT_REMEMBERED_S])

    def _run(self, script: str, names: list[str], arguments: list[int]) -> list[str | int]:
        def command(redis: "Redis") -> list[str | int]:
            return cast("list[str | int]", redis.eval(script, len(names), *names, *arguments))

        return self._counts.run(command)

    def _hashed(self, text: str) -> str:
        """Hash with the installation's secret, so that readers of Redis cannot test addresses."""
        return hmac.digest(
            self._secret().encode(), text.encode("utf-8", "surrogatepass"), "sha256"
        ).hex()[:32]
