"""The lease on the only feed connection: its record in Redis and its timing rules.

The rules ensure that two relayers are never connected at once. Times are in seconds of
CLOCK_BOOTTIME, which cannot be set; the clocks of all machines only need to run at the same rate.

- A holder is connected only until TTL_S after it *sent* its last successful renewal. Redis starts
  counting the same time later, so the lease cannot expire before that. DISCONNECT_MARGIN_S before
  that end the holder drops its connection. KILL_MARGIN_S before it the kernel kills the process, in
  case it was stopped or stuck (``relayer.lease.watchdog``).
- While Redis refuses connections no process can acquire the lease, and for GRACE_S after Redis
  returns no process does. So each refused connection extends the holder's term to GRACE_S from
  then: the holder stays connected during an outage of Redis of any length. It disconnects if it
  cannot reach a Redis that other processes may still reach (network partition).
- A candidate acquires the lease only after it has reached Redis for GRACE_S without interruption.
  Then it acquires a lease at once if it observed its release or its expiry at the expected time. If
  it found the lease absent, Redis may have lost it: the candidate waits until GRACE_S after it
  found that, for as long as a holder could still be connected.
"""

import errno
import re
import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import BusyLoadingError, RedisError

from trading.redis import keys

TTL_S = 4.0
RENEW_PERIOD_S = 0.5
# Not shorter than TTL_S: a holder that cannot renew stays connected that long after Redis lost it.
GRACE_S = TTL_S
DISCONNECT_MARGIN_S = 0.6
KILL_MARGIN_S = 0.2
# How often a candidate reads the lease, and a holder retries while Redis refuses connections.
POLL_PERIOD_S = 0.2

RELEASED = "released"
RELEASED_TTL_MS = 60_000
_TTL_MS = int(TTL_S * 1_000)

_READ = "return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}"
# Lease numbers never repeat and never decrease: if Redis lost the last number, its clock in
# milliseconds is larger.
_ACQUIRE = """
local value = redis.call('GET', KEYS[1])
if value and value ~= 'released' then return false end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local number = math.max(now_ms, tonumber(redis.call('GET', KEYS[2]) or 0) + 1)
redis.call('SET', KEYS[2], string.format('%d', number))
local lease = string.format('%d ', number) .. ARGV[1]
redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
return lease
"""
# If the key is absent, Redis lost it: a holder renews only within its own term.
_RENEW = """
local value = redis.call('GET', KEYS[1])
if value and value ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], 'released', 'PX', ARGV[2])
end
"""


class LeaseLost(Exception):
    """The lease has another holder or could not be renewed in time; the message says which.

    The connection must be closed by now.
    """


class RedisDown(Exception):
    """Redis serves no process: its port refuses connections, or it is still loading its data."""


class RedisUnreachable(Exception):
    """Redis did not answer this process; other processes may reach it."""


@dataclass(slots=True)
class LeaseTerm:
    """How long a holder may stay connected, in seconds of its clock."""

    valid_until: float

    @classmethod
    def acquired(cls, *, sent_at: float) -> "LeaseTerm":
        return cls(sent_at + TTL_S)

    def renewed(self, *, sent_at: float) -> None:
        self.valid_until = sent_at + TTL_S

    def refused(self, *, tried_at: float) -> None:
        """Extend the term after Redis refused a connection that was tried at ``tried_at``.

        No process can acquire the lease earlier than GRACE_S after that.
        """
        self.valid_until = max(self.valid_until, tried_at + GRACE_S)

    @property
    def disconnect_at(self) -> float:
        """When the holder drops its connection unless the term is extended."""
        return self.valid_until - DISCONNECT_MARGIN_S

    @property
    def kill_at(self) -> float:
        """When the kernel kills the holder unless the term is extended."""
        return self.valid_until - KILL_MARGIN_S


@dataclass(frozen=True, slots=True)
class LeaseSnapshot:
    """The lease as read from Redis: its value, None if absent, and its remaining seconds."""

    value: str | None
    ttl_s: float

    @property
    def is_held(self) -> bool:
        return self.value not in (None, RELEASED)


@dataclass(slots=True)
class LeaseCandidate:
    """What a candidate has observed of the lease since it could reach Redis.

    ``grace_s`` may be shorter than GRACE_S only where no other relayer runs.
    """

    grace_s: float = GRACE_S
    reachable_since: float | None = None
    free_since: float | None = None
    expires_by: float | None = None
    ended_cleanly: bool = False

    def may_acquire(self, snapshot: LeaseSnapshot, *, now: float) -> bool:
        """Return True if the lease, as just read, may be acquired now."""
        if self.reachable_since is None:
            self.reachable_since = now
        if snapshot.is_held:
            self.free_since, self.expires_by = None, now + snapshot.ttl_s
            return False
        if self.free_since is None:
            self.free_since = now
            was_held = self.expires_by is not None
            self.ended_cleanly = was_held and (
                snapshot.value == RELEASED or now >= (self.expires_by or 0)
            )
        reference = (
            self.reachable_since
            if self.ended_cleanly
            else max(self.reachable_since, self.free_since)
        )
        return now - reference >= self.grace_s

    def reset(self) -> None:
        """Start over after Redis could not be reached: it may have restarted with older data."""
        self.reachable_since = self.free_since = self.expires_by = None
        self.ended_cleanly = False


class LeaseRecord:
    """The lease in Redis. Every method raises RedisDown or RedisUnreachable.

    The client must answer or fail within a second, never retry, and use a single connection: a pool
    would silently replace a broken connection, and a candidate must notice that Redis restarted.
    """

    def __init__(self, redis: "Redis", *, name: str) -> None:
        """``name`` identifies the holder to operators, e.g. ``host:pid``."""
        self._redis = redis
        self._name = name
        self._read = redis.register_script(_READ)
        self._acquire = redis.register_script(_ACQUIRE)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    async def read(self) -> LeaseSnapshot:
        """Return the lease as it is now."""
        value, ttl_ms = await self._run(self._read, [keys.RELAYER_LEASE], [])
        return LeaseSnapshot(value, max(0, ttl_ms) / 1_000)

    async def acquire(self) -> str | None:
        """Acquire the lease if it is absent or released.

        Returns its unique value, or None if it is held.
        """
        arguments: list[str | int] = [self._name, _TTL_MS]
        lease: str | None = await self._run(
            self._acquire, [keys.RELAYER_LEASE, keys.RELAYER_LEASE_NUMBER], arguments
        )
        return lease

    async def renew(self, lease: str) -> bool:
        """Extend ``lease`` to TTL_S from now; return False if another process holds it."""
        return bool(await self._run(self._renew, [keys.RELAYER_LEASE], [lease, _TTL_MS]))

    async def release(self, lease: str) -> None:
        """Release ``lease`` for the next holder. Call only after the connection is closed."""
        await self._run(self._release, [keys.RELAYER_LEASE], [lease, RELEASED_TTL_MS])

    async def _run(self, script: AsyncScript, names: list[str], arguments: list[str | int]) -> Any:
        try:
            return await script(keys=names, args=arguments)
        except (RedisError, OSError) as fault:
            raise _unavailable(fault) from fault


def number_of(lease: str) -> int:
    """Return the number of a lease; a later holder has a greater one."""
    return int(lease.partition(" ")[0])


def boot_time() -> float:
    """Return seconds of a clock that cannot be set and that runs on while the machine sleeps.

    Where there is no CLOCK_BOOTTIME, CLOCK_MONOTONIC is used.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _unavailable(fault: BaseException) -> RedisDown | RedisUnreachable:
    if isinstance(fault, BusyLoadingError):
        return RedisDown(str(fault))
    cause: BaseException | None = fault
    while cause is not None:
        # A host name with several addresses fails with all their errors in one text.
        numbers = {int(found) for found in re.findall(r"\[Errno (\d+)\]", str(cause))}
        if isinstance(cause, OSError) and cause.errno is not None:
            numbers.add(cause.errno)
        if numbers and numbers <= {errno.ECONNREFUSED, errno.ENOENT}:
            return RedisDown(type(fault).__name__)
        cause = cause.__cause__ or cause.__context__
    return RedisUnreachable(type(fault).__name__)
