"""The supervisor with misbehaving feeds: one bad destination does not block others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest
from redis.asyncio import Redis

from relayer.backoff import Backoff
from relayer.feed.interface import Feed, FeedEvent, FeedUnavailable, SubscriptionConfirmed
from relayer.feed.subscription_budget import SubscriptionWatch
from relayer.feed.supervisor import FAILURES_MAX, FeedSupervisor
from relayer.ticks.filter import TickFilter
from relayer.ticks.sequence import TickSequence
from relayer.ticks.writer import TickWriter
from tests.relayer.harness import until
from tests.support.deadlines import DEADLINE_S
from trading.db.clock import utc_now
from trading.marketdata.topics import trade_topic


class FeedLostOnCancel:
    """A feed whose connection is lost at the moment of cancellation."""

    subscribed: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.connections = 0
        self.asked = asyncio.Event()

    async def connect(self) -> None:
        self.connections += 1

    async def subscribe(self, _destinations: Sequence[str]) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise FeedUnavailable("the server closed the connection") from None

    async def unsubscribe(self, _destinations: Sequence[str]) -> None:
        """Do nothing."""

    async def events(self) -> AsyncIterator[FeedEvent]:
        await asyncio.Event().wait()
        return
        yield  # makes this a generator

    async def close(self) -> None:
        """Do nothing."""


class RejectingFeed:
    """A feed that confirms all destinations but one, which silently breaks the connection."""

    def __init__(self, *, rejected: str) -> None:
        self.connections = 0
        self.confirmed: set[str] = set()
        self._rejected = rejected
        self._events: asyncio.Queue[FeedEvent | None] = asyncio.Queue()

    @property
    def subscribed(self) -> frozenset[str]:
        return frozenset(self.confirmed)

    async def connect(self) -> None:
        self.connections += 1
        self._events = asyncio.Queue()

    async def subscribe(self, destinations: Sequence[str]) -> None:
        for destination in destinations:
            if destination == self._rejected:
                self._events.put_nowait(None)
                return
            self.confirmed.add(destination)
            self._events.put_nowait(SubscriptionConfirmed(destination=destination))

    async def unsubscribe(self, destinations: Sequence[str]) -> None:
        self.confirmed -= set(destinations)

    async def events(self) -> AsyncIterator[FeedEvent]:
        while (event := await self._events.get()) is not None:
            yield event
        raise FeedUnavailable("the server sent ERROR: no")

    async def close(self) -> None:
        self.confirmed = set()

    def abort(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def supervisor_of(valkey_url: str, feed: Feed, *wanted: str) -> AsyncIterator[FeedSupervisor]:
    """Yield a supervisor that wants these destinations on ``feed``, without a daemon."""
    async with Redis.from_url(valkey_url, decode_responses=True) as redis:
        sequence = TickSequence()
        watch = SubscriptionWatch(redis, budget=10)
        watch.wanted = frozenset(wanted)
        yield FeedSupervisor(
            feed,
            watch,
            TickFilter(sequence, clock=utc_now),
            TickWriter(redis, sequence, clock=utc_now),
            backoff=Backoff(Random(1)),
            on_change=lambda: None,
        )


@pytest.mark.parametrize(
    "rejected", ["A000001", "A000003"], ids=["first in order", "last in order"]
)
async def test_a_destination_that_silently_breaks_the_connection_is_identified(
    valkey_url: str, rejected: str
) -> None:
    """It would otherwise block all others. The others are served after a few connections."""
    topics = {code: trade_topic(code) for code in ("A000001", "A000002", "A000003")}

    feed = RejectingFeed(rejected=topics[rejected])
    async with supervisor_of(valkey_url, feed, *topics.values()) as supervisor:
        running = asyncio.create_task(supervisor.run())
        await until(
            lambda: supervisor.subscriptions == 2 and supervisor.refusals,
            what="the others are served alone",
        )
        assert list(supervisor.refusals) == [topics[rejected]]
        assert feed.connections <= FAILURES_MAX + 2
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_no_destination_is_refused_while_none_is_confirmed(valkey_url: str) -> None:
    """A server that accepts no subscription is down; no destination is the cause."""
    topic = trade_topic("A000001")

    feed = RejectingFeed(rejected=topic)
    async with supervisor_of(valkey_url, feed, topic) as supervisor:
        running = asyncio.create_task(supervisor.run())
        await until(lambda: feed.connections > FAILURES_MAX, what="several losses")
        assert not supervisor.refusals
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_loss_during_cancellation_does_not_swallow_it(valkey_url: str) -> None:
    """Otherwise the supervisor would connect again."""

    feed = FeedLostOnCancel()
    async with supervisor_of(valkey_url, feed, trade_topic("A005930")) as supervisor:
        running = asyncio.create_task(supervisor.run())
        await feed.asked.wait()

        running.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, timeout=DEADLINE_S)
    result = feed.connections
    assert result == 1
