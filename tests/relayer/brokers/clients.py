"""Actions at a broker: the feed listens, and another client publishes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from relayer.feed.destinations import DestinationStyle
from relayer.feed.interface import FeedEvent, FeedUnavailable
from relayer.feed.stomp_feed import StompFeed
from relayer.stomp import Frame, StompCommand
from sandbox.trade import DayTotals, Trade
from tests.relayer.harness import SAMSUNG, toss
from tests.support.deadlines import DEADLINE_S
from trading.exchange.time import KST
from trading.marketdata.topics import trade_topic

TOPIC = trade_topic(SAMSUNG)
Publish = Callable[[str, bytes], Awaitable[None]]


@asynccontextmanager
async def feed_of(
    url: str,
    *,
    destination_style: DestinationStyle = "slashes",
    heart_beat_ms: int = 1_000,
    receipt_timeout_s: float = DEADLINE_S,
) -> AsyncIterator[StompFeed]:
    """Yield a connected feed, with a sandbox token that the broker ignores."""
    async with toss() as stand_in:
        feed = StompFeed(
            api_url=f"http://127.0.0.1:{stand_in.port}",
            websocket_url=url,
            heart_beat_ms=heart_beat_ms,
            receipt_timeout_s=receipt_timeout_s,
            destination_style=destination_style,
        )
        await feed.connect()
        try:
            yield feed
        finally:
            await feed.close()


async def next_events(feed: StompFeed, number: int) -> list[FeedEvent]:
    """Return the next ``number`` events."""
    events: list[FeedEvent] = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in feed.events():
            events.append(event)
            if len(events) == number:
                break
    return events


async def events_until_lost(
    feed: StompFeed, *, within_s: float = DEADLINE_S
) -> tuple[list[FeedEvent], str]:
    """Return all events until the connection is lost, and the reason.

    Raises TimeoutError if it is still open after ``within_s``.
    """
    events: list[FeedEvent] = []
    try:
        async with asyncio.timeout(within_s):
            async for event in feed.events():
                events.append(event)  # noqa: PERF401 - a comprehension would lose what came before the end
    except FeedUnavailable as lost:
        return events, str(lost)
    raise AssertionError("A feed ended without a reason.")


@asynccontextmanager
async def other_client(url: str, *, heart_beat: str = "0,0") -> AsyncIterator[ClientConnection]:
    """Yield another client's simple session: it sends frames and no heart-beats."""
    async with connect(
        url, subprotocols=[Subprotocol("v12.stomp")], ping_interval=None, close_timeout=1
    ) as socket:
        headers = (("accept-version", "1.2"), ("host", "127.0.0.1"), ("heart-beat", heart_beat))
        await socket.send(Frame(StompCommand.CONNECT, headers).encode(), text=True)
        async with asyncio.timeout(DEADLINE_S):
            assert str(await socket.recv()).startswith("CONNECTED\n")
        yield socket


@asynccontextmanager
async def publisher(url: str) -> AsyncIterator[Publish]:
    """Yield a function that publishes a body to a destination in the broker's format."""
    async with other_client(url) as socket:

        async def publish(destination: str, body: bytes) -> None:
            await socket.send(
                Frame(StompCommand.SEND, (("destination", destination),), body).encode(), text=True
            )

        yield publish


def trade(volume: int, *, price: int = 70_000) -> bytes:
    """Return a trade of Samsung after which ``volume`` shares were traded today."""
    return Trade(
        code=SAMSUNG,
        traded_at=datetime(2026, 11, 20, 10, 0, tzinfo=KST),
        price=price,
        base=70_000,
        volume=1,
        side="BUY",
        totals=DayTotals(volume=volume, amount=volume * price, bought=volume),
    ).body()
