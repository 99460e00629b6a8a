"""The feed against RabbitMQ, of which nobody here wrote a line."""

import asyncio
from collections.abc import Iterator

import pytest
import redis

from relayer.destinations import DestinationStyle, speller
from relayer.feed import FeedUnavailable, SubscriptionConfirmed, SubscriptionRefused, TradeMessage
from tests.relayer.brokers.rabbitmq import RabbitMQ, missing
from tests.relayer.brokers.visits import PATIENCE_S, TOPIC, feed_of, lose, publisher, stranger, take, trade
from tests.relayer.freezing_proxy import freezing_proxy
from tests.relayer.harness import SAMSUNG, ask_for, health, relayer, served, toss, until
from trading.market.quote_book import QuoteBook

pytestmark = pytest.mark.timeout(300)

OTHER = "/topic/v1/kr/stock/trade/A000660"
dotted = speller("dots")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """One broker for all tests of this file; a test is skipped where there is none, in CI too."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.mark.parametrize("style", ["dots", "percent"])
def test_messages_arrive_under_our_own_spelling(broker: RabbitMQ, style: DestinationStyle) -> None:
    """Whatever the octets: NUL, line ends and Korean travel in a body of known length."""
    body = "\0\n:한글\\".encode() * 1_000

    async def visit() -> list[object]:
        async with feed_of(broker.url, destination_style=style) as feed, publisher(broker.url) as publish:
            await feed.subscribe([TOPIC])
            confirmed = await take(feed, 1)
            await publish(speller(style)(TOPIC), body)
            return [*confirmed, *await take(feed, 1)]

    assert asyncio.run(visit()) == [
        SubscriptionConfirmed(destination=TOPIC),
        TradeMessage(destination=TOPIC, body=body),
    ]


def test_a_withdrawn_destination_is_quiet(broker: RabbitMQ) -> None:
    """Its messages are not even stray: the broker sends none. The other one goes on."""

    async def visit() -> list[object]:
        async with feed_of(broker.url, destination_style="dots") as feed, publisher(broker.url) as publish:
            await feed.subscribe([TOPIC, OTHER])
            await take(feed, 2)
            await feed.unsubscribe([TOPIC])
            # The broker works in order: when it confirms this one, it has done the withdrawal.
            await feed.subscribe(["/topic/last"])
            await take(feed, 1)
            await publish(dotted(TOPIC), b"gone")
            await publish(dotted(OTHER), b"here")
            return list(await take(feed, 1))

    assert asyncio.run(visit()) == [TradeMessage(destination=OTHER, body=b"here")]


def test_beats_keep_an_idle_connection(broker: RabbitMQ) -> None:
    """Ten intervals without a frame: our beats keep the broker content, and its beats us. Who sends none is thrown out."""

    async def idle() -> None:
        async with feed_of(broker.url, destination_style="dots", heart_beat_ms=300) as feed:
            await feed.subscribe([TOPIC])
            await take(feed, 1)
            with pytest.raises(TimeoutError):
                await lose(feed, within_s=3.0)
            async with publisher(broker.url) as publish:
                await publish(dotted(TOPIC), b"still here")
            assert await take(feed, 1) == [TradeMessage(destination=TOPIC, body=b"still here")]
        async with stranger(broker.url, heart_beat="300,0") as silent, asyncio.timeout(PATIENCE_S):
            await silent.wait_closed()

    asyncio.run(idle())


def test_a_refused_destination_is_found_and_the_others_are_served(broker: RabbitMQ) -> None:
    """Its ERROR names no receipt and leaves the connection open. We leave, and lay it to the right one after three connections at most."""
    wanted = ["/nowhere/v1/a", TOPIC, OTHER]

    async def visit() -> tuple[list[object], str]:
        async with feed_of(broker.url, destination_style="dots") as feed:
            for _ in range(3):
                if feed.subscribed:
                    await feed.close()
                    await feed.connect()
                asking = asyncio.create_task(feed.subscribe(wanted))
                events, reason = await lose(feed)
                await asyncio.gather(asking, return_exceptions=True)
                if isinstance(events[-1] if events else None, SubscriptionRefused):
                    return list(events), reason
        raise AssertionError("The refused destination was not found.")

    events, reason = asyncio.run(visit())

    assert reason == "the server sent ERROR: Unknown destination"
    assert events[-1] == SubscriptionRefused(destination="/nowhere/v1/a", reason="Unknown destination")
    assert set(events[:-1]) == {SubscriptionConfirmed(destination=topic) for topic in (TOPIC, OTHER)}


def test_a_slash_within_the_name_is_refused(broker: RabbitMQ) -> None:
    """What the setting of the style is for."""

    async def visit() -> tuple[list[object], str]:
        async with feed_of(broker.url) as feed:
            await feed.subscribe([TOPIC])
            events, reason = await lose(feed)
            return list(events), reason

    assert asyncio.run(visit()) == ([], "the server sent ERROR: Invalid destination")


def test_a_refused_connect_has_the_brokers_words(broker: RabbitMQ) -> None:
    """It takes our ``host`` for the name of a virtual host."""

    async def visit() -> None:
        async with feed_of(broker.url.replace("127.0.0.1", "localhost")):
            pass

    with pytest.raises(FeedUnavailable, match=r"^CONNECT was refused: Bad CONNECT"):
        asyncio.run(visit())


def test_the_relayer_follows_it_over_a_silence(broker: RabbitMQ, valkey_url: str, client: "redis.Redis") -> None:
    """Ticks are in Redis; a broker that falls silent is left, and afterwards everything is subscribed again."""

    def price() -> int | None:
        tick = QuoteBook(client).last_tick(SAMSUNG)
        return None if tick is None else tick.price

    async def relay() -> None:
        async with toss() as stand_in, freezing_proxy(broker.port) as proxy, publisher(broker.url) as publish:
            settings = stand_in.settings(
                valkey_url,
                TOSS_WEBSOCKET_URL=f"ws://127.0.0.1:{proxy.port}/ws",
                FEED_DESTINATION_STYLE="dots",
                RELAYER_HEARTBEAT_MS="500",
            )
            async with relayer(settings):
                await until(lambda: served(client) == 1, what="the subscription is confirmed")
                await publish(dotted(TOPIC), trade(1, price=70_100))
                await until(lambda: price() == 70_100, what="the trade is in Redis")
                proxy.freeze()
                await until(lambda: served(client) == 0, what="the silence is noticed")
                proxy.thaw()
                await until(lambda: served(client) == 1, what="it is subscribed again", deadline_s=PATIENCE_S)
                await publish(dotted(TOPIC), trade(2, price=70_200))
                await until(lambda: price() == 70_200, what="the next trade is in Redis")
                record = health(client)
                assert record is not None
                assert record.reconnects >= 1

    ask_for(client, SAMSUNG)
    asyncio.run(relay())
