"""What should be subscribed: a set of destinations in Redis that others keep and the relayer follows."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from trading.market import keys
from trading.market.topics import code_of_trade_topic

log = structlog.get_logger(__name__)

POLL_PERIOD_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is followed of what is asked for, and how much is not."""

    wanted: frozenset[str]
    invalid: int
    over_budget: int


def choose(asked: Iterable[str], *, current: frozenset[str], budget: int) -> Choice:
    """At most ``budget`` known destinations. What is subscribed already goes first, so that a full budget does not flap."""
    asked = set(asked)
    known = {destination for destination in asked if code_of_trade_topic(destination) is not None}
    ranked = sorted(known, key=lambda destination: (destination not in current, destination))
    return Choice(
        wanted=frozenset(ranked[:budget]),
        invalid=len(asked) - len(known),
        over_budget=max(0, len(known) - budget),
    )


class SubscriptionWatch:
    """Follows the set, looking once a second. While Redis is away everything stays as it is.

    An empty set means that Redis lost it: the present subscriptions are kept and written back. So the last subscription of all can't
    be withdrawn by emptying the set, which is the cheaper of the two mistakes.
    """

    def __init__(self, redis: "Redis", *, budget: int) -> None:
        self.wanted: frozenset[str] = frozenset()
        self.changed = asyncio.Event()
        self._redis = redis
        self._budget = budget
        self._reachable = True
        self._left_out = (0, 0)

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_PERIOD_S)

    async def look(self) -> None:
        """Look once. Never fails: without Redis nothing changes."""
        try:
            asked = {str(destination) for destination in await self._redis.smembers(keys.RELAYER_SUBSCRIPTIONS)}
            if not asked and self.wanted:
                await self._redis.sadd(keys.RELAYER_SUBSCRIPTIONS, *sorted(self.wanted))
                log.warning("subscriptions_restored", count=len(self.wanted))
                asked = set(self.wanted)
        except (RedisError, OSError) as fault:
            self._note_reachable(reachable=False, reason=type(fault).__name__)
            return
        self._note_reachable(reachable=True)
        self._follow(choose(asked, current=self.wanted, budget=self._budget))

    def _follow(self, choice: Choice) -> None:
        left_out = (choice.invalid, choice.over_budget)
        if left_out not in (self._left_out, (0, 0)):
            log.warning("subscriptions_left_out", invalid=choice.invalid, over_budget=choice.over_budget)
        self._left_out = left_out
        if choice.wanted != self.wanted:
            self.wanted = choice.wanted
            self.changed.set()

    def _note_reachable(self, *, reachable: bool, reason: str | None = None) -> None:
        if reachable is not self._reachable:
            self._reachable = reachable
            if reachable:
                log.info("redis_back")
            else:
                log.warning("redis_lost", reason=reason)
