"""Commands against a relayer with the sandbox and a real Redis."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import pytest
import redis
from structlog.testing import capture_logs

from relayer.backoff import Backoff
from relayer.commands.server import CONCURRENT_COMMANDS_MAX, CommandServer
from relayer.daemon import connect as relayer_connect
from relayer.feed.stomp_feed import StompFeed
from relayer.feed.subscription_budget import SubscriptionWatch
from relayer.feed.supervisor import FeedSupervisor
from relayer.ticks.filter import TickFilter
from relayer.ticks.sequence import TickSequence
from relayer.ticks.writer import TickWriter
from tests.relayer.harness import (
    HYNIX,
    SAMSUNG,
    Toss,
    add_subscriptions,
    confirmed_count,
    health,
    relayer,
    toss,
    until,
)
from tests.support.servers import Valkey
from trading.db.clock import utc_now
from trading.marketdata.relayer_client import (
    AnswerCode,
    CommandAnswer,
    CommandType,
    RelayerClient,
    RelayerCommand,
)
from trading.marketdata.subscriptions import SubscriptionSource, publish_subscriptions
from trading.marketdata.topics import trade_topic
from trading.redis import keys
from trading.redis.client import connect

SAMSUNG_TRADES, HYNIX_TRADES = trade_topic(SAMSUNG), trade_topic(HYNIX)
RECEIPT_TIMEOUT_S = 2.0
# No test here is about heart-beats, so none may be missed on a busy machine.
BEAT_MS = 30_000


@dataclass(frozen=True)
class CommandHarness:
    """Sends commands to the relayer that runs in the test's event loop."""

    client: "redis.Redis"
    toss: Toss
    relayer_client: RelayerClient

    async def ask(self, kind: CommandType, topic: str | None = None) -> CommandAnswer:
        """Send a command as the API does and wait for the answer."""
        return await asyncio.to_thread(
            self.relayer_client.ask, RelayerCommand.new(kind, topic), now=utc_now()
        )

    async def subscribe(self, topic: str) -> CommandAnswer:
        return await self.ask(CommandType.SUBSCRIBE, topic)

    async def unsubscribe(self, topic: str) -> CommandAnswer:
        return await self.ask(CommandType.UNSUBSCRIBE, topic)

    async def wait_until_listening(self) -> None:
        """Wait until the relayer listens to commands."""
        await until(
            lambda: (
                self.client.exists(keys.RELAYER_HEALTH)
                and self.client.pubsub_numsub(keys.RELAYER_COMMANDS)[0][1]
            ),
            what="the relayer listens",
        )

    def commanded(self) -> set[str]:
        """Return the commanded destinations stored in Redis."""
        return set(self.client.smembers(keys.RELAYER_SUBSCRIPTIONS))


@asynccontextmanager
async def command_harness(valkey_url: str, **settings: str) -> AsyncIterator[CommandHarness]:
    """Run a connected relayer that waits two seconds for receipts."""
    async with toss(heart_beat_ms=BEAT_MS) as stand_in:
        chosen = stand_in.settings(valkey_url, RELAYER_HEARTBEAT_MS=str(BEAT_MS), **settings)
        feed = StompFeed(
            api_url=chosen.toss_api_url,
            websocket_url=chosen.toss_websocket_url,
            heart_beat_ms=chosen.relayer_heartbeat_ms,
            receipt_timeout_s=RECEIPT_TIMEOUT_S,
        )
        async with relayer(chosen, feed=feed):
            with connect(valkey_url) as client:
                found = CommandHarness(client, stand_in, RelayerClient(client))
                await found.wait_until_listening()
                await until(
                    lambda: (record := health(client)) and record.connected,
                    what="the relayer is connected",
                )
                yield found


async def test_a_confirmed_subscription_is_answered_and_stored(valkey_url: str) -> None:

    async with command_harness(valkey_url) as harness:
        command = RelayerCommand.new(CommandType.SUBSCRIBE, SAMSUNG_TRADES)
        answer = await asyncio.to_thread(harness.relayer_client.ask, command, now=utc_now())

        assert answer == CommandAnswer(AnswerCode.SUBSCRIBED, {"source": "commands"})
        assert harness.toss.server.destinations() == harness.commanded() == {SAMSUNG_TRADES}
        name = keys.command_result(command.command_id)
        kept = json.loads(harness.client.get(name))
        assert (kept["success"], kept["message"], kept["code"]) == (
            True,
            "구독 추가 성공",
            "subscribed",
        )
        assert 0 < harness.client.ttl(name) <= 60
        assert (await harness.subscribe(SAMSUNG_TRADES)).code is AnswerCode.ALREADY_SUBSCRIBED


async def test_subscribing_waits_for_a_late_receipt(valkey_url: str) -> None:
    """No success is reported before the feed confirms."""

    async with command_harness(valkey_url) as harness:
        harness.toss.server.faults.receipt_delay_ms = 300
        began = asyncio.get_running_loop().time()
        assert (await harness.subscribe(SAMSUNG_TRADES)).code is AnswerCode.SUBSCRIBED
        assert asyncio.get_running_loop().time() - began >= 0.3


async def test_a_refused_subscription_is_answered_with_the_reason(valkey_url: str) -> None:
    """It does not stay wanted, and asking again at once is refused without trying."""

    async with command_harness(valkey_url) as harness:
        harness.toss.server.faults.refused_destinations = {HYNIX_TRADES}
        for _ in range(2):
            refused = await harness.subscribe(HYNIX_TRADES)
            assert refused.code is AnswerCode.REFUSED
            assert refused.data["reason"] == "the destination is unknown"
            assert 0 < refused.data["retry_after_s"] <= 300
            assert harness.commanded() == set()
        await until(
            lambda: harness.toss.server.connections_total == 2,
            what="the relayer is connected again",
        )
        assert (await harness.subscribe(SAMSUNG_TRADES)).code in (
            AnswerCode.SUBSCRIBED,
            AnswerCode.PENDING,
        )


async def test_an_unconfirmed_subscription_is_a_failure(valkey_url: str) -> None:
    """Earlier commands stay in effect, and the new destination is not wanted."""

    async with command_harness(valkey_url) as harness:
        assert (await harness.subscribe(SAMSUNG_TRADES)).code is AnswerCode.SUBSCRIBED
        harness.toss.server.faults.receipts = False
        assert (await harness.subscribe(HYNIX_TRADES)).code is AnswerCode.UNCONFIRMED
        assert harness.commanded() == {SAMSUNG_TRADES}


async def test_a_subscription_over_budget_is_not_stored(valkey_url: str) -> None:
    async with command_harness(valkey_url, RELAYER_SUBSCRIPTION_BUDGET="1") as harness:
        assert (await harness.subscribe(SAMSUNG_TRADES)).code is AnswerCode.SUBSCRIBED
        assert await harness.subscribe(HYNIX_TRADES) == CommandAnswer(
            AnswerCode.BUDGET_EXCEEDED, {"budget": 1}
        )
        assert harness.commanded() == {SAMSUNG_TRADES}


async def test_a_subscription_without_a_feed_is_pending_and_made_later(valkey_url: str) -> None:
    """Also if the connection is lost while waiting for the receipt."""

    async with command_harness(valkey_url) as harness:
        harness.toss.server.faults.receipts = False
        waiting = asyncio.create_task(harness.subscribe(SAMSUNG_TRADES))
        await until(
            lambda: harness.toss.server.destinations() == {SAMSUNG_TRADES},
            what="the subscription is asked for",
        )
        harness.toss.server.faults.token_status = 503
        harness.toss.server.drop_connections()
        assert (await waiting).code is AnswerCode.PENDING
        assert (await harness.subscribe(HYNIX_TRADES)).code is AnswerCode.PENDING

        harness.toss.server.faults.receipts = True
        harness.toss.server.faults.token_status = 200

        await until(lambda: confirmed_count(harness.client) == 2, what="both are confirmed")
        assert harness.commanded() == {SAMSUNG_TRADES, HYNIX_TRADES}


async def test_unsubscribing_reports_its_effect(valkey_url: str) -> None:
    """Unsubscribed, nothing to unsubscribe, or still subscribed because the product needs it."""

    async with command_harness(valkey_url) as harness:
        publish_subscriptions(harness.client, {SAMSUNG: SubscriptionSource.OPEN_ORDERS})
        for topic in (SAMSUNG_TRADES, HYNIX_TRADES):
            assert (await harness.subscribe(topic)).code.success

        assert await harness.unsubscribe(HYNIX_TRADES) == CommandAnswer(AnswerCode.UNSUBSCRIBED)
        assert harness.toss.server.destinations() == {SAMSUNG_TRADES}
        assert (await harness.unsubscribe(HYNIX_TRADES)).code is AnswerCode.NOT_SUBSCRIBED
        assert await harness.unsubscribe(SAMSUNG_TRADES) == CommandAnswer(
            AnswerCode.STILL_SUBSCRIBED, {"source": "open-orders"}
        )
        assert harness.toss.server.destinations() == {SAMSUNG_TRADES}
        assert harness.commanded() == set()


async def test_unsubscribing_answers_a_pending_subscription(valkey_url: str) -> None:

    async with command_harness(valkey_url) as harness:
        harness.toss.server.faults.receipts = False
        waiting = asyncio.create_task(harness.subscribe(SAMSUNG_TRADES))
        await until(
            lambda: harness.toss.server.destinations() == {SAMSUNG_TRADES},
            what="the subscription is asked for",
        )
        assert (await harness.unsubscribe(SAMSUNG_TRADES)).code is AnswerCode.UNSUBSCRIBED
        assert (await waiting).code is AnswerCode.WITHDRAWN


async def test_reconnect_restores_all_subscriptions(valkey_url: str, client: "redis.Redis") -> None:
    """It is answered after the new connection is open."""

    add_subscriptions(client, SAMSUNG)
    async with command_harness(valkey_url) as harness:
        await until(lambda: confirmed_count(client) == 1, what="the subscription is confirmed")
        assert await harness.ask(CommandType.RECONNECT) == CommandAnswer(
            AnswerCode.RECONNECTED, {"connections_total": 2}
        )
        await until(
            lambda: confirmed_count(client) == 1, what="the subscription is confirmed again"
        )
        harness.toss.trade(1)
        await until(lambda: client.exists(keys.last_tick(SAMSUNG)), what="a trade arrives")
        assert harness.toss.server.connections_total == harness.toss.server.tokens_total == 2


async def test_a_failed_reconnect_is_answered_and_shortens_the_next_wait(
    valkey_url: str,
) -> None:
    """It is answered after the first attempt; a later reconnect skips the back-off."""

    async with command_harness(valkey_url) as harness:
        harness.toss.server.faults.token_status = 503
        for _ in range(8):
            failed = await harness.ask(CommandType.RECONNECT)
            assert failed.code is AnswerCode.RECONNECT_FAILED
            assert failed.data["reason"] == "the token endpoint answered 503"
        harness.toss.server.faults.token_status = 200
        assert (await harness.ask(CommandType.RECONNECT)).code is AnswerCode.RECONNECTED


async def test_subscriptions_are_listed_with_state_and_source(
    valkey_url: str, client: "redis.Redis"
) -> None:
    kakao = "A035720"

    async with command_harness(valkey_url, RELAYER_SUBSCRIPTION_BUDGET="2") as harness:
        harness.toss.server.faults.refused_destinations = {HYNIX_TRADES}
        publish_subscriptions(
            client, {SAMSUNG: SubscriptionSource.HOLDINGS, HYNIX: SubscriptionSource.OPEN_ORDERS}
        )
        add_subscriptions(client, kakao)
        await until(lambda: confirmed_count(client) == 1, what="the other one is served")

        data = (await harness.ask(CommandType.GET_SUBSCRIPTIONS)).data

        assert data == {
            "connected": True,
            "budget": 2,
            "subscriptions": [
                {
                    "topic": HYNIX_TRADES,
                    "source": "open-orders",
                    "state": "refused",
                    "reason": "the destination is unknown",
                },
                {
                    "topic": SAMSUNG_TRADES,
                    "source": "holdings",
                    "state": "confirmed",
                    "reason": None,
                },
            ],
            "left_out": [
                {
                    "topic": trade_topic(kakao),
                    "source": "commands",
                    "state": "left-out",
                    "reason": None,
                }
            ],
            "left_out_total": 1,
        }


HOSTILE = [
    b"",
    b"\xff\xfe",
    b"7",
    b"[" * 100_000,
    b'{"type": "subscribe"}',
    b'{"type": "subscribe", "topic": "x", "command_id": {}}',
    b'{"type": "subscribe", "topic": "x", "command_id": "line\\nbreak"}',
    b'{"type": "subscribe", "topic": "x", "command_id": "' + b"x" * 65 + b'"}',
]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "dance"}, AnswerCode.UNKNOWN_TYPE),
        ({}, AnswerCode.UNKNOWN_TYPE),
        ({"type": ["subscribe"]}, AnswerCode.UNKNOWN_TYPE),
        ({"type": "subscribe"}, AnswerCode.UNKNOWN_TOPIC),
        ({"type": "subscribe", "topic": SAMSUNG}, AnswerCode.UNKNOWN_TOPIC),
        (
            {"type": "unsubscribe", "topic": "/topic/v1/kr/stock/index/KGG01P"},
            AnswerCode.UNKNOWN_TOPIC,
        ),
        ({"type": "subscribe", "topic": f"{SAMSUNG_TRADES}\nid:1"}, AnswerCode.UNKNOWN_TOPIC),
    ],
)
async def test_invalid_commands_are_answered_if_possible(
    valkey_url: str, message: dict[str, object], code: AnswerCode
) -> None:
    """They neither end the relayer nor reach a frame."""

    async with command_harness(valkey_url) as harness:
        for garbage in HOSTILE:
            harness.client.publish(keys.RELAYER_COMMANDS, garbage)
        harness.client.publish(keys.RELAYER_COMMANDS, json.dumps({**message, "command_id": "mine"}))
        name = keys.command_result("mine")
        await until(lambda: harness.client.exists(name), what="there is an answer")
        answer = json.loads(harness.client.get(name))
        assert (answer["success"], answer["code"]) == (False, code)
        assert (await harness.subscribe(SAMSUNG_TRADES)).code is AnswerCode.SUBSCRIBED
        assert harness.toss.server.destinations() == {SAMSUNG_TRADES}


async def test_excess_commands_are_refused_at_once(valkey_url: str) -> None:
    """While the others wait for a silent feed."""

    async with command_harness(valkey_url) as harness:
        harness.toss.server.faults.receipts = False
        for number in range(CONCURRENT_COMMANDS_MAX):
            command = RelayerCommand.new(CommandType.SUBSCRIBE, trade_topic(f"A{number:06}"))
            harness.client.publish(keys.RELAYER_COMMANDS, command.to_json())
        assert (await harness.subscribe(SAMSUNG_TRADES)).code is AnswerCode.BUSY


async def test_commands_are_accepted_again_after_a_redis_outage(
    valkey_server: Valkey, valkey_url: str
) -> None:
    """After a restart of Redis, and after only the listener's connection was cut."""

    def restart() -> None:
        valkey_server.stop()
        valkey_server.start()

    async with command_harness(valkey_url) as harness:
        for cut in (restart, lambda: harness.client.client_kill_filter(_type="pubsub")):
            cut()
            await harness.wait_until_listening()
            answer = await harness.ask(CommandType.GET_SUBSCRIPTIONS)
            assert answer.code is AnswerCode.SUBSCRIPTIONS


async def test_a_silently_dead_connection_is_replaced(
    valkey_server: Valkey, valkey_url: str
) -> None:
    """A frozen Redis does not answer PING."""

    with capture_logs() as logged:
        async with relayer_connect(valkey_url) as connection:
            watch, sequence = SubscriptionWatch(connection, budget=1), TickSequence()
            supervisor = FeedSupervisor(
                StompFeed(
                    api_url="http://127.0.0.1:1",
                    websocket_url="ws://127.0.0.1:1/ws",
                    heart_beat_ms=0,
                ),
                watch,
                TickFilter(sequence, clock=utc_now),
                TickWriter(connection, sequence, clock=utc_now),
                backoff=Backoff(Random()),
                on_change=lambda: None,
            )
            listening = asyncio.create_task(
                CommandServer(connection, watch, supervisor, silence_s=0.1).run()
            )
            with connect(valkey_url) as client:
                await until(
                    lambda: client.pubsub_numsub(keys.RELAYER_COMMANDS)[0][1], what="it listens"
                )
                valkey_server.pause()
                try:
                    await until(
                        lambda: "command_channel_lost" in str(logged),
                        what="the silence is detected",
                    )
                finally:
                    valkey_server.resume()
                await until(
                    lambda: client.pubsub_numsub(keys.RELAYER_COMMANDS)[0][1],
                    what="it listens again",
                )
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def test_a_change_that_cannot_be_stored_is_answered_as_such(valkey_url: str) -> None:
    """The key has the wrong type: nothing is subscribed."""

    async with command_harness(valkey_url) as harness:
        harness.client.set(keys.RELAYER_SUBSCRIPTIONS, "a text")
        assert (await harness.subscribe(SAMSUNG_TRADES)).code is AnswerCode.NOT_STORED
        assert harness.toss.server.destinations() == set()
