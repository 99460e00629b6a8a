"""Commands against the real relayer, the sandbox and a real Redis: what is answered is what became of them."""

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
from relayer.feed.subscriptions import SubscriptionWatch
from relayer.feed.supervisor import FeedSupervisor
from relayer.ticks.filter import TickFilter
from relayer.ticks.sequence import TickSequence
from relayer.ticks.writer import TickWriter
from tests.relayer.harness import (
    HYNIX,
    SAMSUNG,
    Toss,
    ask_for,
    health,
    relayer,
    served,
    toss,
    until,
)
from tests.support.servers import Valkey
from trading.db.clock import utc_now
from trading.marketdata.relayer_client import (
    AnswerCode,
    Command,
    CommandAnswer,
    CommandType,
    RelayerClient,
)
from trading.marketdata.subscriptions import Source, publish_subscriptions
from trading.marketdata.topics import trade_topic
from trading.redis import keys
from trading.redis.client import connect

SAMSUNG_TRADES, HYNIX_TRADES = trade_topic(SAMSUNG), trade_topic(HYNIX)
RECEIPT_TIMEOUT_S = 2.0
# Nothing here is about beats, so none may be missed on a busy machine.
BEAT_MS = 30_000


@dataclass(frozen=True)
class Desk:
    """Where a test gives commands to the relayer that runs in its own loop."""

    client: "redis.Redis"
    toss: Toss
    line: RelayerClient

    async def ask(self, kind: CommandType, topic: str | None = None) -> CommandAnswer:
        """Give a command as the API does and wait for the answer."""
        return await asyncio.to_thread(self.line.ask, Command.new(kind, topic), now=utc_now())

    async def subscribe(self, topic: str) -> CommandAnswer:
        return await self.ask(CommandType.SUBSCRIBE, topic)

    async def unsubscribe(self, topic: str) -> CommandAnswer:
        return await self.ask(CommandType.UNSUBSCRIBE, topic)

    async def is_heard(self) -> None:
        """Wait until the relayer listens to commands."""
        await until(
            lambda: (
                self.client.exists(keys.RELAYER_HEALTH)
                and self.client.pubsub_numsub(keys.RELAYER_COMMANDS)[0][1]
            ),
            what="the relayer listens",
        )

    def commanded(self) -> set[str]:
        """What commands ask for, as Redis has it."""
        return set(self.client.smembers(keys.RELAYER_SUBSCRIPTIONS))


@asynccontextmanager
async def desk(valkey_url: str, **settings: str) -> AsyncIterator[Desk]:
    """A relayer that is connected, listens, and waits two seconds for receipts."""
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
                found = Desk(client, stand_in, RelayerClient(client))
                await found.is_heard()
                await until(
                    lambda: (record := health(client)) and record.connected,
                    what="the relayer is connected",
                )
                yield found


async def test_a_subscription_is_answered_when_the_feed_has_confirmed_it(valkey_url: str) -> None:
    """The answer is there for whoever looks later, and the set of what is wanted tells it."""

    async with desk(valkey_url) as at:
        command = Command.new(CommandType.SUBSCRIBE, SAMSUNG_TRADES)
        answer = await asyncio.to_thread(at.line.ask, command, now=utc_now())

        assert answer == CommandAnswer(AnswerCode.SUBSCRIBED, {"source": "commands"})
        assert at.toss.server.destinations() == at.commanded() == {SAMSUNG_TRADES}
        name = keys.command_result(command.command_id)
        kept = json.loads(at.client.get(name))
        assert (kept["success"], kept["message"], kept["code"]) == (
            True,
            "구독 추가 성공",
            "subscribed",
        )
        assert 0 < at.client.ttl(name) <= 60
        assert (await at.subscribe(SAMSUNG_TRADES)).code is AnswerCode.ALREADY_SUBSCRIBED


async def test_a_late_receipt_is_waited_for(valkey_url: str) -> None:
    """Nothing is called a success before the feed has said so."""

    async with desk(valkey_url) as at:
        at.toss.server.faults.receipt_delay_ms = 300
        began = asyncio.get_running_loop().time()
        assert (await at.subscribe(SAMSUNG_TRADES)).code is AnswerCode.SUBSCRIBED
        assert asyncio.get_running_loop().time() - began >= 0.3


async def test_a_refusal_reaches_whoever_asked(valkey_url: str) -> None:
    """With the feed's own words; nothing of it stays wanted, and asked again at once it is not tried again."""

    async with desk(valkey_url) as at:
        at.toss.server.faults.refused_destinations = {HYNIX_TRADES}
        for _ in range(2):
            refused = await at.subscribe(HYNIX_TRADES)
            assert refused.code is AnswerCode.REFUSED
            assert refused.data["reason"] == "the destination is unknown"
            assert 0 < refused.data["retry_after_s"] <= 300
            assert at.commanded() == set()
        await until(
            lambda: at.toss.server.connections_total == 2, what="the relayer is connected again"
        )
        assert (await at.subscribe(SAMSUNG_TRADES)).code in (
            AnswerCode.SUBSCRIBED,
            AnswerCode.PENDING,
        )


async def test_a_subscription_that_is_never_confirmed_is_no_success(valkey_url: str) -> None:
    """The feed says nothing at all: what was commanded before stays as it was, and the new one is not wanted."""

    async with desk(valkey_url) as at:
        assert (await at.subscribe(SAMSUNG_TRADES)).code is AnswerCode.SUBSCRIBED
        at.toss.server.faults.receipts = False
        assert (await at.subscribe(HYNIX_TRADES)).code is AnswerCode.UNCONFIRMED
        assert at.commanded() == {SAMSUNG_TRADES}


async def test_what_the_budget_does_not_hold_is_not_stored(valkey_url: str) -> None:
    async with desk(valkey_url, RELAYER_SUBSCRIPTION_BUDGET="1") as at:
        assert (await at.subscribe(SAMSUNG_TRADES)).code is AnswerCode.SUBSCRIBED
        assert await at.subscribe(HYNIX_TRADES) == CommandAnswer(
            AnswerCode.BUDGET_EXCEEDED, {"budget": 1}
        )
        assert at.commanded() == {SAMSUNG_TRADES}


async def test_without_the_feed_it_is_pending_and_made_good(valkey_url: str) -> None:
    """Both for a relayer that is not connected and for one whose connection is lost while it waits for the receipt."""

    async with desk(valkey_url) as at:
        at.toss.server.faults.receipts = False
        waiting = asyncio.create_task(at.subscribe(SAMSUNG_TRADES))
        await until(
            lambda: at.toss.server.destinations() == {SAMSUNG_TRADES},
            what="the subscription is asked for",
        )
        at.toss.server.faults.token_status = 503
        at.toss.server.drop_connections()
        assert (await waiting).code is AnswerCode.PENDING
        assert (await at.subscribe(HYNIX_TRADES)).code is AnswerCode.PENDING

        at.toss.server.faults.receipts = True
        at.toss.server.faults.token_status = 200

        await until(lambda: served(at.client) == 2, what="both are confirmed")
        assert at.commanded() == {SAMSUNG_TRADES, HYNIX_TRADES}


async def test_unsubscribing_is_answered_with_what_it_meant(valkey_url: str) -> None:
    """Withdrawn from the feed; nothing to withdraw; or still subscribed because money depends on it."""

    async with desk(valkey_url) as at:
        publish_subscriptions(at.client, {SAMSUNG: Source.OPEN_ORDERS})
        for topic in (SAMSUNG_TRADES, HYNIX_TRADES):
            assert (await at.subscribe(topic)).code.success

        assert await at.unsubscribe(HYNIX_TRADES) == CommandAnswer(AnswerCode.UNSUBSCRIBED)
        assert at.toss.server.destinations() == {SAMSUNG_TRADES}
        assert (await at.unsubscribe(HYNIX_TRADES)).code is AnswerCode.NOT_SUBSCRIBED
        assert await at.unsubscribe(SAMSUNG_TRADES) == CommandAnswer(
            AnswerCode.STILL_SUBSCRIBED, {"source": "open-orders"}
        )
        assert at.toss.server.destinations() == {SAMSUNG_TRADES}
        assert at.commanded() == set()


async def test_a_subscription_may_be_withdrawn_before_it_is_confirmed(valkey_url: str) -> None:
    """Whoever waits for it is told, instead of waiting for what will not come."""

    async with desk(valkey_url) as at:
        at.toss.server.faults.receipts = False
        waiting = asyncio.create_task(at.subscribe(SAMSUNG_TRADES))
        await until(
            lambda: at.toss.server.destinations() == {SAMSUNG_TRADES},
            what="the subscription is asked for",
        )
        assert (await at.unsubscribe(SAMSUNG_TRADES)).code is AnswerCode.UNSUBSCRIBED
        assert (await waiting).code is AnswerCode.WITHDRAWN


async def test_a_reconnect_is_a_new_connection_with_all_subscriptions(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """And it is answered once that stands. The predecessor's was deaf after it."""

    ask_for(client, SAMSUNG)
    async with desk(valkey_url) as at:
        await until(lambda: served(client) == 1, what="the subscription is confirmed")
        assert await at.ask(CommandType.RECONNECT) == CommandAnswer(
            AnswerCode.RECONNECTED, {"connections_total": 2}
        )
        await until(lambda: served(client) == 1, what="the subscription is confirmed again")
        at.toss.trade(1)
        await until(lambda: client.exists(keys.last_tick(SAMSUNG)), what="a trade arrives")
        assert at.toss.server.connections_total == at.toss.server.tokens_total == 2


async def test_a_reconnect_that_fails_says_why_and_one_that_waits_is_hurried(
    valkey_url: str,
) -> None:
    """A failure is answered at the first attempt; later ones need not wait for the back-off."""

    async with desk(valkey_url) as at:
        at.toss.server.faults.token_status = 503
        for _ in range(8):
            failed = await at.ask(CommandType.RECONNECT)
            assert failed.code is AnswerCode.RECONNECT_FAILED
            assert failed.data["reason"] == "the token endpoint answered 503"
        at.toss.server.faults.token_status = 200
        assert (await at.ask(CommandType.RECONNECT)).code is AnswerCode.RECONNECTED


async def test_the_subscriptions_are_told_with_their_state(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """What is confirmed, refused and left out, each with the source for which it is wanted."""
    kakao = "A035720"

    async with desk(valkey_url, RELAYER_SUBSCRIPTION_BUDGET="2") as at:
        at.toss.server.faults.refused_destinations = {HYNIX_TRADES}
        publish_subscriptions(client, {SAMSUNG: Source.HOLDINGS, HYNIX: Source.OPEN_ORDERS})
        ask_for(client, kakao)
        await until(lambda: served(client) == 1, what="the other one is served")

        told = (await at.ask(CommandType.GET_SUBSCRIPTIONS)).data

        assert told == {
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
async def test_what_is_no_command_is_answered_where_that_is_possible(
    valkey_url: str, message: dict[str, object], code: AnswerCode
) -> None:
    """Nothing that is published there ends the relayer, nor gets near a frame."""

    async with desk(valkey_url) as at:
        for garbage in HOSTILE:
            at.client.publish(keys.RELAYER_COMMANDS, garbage)
        at.client.publish(keys.RELAYER_COMMANDS, json.dumps({**message, "command_id": "mine"}))
        name = keys.command_result("mine")
        await until(lambda: at.client.exists(name), what="there is an answer")
        answer = json.loads(at.client.get(name))
        assert (answer["success"], answer["code"]) == (False, code)
        assert (await at.subscribe(SAMSUNG_TRADES)).code is AnswerCode.SUBSCRIBED
        assert at.toss.server.destinations() == {SAMSUNG_TRADES}


async def test_too_many_at_once_are_refused_and_not_kept_waiting(valkey_url: str) -> None:
    """The one beyond the bound learns so at once, while the others wait for a silent feed."""

    async with desk(valkey_url) as at:
        at.toss.server.faults.receipts = False
        for number in range(CONCURRENT_COMMANDS_MAX):
            command = Command.new(CommandType.SUBSCRIBE, trade_topic(f"A{number:06}"))
            at.client.publish(keys.RELAYER_COMMANDS, command.to_json())
        assert (await at.subscribe(SAMSUNG_TRADES)).code is AnswerCode.BUSY


async def test_commands_are_heard_again_after_redis_was_away(
    valkey_server: Valkey, valkey_url: str
) -> None:
    """Stopped and started, and once more with only the listener's own connection cut."""

    def restart() -> None:
        valkey_server.stop()
        valkey_server.start()

    async with desk(valkey_url) as at:
        for cut in (restart, lambda: at.client.client_kill_filter(_type="pubsub")):
            cut()
            await at.is_heard()
            answer = await at.ask(CommandType.GET_SUBSCRIPTIONS)
            assert answer.code is AnswerCode.SUBSCRIPTIONS


async def test_a_connection_that_died_without_a_sign_is_noticed(
    valkey_server: Valkey, valkey_url: str
) -> None:
    """A frozen Redis answers no ping: the listener leaves that connection and makes another as soon as it can."""

    with capture_logs() as logged:
        async with relayer_connect(valkey_url) as connection:
            watch, sequence = SubscriptionWatch(connection, budget=1), TickSequence()
            link = FeedSupervisor(
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
                CommandServer(connection, watch, link, silence_s=0.1).run()
            )
            with connect(valkey_url) as client:
                await until(
                    lambda: client.pubsub_numsub(keys.RELAYER_COMMANDS)[0][1], what="it listens"
                )
                valkey_server.pause()
                try:
                    await until(
                        lambda: "command_channel_lost" in str(logged), what="the silence is noticed"
                    )
                finally:
                    valkey_server.resume()
                await until(
                    lambda: client.pubsub_numsub(keys.RELAYER_COMMANDS)[0][1],
                    what="it listens again",
                )
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def test_a_change_that_redis_does_not_take_is_answered_as_that(valkey_url: str) -> None:
    """The set is no set any more: nothing is subscribed, and whoever asked knows."""

    async with desk(valkey_url) as at:
        at.client.set(keys.RELAYER_SUBSCRIPTIONS, "a text")
        assert (await at.subscribe(SAMSUNG_TRADES)).code is AnswerCode.NOT_STORED
        assert at.toss.server.destinations() == set()
