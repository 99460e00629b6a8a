"""The lease on the sole connection to the market: who holds it in Redis, and the rules by which two relayers never connect at once.

Three promises make it safe, all told in seconds of clocks that run at one speed and are never set (CLOCK_BOOTTIME):

- The holder is connected only until ``TTL_S`` after it *sent* its last successful renewal. Redis counts the same span from later, so the lease
  can't expire before. ``CUT_S`` before that end the holder drops its connection; ``KILL_S`` before it the kernel kills it, if it was stopped or is
  stuck and could not (``relayer.dead_man``).
- While Redis refuses connections nobody can take the lease, and after it came back empty nobody takes it for ``ABSENCE_S``: a candidate must have
  seen it absent for that long. So each refusal lets the holder stay connected for ``ABSENCE_S`` more. An outage of Redis, however long, costs no
  connection to the market; being cut off from a Redis that others may still reach does.
- A holder that closed its connection leaves the word RELEASED. Whoever saw its lease turn into that word may take it at once; to others it is as
  good as absent, as Redis may have come back with an old memory.
"""

import errno
import re
import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import BusyLoadingError, RedisError

from trading.market import keys

TTL_S = 5.0
RENEW_PERIOD_S = 0.5
ABSENCE_S = 2.0
CUT_S = 0.6
KILL_S = 0.2
# How often a candidate looks, and a holder whose Redis refuses connections tries again.
POLL_PERIOD_S = 0.2

RELEASED = "released"
RELEASED_FOR_MS = 60_000
_TTL_MS = int(TTL_S * 1_000)

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
class Term:
    """How long a holder may stay connected, in seconds of its clock."""

    valid_until: float

    @classmethod
    def taken(cls, *, sent_at: float) -> "Term":
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


@dataclass(slots=True)
class Candidacy:
    """What a candidate has seen of the lease since it could last not ask Redis."""

    absence_s: float = ABSENCE_S
    seen_held: bool = False
    free_since: float | None = None

    def may_take(self, value: str | None, *, now: float) -> bool:
        """Whether the lease, read as ``value``, may be taken at ``now``."""
        if value not in (None, RELEASED):
            self.seen_held, self.free_since = True, None
            return False
        if self.free_since is None:
            self.free_since = now
        return now - self.free_since >= self.absence_s or (value == RELEASED and self.seen_held)

    def lost_sight(self) -> None:
        """Redis could not be asked: it may have been gone, and be another since."""
        self.seen_held, self.free_since = False, None


class LeaseRecord:
    """The lease in Redis. Every method raises RedisRefuses or RedisUnreachable; the client must fail within a second and not retry."""

    def __init__(self, redis: "Redis", *, name: str) -> None:
        """``name`` tells people who holds it, e.g. ``host:pid``."""
        self._redis = redis
        self._name = name
        self._take = redis.register_script(_TAKE)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    async def look(self) -> str | None:
        """The lease's present value."""
        try:
            value = await self._redis.get(keys.RELAYER_LEASE)
        except (RedisError, OSError) as fault:
            raise _unavailable(fault) from fault
        return None if value is None else str(value)

    async def take(self) -> str | None:
        """Take the lease where it is absent or released; its value, which is ours alone, or None when another has it."""
        arguments: list[str | int] = [self._name, _TTL_MS]
        lease: str | None = await self._run(self._take, [keys.RELAYER_LEASE, keys.RELAYER_LEASE_NUMBER], arguments)
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
