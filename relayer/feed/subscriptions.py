"""What should be subscribed: what commands asked for and what the product wants by itself, both in Redis, within a budget."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from relayer.asyncio_compat import raise_if_cancelled
from trading.marketdata.subscriptions import Source
from trading.marketdata.topics import code_of_trade_topic
from trading.redis import keys

log = structlog.get_logger(__name__)

POLL_PERIOD_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is followed of what is wanted, and what does not fit; what only fills up is not missed."""

    wanted: frozenset[str]
    left_out: tuple[str, ...]


def choose(wishes: Mapping[str, Source], *, current: frozenset[str], budget: int) -> Choice:
    """At most ``budget`` destinations, the most urgent first. Among equals what is wanted already stays, so that a full budget does not flap."""
    ranked = sorted(
        wishes,
        key=lambda destination: (wishes[destination].rank, destination not in current, destination),
    )
    return Choice(
        wanted=frozenset(ranked[:budget]),
        left_out=tuple(each for each in ranked[budget:] if wishes[each] is not Source.MARKET_VALUE),
    )


def merge(commanded: Iterable[str], automatic: Mapping[str, Source]) -> dict[str, Source]:
    """Every destination with its most urgent source."""
    wishes = dict.fromkeys(commanded, Source.COMMANDS)
    for destination, source in automatic.items():
        wishes[destination] = min(
            source, wishes.get(destination, source), key=lambda each: each.rank
        )
    return wishes


class Addition(Enum):
    """What became of a destination that a command asked for."""

    ADDED = auto()
    KNOWN = auto()
    NO_ROOM = auto()


class SubscriptionWatch:
    """Follows what Redis says, looking once a second. While Redis is away everything stays as it is.

    An empty set of commanded destinations means that Redis lost it: what was commanded is kept and written back, unless a command withdrew the last
    one. So that one can't be withdrawn by emptying the set by hand, which is the cheaper of the two mistakes. What the product wants by itself is
    kept as it was while it is not there: the workers write it again.
    """

    def __init__(self, redis: "Redis", *, budget: int) -> None:
        self.budget = budget
        self.wanted: frozenset[str] = frozenset()
        self.left_out: tuple[str, ...] = ()
        self.changed = asyncio.Event()
        self._redis = redis
        self._commanded: set[str] = set()
        self._automatic: dict[str, Source] = {}
        self._seen: tuple[set[str], dict[str, str]] | None = None
        # A look that had read the set before a command changed it would bring back what the command withdrew.
        self._turn = asyncio.Lock()
        self._reachable = True
        self._noted = (0, 0)

    @property
    def wishes(self) -> dict[str, Source]:
        """Every destination that is asked for, by its most urgent source, whether it fits or not."""
        return merge(self._commanded, self._automatic)

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            raise_if_cancelled()
            await asyncio.sleep(POLL_PERIOD_S)

    async def look(self) -> None:
        """Look once. Never fails: without Redis nothing changes."""
        try:
            async with self._turn:
                await self._read()
        except (RedisError, OSError) as fault:
            self._note_reachable(reachable=False, reason=type(fault).__name__)
        else:
            self._note_reachable(reachable=True)

    async def add(self, destination: str) -> Addition:
        """Ask for a destination by command; nothing changes where the budget has no room. RedisError or OSError when it can't be stored."""
        async with self._turn:
            await self._read()
            wishes = merge({*self._commanded, destination}, self._automatic)
            if destination not in choose(wishes, current=self.wanted, budget=self.budget).wanted:
                return Addition.NO_ROOM
            if destination in self._commanded:
                return Addition.KNOWN
            await self._redis.sadd(keys.RELAYER_SUBSCRIPTIONS, destination)
            self._commanded.add(destination)
            self._seen = None
            self._follow()
            return Addition.ADDED

    async def remove(self, destination: str) -> bool:
        """Withdraw what a command asked for; whether one had. RedisError or OSError when it can't be stored."""
        async with self._turn:
            await self._read()
            await self._redis.srem(keys.RELAYER_SUBSCRIPTIONS, destination)
            known = destination in self._commanded
            self._commanded.discard(destination)
            self._seen = None
            self._follow()
            return known

    async def _read(self) -> None:
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.smembers(keys.RELAYER_SUBSCRIPTIONS)
            pipeline.hgetall(keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS)
            asked, wanted = await pipeline.execute()
        if not asked and self._commanded:
            await self._redis.sadd(keys.RELAYER_SUBSCRIPTIONS, *sorted(self._commanded))
            log.warning("subscriptions_restored", count=len(self._commanded))
            asked = self._commanded
        # Thousands of stocks may be held, and every tick would wait while they are ranked again.
        if (asked, wanted) == self._seen:
            return
        self._seen = asked, wanted
        self._commanded = {each for each in asked if code_of_trade_topic(each) is not None}
        if wanted:
            self._automatic = {
                each: Source.read(source)
                for each, source in wanted.items()
                if code_of_trade_topic(each) is not None
            }
        self._follow(invalid=len(asked) - len(self._commanded))

    def _follow(self, *, invalid: int = 0) -> None:
        choice = choose(self.wishes, current=self.wanted, budget=self.budget)
        noted = (invalid, len(choice.left_out))
        if noted not in (self._noted, (0, 0)):
            log.warning(
                "subscriptions_over_budget", invalid=invalid, over_budget=len(choice.left_out)
            )
        self._noted = noted
        self.left_out = choice.left_out
        if choice.wanted != self.wanted:
            self.wanted = choice.wanted
            self.changed.set()

    def _note_reachable(self, *, reachable: bool, reason: str | None = None) -> None:
        if reachable is not self._reachable:
            self._reachable = reachable
            if reachable:
                log.info("redis_reconnected")
            else:
                log.warning("redis_connection_lost", reason=reason)
