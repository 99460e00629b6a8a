"""The feed against npm's stomp-broker-js: 1.1 whatever is asked for, no receipts, no escapes, no message ids."""

import asyncio
from collections.abc import Iterator

import pytest
import redis

from relayer.feed import SubscriptionConfirmed, SubscriptionUnconfirmed, TradeMessage
from tests.deadlines import DEADLINE_S
from tests.relayer.brokers.node import Script, missing
from tests.relayer.brokers.visits import (
    TOPIC,
    feed_of,
    lose,
    publisher,
    stranger,
    take,
    trade,
)
from tests.relayer.harness import SAMSUNG, ask_for, relayer, toss, until
from trading.market.quote_book import QuoteBook

QUIET = "/topic/v1/kr/stock/trade/A000660"
HEART_BEAT_MS = 500


class Broker:
    """The running script, and where it takes WebSockets."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.url = f"ws://127.0.0.1:{script.next()['port']}/ws"

    def subscriptions(self) -> list[str]:
        """What was asked for or withdrawn since the last call, in order."""
        return [
            f"{said['event']} {said['topic']}"
            for said in self.script.so_far()
            if said["event"] in {"subscribe", "unsubscribe"}
        ]


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker for one test; the test is skipped where there is none, in CI too."""
    reason = missing("stomp-broker-js")
    if reason:
        pytest.skip(reason)
    with Script("stomp_broker.cjs", str(HEART_BEAT_MS)) as script:
        yield Broker(script)


def test_a_first_message_stands_for_the_receipt(broker: Broker) -> None:
    """Slashes need no other spelling here. A withdrawn destination is quiet."""

    async def visit() -> list[object]:
        async with feed_of(broker.url) as feed, publisher(broker.url) as publish:
            await feed.subscribe([TOPIC])
            await asked(broker, 1)
            await publish(TOPIC, trade(1))
            events = [*await take(feed, 2)]
            await feed.unsubscribe([TOPIC])
            await feed.subscribe([QUIET])
            await asked(broker, 2)
            await publish(TOPIC, trade(2))
            await publish(QUIET, b"{}")
            return [*events, *await take(feed, 2)]

    assert asyncio.run(visit()) == [
        SubscriptionConfirmed(destination=TOPIC),
        TradeMessage(destination=TOPIC, body=trade(1)),
        SubscriptionConfirmed(destination=QUIET),
        TradeMessage(destination=QUIET, body=b"{}"),
    ]


def test_a_quiet_subscription_is_left_standing_once_it_is_clear_that_receipts_never_come(
    broker: Broker,
) -> None:
    """Before the first message nobody can know. From then on the broker is never asked again."""

    async def visit() -> list[object]:
        async with (
            feed_of(broker.url, receipt_timeout_s=1.0) as feed,
            publisher(broker.url) as publish,
        ):
            await feed.subscribe([QUIET])
            assert await take(feed, 1) == [SubscriptionUnconfirmed(destination=QUIET)]
            await asked(broker, 3)
            await feed.subscribe([TOPIC])
            await asked(broker, 1)
            await publish(TOPIC, b"{}")
            events = list(await take(feed, 3))
            with pytest.raises(TimeoutError):
                await lose(feed, within_s=2.5)
            assert broker.subscriptions() == []
            await publish(QUIET, b"{}")
            return [*events, *await take(feed, 1)]

    assert asyncio.run(visit()) == [
        SubscriptionConfirmed(destination=TOPIC),
        TradeMessage(destination=TOPIC, body=b"{}"),
        SubscriptionConfirmed(destination=QUIET),
        TradeMessage(destination=QUIET, body=b"{}"),
    ]


def test_beats_keep_an_idle_connection(broker: Broker) -> None:
    """Our beats keep the broker content. Who sends none is thrown out."""

    async def idle() -> None:
        async with feed_of(broker.url, heart_beat_ms=HEART_BEAT_MS) as feed:
            with pytest.raises(TimeoutError):
                await lose(feed, within_s=5.0)
        async with stranger(broker.url, heart_beat="500,0") as silent, asyncio.timeout(DEADLINE_S):
            await silent.wait_closed()

    asyncio.run(idle())


def test_the_relayer_comes_back_with_its_subscriptions(
    broker: Broker, valkey_url: str, client: "redis.Redis"
) -> None:
    """A cut connection costs the trades meanwhile and no more."""

    def volume() -> int | None:
        tick = QuoteBook(client).last_tick(SAMSUNG)
        return None if tick is None else tick.cumulative_volume

    async def relay() -> None:
        async with (
            toss() as stand_in,
            relayer(stand_in.settings(valkey_url, TOSS_WEBSOCKET_URL=broker.url)),
        ):
            await asked(broker, 1)
            async with publisher(broker.url) as publish:
                await publish(TOPIC, trade(1))
                await until(lambda: volume() == 1, what="the trade is in Redis")
            broker.subscriptions()
            broker.script.tell("drop")
            await asked(broker, 1)
            async with publisher(broker.url) as publish:
                await publish(TOPIC, trade(2))
                await until(lambda: volume() == 2, what="the next trade is in Redis")

    ask_for(client, SAMSUNG)
    asyncio.run(relay())


async def asked(broker: Broker, number: int) -> None:
    """Wait until the broker was asked for, or freed of, so many destinations since this was last waited for."""
    seen: list[str] = []

    def enough() -> bool:
        seen.extend(broker.subscriptions())
        return len(seen) >= number

    await until(enough, what=f"{number} subscriptions are asked for or withdrawn")
