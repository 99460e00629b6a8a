"""The lease on the sole connection to the market: who holds it in Redis, and the rules by which two relayers are never connected at once.

Times are seconds of a clock that nobody sets (CLOCK_BOOTTIME); the clocks of all machines need only run at one speed.

- A holder is connected only until TTL_S after it *sent* its last successful renewal. Redis counts the same span from later, so the lease can't expire
  before. CUT_S before that end the holder drops its connection; KILL_S before it the kernel kills it, if it was stopped or stuck and could not
  (``relayer.lease.watchdog``).
- While Redis refuses connections nobody can take the lease, and after it is back nobody does for ABSENCE_S. So each refusal lets the holder stay
  connected for ABSENCE_S more: an outage of Redis, however long, costs no connection to the market. Being cut off from a Redis that others may
  still reach does.
- A candidate takes the lease only after it has had Redis in sight for ABSENCE_S without a break. What it saw expire in its time, or released by the
  holder, it takes at once. What it found absent may be what Redis forgot: it waits for as long as a holder could still be connected.
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
# Not shorter than TTL_S: a holder that can't renew is connected for so long after Redis has forgotten it.
ABSENCE_S = TTL_S
CUT_S = 0.6
KILL_S = 0.2
# How often a candidate looks, and a holder whose Redis refuses connections tries again.
POLL_PERIOD_S = 0.2

RELEASED = "released"
RELEASED_FOR_MS = 60_000
_TTL_MS = int(TTL_S * 1_000)

_LOOK = "return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}"
# A number is never given twice and never falls, even where Redis lost the last one: it is Redis's own clock then, in milliseconds.
_TAKE = """
local value = redis.call('GET', KEYS[1])
if value and value ~= 'released' then return false end
local now = redis.call('TIME')
local number = math.max(now[1] * 1000 + math.floor(now[2] / 1000), tonumber(redis.call('GET', KEYS[2]) or 0) + 1)
redis.call('SET', KEYS[2], string.format('%d', number))
local lease = string.format('%d ', number) .. ARGV[1]
redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
return lease
"""
# Where it is absent Redis has lost it, not the holder: that asks only within its time.
_RENEW = """
local value = redis.call('GET', KEYS[1])
if value and value ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], 'released', 'PX', ARGV[2]) end"


class LeaseLost(Exception):
    """The lease is another's, or could not be renewed in time: the connection must be gone by now. The message says why."""


class RedisRefuses(Exception):
    """Nobody is served by Redis now: its port refuses connections, or it is still loading what it had saved."""


class RedisUnreachable(Exception):
    """No answer from Redis; others may have one."""


@dataclass(slots=True)
class LeaseTerm:
    """How long a holder may stay connected, in seconds of its clock."""

    valid_until: float

    @classmethod
    def taken(cls, *, sent_at: float) -> "LeaseTerm":
        return cls(sent_at + TTL_S)

    def renewed(self, *, sent_at: float) -> None:
        self.valid_until = sent_at + TTL_S

    def refused(self, *, tried_at: float) -> None:
        """Redis refused a connection that was tried at ``tried_at``: nobody can have taken the lease before that and ABSENCE_S."""
        self.valid_until = max(self.valid_until, tried_at + ABSENCE_S)

    @property
    def cut_at(self) -> float:
        """When the holder drops its connection unless the term was prolonged."""
        return self.valid_until - CUT_S

    @property
    def kill_at(self) -> float:
        """When the holder is killed unless the term was prolonged."""
        return self.valid_until - KILL_S


@dataclass(frozen=True, slots=True)
class LeaseSnapshot:
    """The lease as Redis showed it: its value, None where it is absent, and how long it would run on (s)."""

    value: str | None
    runs_s: float

    @property
    def is_held(self) -> bool:
        return self.value not in (None, RELEASED)


@dataclass(slots=True)
class LeaseCandidate:
    """What a candidate has seen of the lease since Redis came into its sight. ``absence_s`` is shorter than ABSENCE_S for no one who has rivals."""

    absence_s: float = ABSENCE_S
    in_sight_since: float | None = None
    free_since: float | None = None
    expires_by: float | None = None
    ended_well: bool = False

    def may_take(self, seen: LeaseSnapshot, *, now: float) -> bool:
        """Whether the lease that was seen just now may be taken."""
        if self.in_sight_since is None:
            self.in_sight_since = now
        if seen.is_held:
            self.free_since, self.expires_by = None, now + seen.runs_s
            return False
        if self.free_since is None:
            self.free_since = now
            was_held = self.expires_by is not None
            self.ended_well = was_held and (seen.value == RELEASED or now >= (self.expires_by or 0))
        waited_since = (
            self.in_sight_since if self.ended_well else max(self.in_sight_since, self.free_since)
        )
        return now - waited_since >= self.absence_s

    def lost_sight(self) -> None:
        """Redis could not be asked: it may have been gone, and have another memory since."""
        self.in_sight_since = self.free_since = self.expires_by = None
        self.ended_well = False


class LeaseRecord:
    """The lease in Redis. Every method raises RedisRefuses or RedisUnreachable.

    The client must answer or fail within a second, try nothing twice, and keep to one connection: a pool would mend a broken one unseen, and a
    candidate must know that Redis was restarted.
    """

    def __init__(self, redis: "Redis", *, name: str) -> None:
        """``name`` tells people who holds it, e.g. ``host:pid``."""
        self._redis = redis
        self._name = name
        self._look = redis.register_script(_LOOK)
        self._take = redis.register_script(_TAKE)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    async def look(self) -> LeaseSnapshot:
        """The lease as it is now."""
        value, runs_ms = await self._run(self._look, [keys.RELAYER_LEASE], [])
        return LeaseSnapshot(value, max(0, runs_ms) / 1_000)

    async def take(self) -> str | None:
        """Take the lease where it is absent or released; its value, which is ours alone, or None when another has it."""
        arguments: list[str | int] = [self._name, _TTL_MS]
        lease: str | None = await self._run(
            self._take, [keys.RELAYER_LEASE, keys.RELAYER_LEASE_NUMBER], arguments
        )
        return lease

    async def renew(self, lease: str) -> bool:
        """Let ``lease`` run for TTL_S from now; False when another has taken it."""
        return bool(await self._run(self._renew, [keys.RELAYER_LEASE], [lease, _TTL_MS]))

    async def release(self, lease: str) -> None:
        """Leave ``lease`` to whoever comes. Only after the connection is closed."""
        await self._run(self._release, [keys.RELAYER_LEASE], [lease, RELEASED_FOR_MS])

    async def _run(self, script: AsyncScript, names: list[str], arguments: list[str | int]) -> Any:
        try:
            return await script(keys=names, args=arguments)
        except (RedisError, OSError) as fault:
            raise _unavailable(fault) from fault


def number_of(lease: str) -> int:
    """The number that a lease was given when it was taken: of two holders the later one has the greater."""
    return int(lease.partition(" ")[0])


def boot_time() -> float:
    """Seconds of a clock that nobody sets and that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _unavailable(fault: BaseException) -> RedisRefuses | RedisUnreachable:
    if isinstance(fault, BusyLoadingError):
        return RedisRefuses(str(fault))
    cause: BaseException | None = fault
    while cause is not None:
        # A name with several addresses fails with all their errors in one text.
        numbers = {int(found) for found in re.findall(r"\[Errno (\d+)\]", str(cause))}
        if isinstance(cause, OSError) and cause.errno is not None:
            numbers.add(cause.errno)
        if numbers and numbers <= {errno.ECONNREFUSED, errno.ENOENT}:
            return RedisRefuses(type(fault).__name__)
        cause = cause.__cause__ or cause.__context__
    return RedisUnreachable(type(fault).__name__)
