"""Wanted subscriptions: those requested by commands and by the product, within a budget.

Both kinds are stored in Redis.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from relayer.asyncio_compat import raise_if_cancelled
from trading.marketdata.subscriptions import SubscriptionSource
from trading.marketdata.topics import code_of_trade_topic
from trading.redis import keys

log = structlog.get_logger(__name__)

POLL_PERIOD_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The destinations within the budget, and those left out.

    Destinations that only fill up the budget are not reported as left out.
    """

    wanted: frozenset[str]
    left_out: tuple[str, ...]


def choose(
    requested: Mapping[str, SubscriptionSource], *, current: frozenset[str], budget: int
) -> Choice:
    """Return at most ``budget`` destinations, the most urgent first.

    At equal rank, current subscriptions take precedence, so that a full budget does not alternate
    between destinations.
    """
    ranked = sorted(
        requested,
        key=lambda destination: (
            requested[destination].rank,
            destination not in current,
            destination,
        ),
    )
    return Choice(
        wanted=frozenset(ranked[:budget]),
        left_out=tuple(
            each
            for each in ranked[budget:]
            if requested[each] is not SubscriptionSource.MARKET_VALUE
        ),
    )


def merge(
    commanded: Iterable[str],
    automatic: Mapping[str, SubscriptionSource],
    by_users: Iterable[str] = (),
) -> dict[str, SubscriptionSource]:
    """Return every requested destination with its most urgent source."""
    requested = dict.fromkeys(by_users, SubscriptionSource.REQUESTS)
    requested |= dict.fromkeys(commanded, SubscriptionSource.COMMANDS)
    for destination, source in automatic.items():
        requested[destination] = min(
            source, requested.get(destination, source), key=lambda each: each.rank
        )
    return requested


class AddResult(Enum):
    """Result of adding a destination requested by a command."""

    ADDED = auto()
    ALREADY_REQUESTED = auto()
    OVER_BUDGET = auto()


class SubscriptionWatch:
    """Reads the wanted subscriptions from Redis every second; keeps them during an outage.

    If the set of commanded destinations is empty and no command removed the last one, Redis lost
    the set, and it is written back. So emptying the set by hand does not unsubscribe; a set lost by
    accident would cost more. If the product's own set is missing, the last known one stays in
    effect until the workers write it again. Requests of users expire.
    """

    def __init__(self, redis: "Redis", *, budget: int) -> None:
        self.budget = budget
        self.wanted: frozenset[str] = frozenset()
        self.left_out: tuple[str, ...] = ()
        self.changed = asyncio.Event()
        self._redis = redis
        self._commanded: set[str] = set()
        self._automatic: dict[str, SubscriptionSource] = {}
        self._by_users: set[str] = set()
        self._last_read: tuple[set[str], dict[str, str], set[str]] | None = None
        # Serializes reads and commands: a read from before a command would restore what the command
        # removed.
        self._lock = asyncio.Lock()
        self._reachable = True
        self._logged = (0, 0)

    @property
    def requested(self) -> dict[str, SubscriptionSource]:
        """Every requested destination with its most urgent source, within the budget or not."""
        return merge(self._commanded, self._automatic, self._by_users)

    async def run(self) -> None:
        """Refresh every second until cancelled."""
        while True:
            await self.refresh()
            raise_if_cancelled()
            await asyncio.sleep(POLL_PERIOD_S)

    async def refresh(self) -> None:
        """Refresh once. Never raises: without Redis nothing changes."""
        try:
            async with self._lock:
                await self._read()
        except (RedisError, OSError) as fault:
            self._set_reachable(reachable=False, reason=type(fault).__name__)
        else:
            self._set_reachable(reachable=True)

    async def add(self, destination: str) -> AddResult:
        """Add a destination requested by a command; change nothing if it exceeds the budget.

        Raises RedisError or OSError if it cannot be stored.
        """
        async with self._lock:
            await self._read()
            requested = merge({*self._commanded, destination}, self._automatic, self._by_users)
            if destination not in choose(requested, current=self.wanted, budget=self.budget).wanted:
                return AddResult.OVER_BUDGET
            if destination in self._commanded:
                return AddResult.ALREADY_REQUESTED
            await self._redis.sadd(keys.RELAYER_SUBSCRIPTIONS, destination)
            self._commanded.add(destination)
            self._last_read = None
            self._apply_budget()
            return AddResult.ADDED

    async def remove(self, destination: str) -> bool:
        """Remove a destination requested by a command; return True if there was one.

        Raises RedisError or OSError if that cannot be stored.
        """
        async with self._lock:
            await self._read()
            await self._redis.srem(keys.RELAYER_SUBSCRIPTIONS, destination)
            known = destination in self._commanded
            self._commanded.discard(destination)
            self._last_read = None
            self._apply_budget()
            return known

    async def _read(self) -> None:
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.smembers(keys.RELAYER_SUBSCRIPTIONS)
            pipeline.hgetall(keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS)
            pipeline.zrange(keys.RELAYER_REQUESTED_SUBSCRIPTIONS, 0, -1)
            commanded, wanted, asked = await pipeline.execute()
        by_users = set(asked)
        if not commanded and self._commanded:
            await self._redis.sadd(keys.RELAYER_SUBSCRIPTIONS, *sorted(self._commanded))
            log.warning("subscriptions_restored", count=len(self._commanded))
            commanded = self._commanded
        # Skip unchanged input: ranking thousands of stocks again would delay every tick.
        if (commanded, wanted, by_users) == self._last_read:
            return
        self._last_read = commanded, wanted, by_users
        self._by_users = {each for each in by_users if code_of_trade_topic(each) is not None}
        self._commanded = {each for each in commanded if code_of_trade_topic(each) is not None}
        if wanted:
            self._automatic = {
                each: SubscriptionSource.read(source)
                for each, source in wanted.items()
                if code_of_trade_topic(each) is not None
            }
        self._apply_budget(invalid=len(commanded) - len(self._commanded))

    def _apply_budget(self, *, invalid: int = 0) -> None:
        choice = choose(self.requested, current=self.wanted, budget=self.budget)
        counts = (invalid, len(choice.left_out))
        if counts not in (self._logged, (0, 0)):
            log.warning(
                "subscriptions_over_budget", invalid=invalid, over_budget=len(choice.left_out)
            )
        self._logged = counts
        self.left_out = choice.left_out
        if choice.wanted != self.wanted:
            self.wanted = choice.wanted
            self.changed.set()

    def _set_reachable(self, *, reachable: bool, reason: str | None = None) -> None:
        if reachable is not self._reachable:
            self._reachable = reachable
            if reachable:
                log.info("redis_reconnected")
            else:
                log.warning("redis_connection_lost", reason=reason)
