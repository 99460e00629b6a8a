"""The feed with RabbitMQ."""

import asyncio
import time
from collections.abc import Iterator

import pytest
import redis

from relayer.feed.destinations import DestinationStyle, destination_formatter
from relayer.feed.interface import FeedUnavailable, SubscriptionConfirmed, TradeMessage
from tests.relayer.brokers.clients import (
    TOPIC,
    events_until_lost,
    feed_of,
    next_events,
    other_client,
    publisher,
    trade,
)
from tests.relayer.brokers.rabbitmq import FORBIDDEN, START_TIMEOUT_S, RabbitMQ, missing
from tests.relayer.freezing_proxy import freezing_proxy
from tests.relayer.harness import (
    HYNIX,
    SAMSUNG,
    add_subscriptions,
    confirmed_count,
    health,
    relayer,
    toss,
    until,
)
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import skip_or_fail
from trading.marketdata.quotes import QuoteStore
from trading.marketdata.topics import trade_topic

OTHER = trade_topic(HYNIX)
dotted = destination_formatter("dots")

_POLL_S = 0.2


pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Run one broker for all tests of this file. Without RabbitMQ: skip, or fail in CI."""
    reason = missing()
    if reason:
        skip_or_fail(reason)
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        asyncio.run(wait_until_ready(broker))
        yield broker


async def wait_until_ready(broker: RabbitMQ) -> None:
    """Wait until the broker accepts a CONNECT: on a busy machine it listens earlier."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            async with feed_of(broker.url, destination_style="dots"):
                return
        except FeedUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_POLL_S)


@pytest.mark.parametrize("style", ["dots", "percent"])
async def test_messages_arrive_with_the_original_destination(
    broker: RabbitMQ, style: DestinationStyle
) -> None:
    """Any body works: NUL, line ends and Korean travel with a content-length."""
    body = "\0\n:한글\\".encode() * 1_000

    async with (
        feed_of(broker.url, destination_style=style) as feed,
        publisher(broker.url) as publish,
    ):
        await feed.subscribe([TOPIC])
        confirmed = await next_events(feed, 1)
        await publish(destination_formatter(style)(TOPIC), body)
        result = [*confirmed, *await next_events(feed, 1)]
    assert result == [
        SubscriptionConfirmed(destination=TOPIC),
        TradeMessage(destination=TOPIC, body=body),
    ]


async def test_an_unsubscribed_destination_is_silent(broker: RabbitMQ) -> None:
    """The broker sends no messages for it at all; the other destination goes on."""

    async with (
        feed_of(broker.url, destination_style="dots") as feed,
        publisher(broker.url) as publish,
    ):
        await feed.subscribe([TOPIC, OTHER])
        await next_events(feed, 2)
        await feed.unsubscribe([TOPIC])
        # The broker works in order: confirming this one implies the unsubscribe is done.
        await feed.subscribe(["/topic/last"])
        await next_events(feed, 1)
        await publish(dotted(TOPIC), b"gone")
        await publish(dotted(OTHER), b"here")
        result = list(await next_events(feed, 1))
    assert result == [TradeMessage(destination=OTHER, body=b"here")]


async def test_heart_beats_keep_an_idle_connection(broker: RabbitMQ) -> None:
    """Ten intervals without a frame; the broker disconnects clients that send none."""

    async with feed_of(broker.url, destination_style="dots", heart_beat_ms=300) as feed:
        await feed.subscribe([TOPIC])
        await next_events(feed, 1)
        with pytest.raises(TimeoutError):
            await events_until_lost(feed, within_s=3.0)
        async with publisher(broker.url) as publish:
            await publish(dotted(TOPIC), b"still here")
        assert await next_events(feed, 1) == [TradeMessage(destination=TOPIC, body=b"still here")]
    async with other_client(broker.url, heart_beat="300,0") as silent, asyncio.timeout(DEADLINE_S):
        await silent.wait_closed()


SAYS = "the server sent ERROR: "
CLOSES = "the server closed the connection: "


@pytest.mark.parametrize(
    ("destination", "style", "reason"),
    [
        pytest.param(TOPIC, "slashes", f"{SAYS}Invalid destination", id="slashes within a name"),
        pytest.param("/nowhere/a", "dots", f"{SAYS}Unknown destination", id="no such kind"),
        pytest.param(f"/topic/{FORBIDDEN}", "dots", f"{CLOSES}code 1000", id="no right to it"),
    ],
)
async def test_a_refused_destination_ends_the_connection(
    broker: RabbitMQ, destination: str, style: DestinationStyle, reason: str
) -> None:
    """The broker names no receipt and stays open or closes silently; the feed reports a loss."""

    async with feed_of(broker.url, destination_style=style) as feed:
        await feed.subscribe([destination])
        events, reason = await events_until_lost(feed)
        result = list(events), reason
    assert result == ([], reason)


async def test_other_destinations_are_served_when_one_is_refused(
    broker: RabbitMQ, valkey_url: str, client: "redis.Redis"
) -> None:
    """Although the broker does not name the refused one."""

    def refused() -> list[str]:
        record = health(client)
        return [] if record is None else [one.topic for one in record.refused]

    add_subscriptions(client, SAMSUNG, HYNIX, FORBIDDEN)
    async with toss() as stand_in, publisher(broker.url) as publish:
        settings = stand_in.settings(
            valkey_url,
            TOSS_WEBSOCKET_URL=broker.url,
            FEED_DESTINATION_STYLE="dots",
            RELAYER_HEARTBEAT_MS="1000",
        )
        async with relayer(settings):
            await until(
                lambda: refused() == [trade_topic(FORBIDDEN)],
                what="one is refused",
                deadline_s=2 * DEADLINE_S,
            )
            await until(lambda: confirmed_count(client) == 2, what="the others are served")
            await publish(dotted(TOPIC), trade(1))
            await until(lambda: QuoteStore(client).last_tick(SAMSUNG), what="the trade is in Redis")


async def test_a_refused_connect_reports_the_brokers_text(broker: RabbitMQ) -> None:
    """It takes ``host`` for the name of a virtual host."""

    async def visit() -> None:
        async with feed_of(broker.url.replace("127.0.0.1", "localhost")):
            pass

    with pytest.raises(FeedUnavailable, match=r"^CONNECT was refused: Bad CONNECT"):
        await visit()


async def test_the_relayer_reconnects_after_a_silence(
    broker: RabbitMQ, valkey_url: str, client: "redis.Redis"
) -> None:
    """Ticks are in Redis; a silent broker is dropped, then everything is subscribed again."""

    def price() -> int | None:
        tick = QuoteStore(client).last_tick(SAMSUNG)
        return None if tick is None else tick.price

    add_subscriptions(client, SAMSUNG)
    async with (
        toss() as stand_in,
        freezing_proxy(broker.port) as proxy,
        publisher(broker.url) as publish,
    ):
        settings = stand_in.settings(
            valkey_url,
            TOSS_WEBSOCKET_URL=f"ws://127.0.0.1:{proxy.port}/ws",
            FEED_DESTINATION_STYLE="dots",
            RELAYER_HEARTBEAT_MS="500",
        )
        async with relayer(settings):
            await until(lambda: confirmed_count(client) == 1, what="the subscription is confirmed")
            await publish(dotted(TOPIC), trade(1, price=70_100))
            await until(lambda: price() == 70_100, what="the trade is in Redis")
            proxy.freeze()
            await until(lambda: confirmed_count(client) == 0, what="the silence is detected")
            proxy.thaw()
            await until(
                lambda: confirmed_count(client) == 1,
                what="it is subscribed again",
            )
            await publish(dotted(TOPIC), trade(2, price=70_200))
            await until(lambda: price() == 70_200, what="the next trade is in Redis")
            record = health(client)
            assert record is not None
            assert record.reconnects >= 1
