"""The link's end: told to stop, it stops, whatever the feed does at that moment."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from random import Random

import pytest
from redis.asyncio import Redis

from relayer.backoff import Backoff
from relayer.feed import FeedEvent, FeedUnavailable
from relayer.market_link import MarketLink
from relayer.subscriptions import SubscriptionWatch
from relayer.tick_intake import TickIntake
from relayer.tick_sequence import TickSequence
from relayer.tick_writer import TickWriter


class FeedLostOnLeaving:
    """A feed whose connection is lost in the very moment in which the link is cancelled."""

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
        """Nothing is ever subscribed."""

    async def events(self) -> AsyncIterator[FeedEvent]:
        await asyncio.Event().wait()
        return
        yield  # a generator that yields nothing

    async def close(self) -> None:
        """Nothing to close."""


def test_a_loss_at_the_moment_of_stopping_does_not_swallow_the_stop(valkey_url: str) -> None:
    """The loss of the connection would otherwise win over the cancellation, and the link would connect again."""

    async def scenario() -> int:
        redis: Redis = Redis.from_url(valkey_url, decode_responses=True)
        sequence, feed = TickSequence(), FeedLostOnLeaving()
        watch = SubscriptionWatch(redis, budget=1)
        watch.wanted = frozenset({"/topic/v1/kr/stock/trade/A005930"})
        clock = lambda: datetime.now(UTC)  # noqa: E731 - three words need no name of their own
        link = MarketLink(
            feed,
            watch,
            TickIntake(sequence, clock=clock),
            TickWriter(redis, sequence, clock=clock),
            backoff=Backoff(Random(1)),
            note_change=lambda: None,
        )
        running = asyncio.create_task(link.run())
        await feed.asked.wait()

        running.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, timeout=2)
        await redis.aclose()
        return feed.connections

    assert asyncio.run(scenario()) == 1
