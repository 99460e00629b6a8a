"""Executes commands from Redis and answers each. A failing command never ends the relayer."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from relayer.asyncio_compat import raise_if_cancelled
from relayer.feed.interface import FeedUnavailable
from relayer.feed.subscription_budget import AddResult, SubscriptionWatch
from relayer.feed.supervisor import FeedSupervisor, SubscriptionOutcome
from trading.marketdata.health import TOPICS_LISTED_MAX
from trading.marketdata.relayer_client import (
    AnswerCode,
    CommandAnswer,
    CommandType,
    MalformedCommand,
    RelayerCommand,
)
from trading.marketdata.subscriptions import Subscription, SubscriptionState
from trading.redis import keys

log = structlog.get_logger(__name__)

# Below the client's timeout of 30 s, above the 10 s in which the feed confirms.
FEED_TIMEOUT_S = 25.0
# Each of them waits for the feed; more at once indicate a mistake of the sender.
CONCURRENT_COMMANDS_MAX = 64
# A silent connection may be dead: it is probed with a PING after this long.
SILENCE_S = 5.0
RETRY_S = 0.5
# The first attempt after an outage may use a connection that the outage broke.
ANSWER_ATTEMPTS = 2

_ANSWER_CODES = {
    SubscriptionOutcome.CONFIRMED: AnswerCode.SUBSCRIBED,
    SubscriptionOutcome.REFUSED: AnswerCode.REFUSED,
    SubscriptionOutcome.UNCONFIRMED: AnswerCode.UNCONFIRMED,
    SubscriptionOutcome.WITHDRAWN: AnswerCode.WITHDRAWN,
    SubscriptionOutcome.DISCONNECTED: AnswerCode.PENDING,
}


class CommandServer:
    """Runs until cancelled; commands in progress then stay unanswered."""

    def __init__(
        self,
        redis: "Redis",
        watch: SubscriptionWatch,
        supervisor: FeedSupervisor,
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._redis = redis
        self._silence_s = silence_s
        self._watch = watch
        self._supervisor = supervisor
        self._running = 0

    async def run(self) -> None:
        """Listen until cancelled, and reconnect after every loss of Redis.

        Commands published during an outage are lost; their senders time out.
        """
        reachable = True
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    async with self._redis.pubsub() as channel:
                        await channel.subscribe(keys.RELAYER_COMMANDS)
                        reachable = True
                        await self._listen(channel, group)
                except (RedisError, OSError) as fault:
                    if reachable:
                        log.warning("command_channel_lost", reason=type(fault).__name__)
                    reachable = False
                    raise_if_cancelled()
                    await asyncio.sleep(RETRY_S)

    async def _listen(self, channel: PubSub, group: asyncio.TaskGroup) -> None:
        ping_sent = False
        while True:
            raise_if_cancelled()
            message = await channel.get_message(timeout=self._silence_s)
            if message is not None:
                ping_sent = False
                if message["type"] == "message":
                    group.create_task(self._handle(message["data"]))
            elif ping_sent:
                raise RedisConnectionError("Redis does not answer")
            else:
                ping_sent = True
                await channel.ping()

    async def _handle(self, text: str) -> None:
        try:
            command = RelayerCommand.from_json(text)
        except MalformedCommand as malformed:
            log.warning("command_malformed", code=malformed.code, command_id=malformed.command_id)
            if malformed.command_id is not None:
                await self._answer(malformed.command_id, CommandAnswer(malformed.code))
            return
        answer = await self._execute(command)
        log.info(
            "command_answered",
            type=command.type,
            topic=command.topic,
            command_id=command.command_id,
            code=answer.code,
        )
        await self._answer(command.command_id, answer)

    async def _answer(self, command_id: str, answer: CommandAnswer) -> None:
        """Store the answer for later readers and publish it to the waiting sender.

        Without Redis it is lost, and its reader could not receive it either.
        """
        name, text = keys.command_result(command_id), answer.to_json()
        for attempts_left in reversed(range(ANSWER_ATTEMPTS)):
            try:
                async with self._redis.pipeline(transaction=True) as pipeline:
                    pipeline.set(name, text, ex=keys.COMMAND_RESULT_TTL_S)
                    pipeline.publish(name, text)
                    await pipeline.execute()
            except (RedisError, OSError) as fault:
                if not attempts_left:
                    log.warning(
                        "command_answer_not_sent",
                        command_id=command_id,
                        reason=type(fault).__name__,
                    )
            else:
                return

    async def _execute(self, command: RelayerCommand) -> CommandAnswer:
        if self._running >= CONCURRENT_COMMANDS_MAX:
            return CommandAnswer(AnswerCode.BUSY)
        self._running += 1
        try:
            return await self._dispatch(command)
        except (RedisError, OSError) as fault:
            log.warning("command_not_stored", reason=type(fault).__name__)
            return CommandAnswer(AnswerCode.NOT_STORED)
        except Exception:
            # A bug in one command must not stop the market data of everyone.
            log.exception("command_failed")
            return CommandAnswer(AnswerCode.INTERNAL_ERROR)
        finally:
            self._running -= 1

    async def _dispatch(self, command: RelayerCommand) -> CommandAnswer:
        match command:
            case RelayerCommand(type=CommandType.SUBSCRIBE, topic=str(topic)):
                return await self._subscribe(topic)
            case RelayerCommand(type=CommandType.UNSUBSCRIBE, topic=str(topic)):
                return await self._unsubscribe(topic)
            case RelayerCommand(type=CommandType.RECONNECT):
                return await self._reconnect()
            case _:
                return CommandAnswer(AnswerCode.SUBSCRIPTIONS, self._subscriptions())

    async def _subscribe(self, topic: str) -> CommandAnswer:
        """Subscribe a destination.

        It stays wanted if it is confirmed or the feed is disconnected; otherwise the commanded set
        is restored.
        """
        was_confirmed = self._supervisor.is_confirmed(topic)
        addition = await self._watch.add(topic)
        raise_if_cancelled()
        if addition is AddResult.OVER_BUDGET:
            return CommandAnswer(AnswerCode.BUDGET_EXCEEDED, {"budget": self._watch.budget})
        if was_confirmed:
            return CommandAnswer(AnswerCode.ALREADY_SUBSCRIBED, self._source_facts(topic))
        try:
            async with asyncio.timeout(FEED_TIMEOUT_S):
                outcome = await self._supervisor.subscription(topic)
        except TimeoutError:
            outcome = SubscriptionOutcome.UNCONFIRMED
        answer = CommandAnswer(
            _ANSWER_CODES[outcome],
            self._refusal_facts(topic)
            if outcome is SubscriptionOutcome.REFUSED
            else self._source_facts(topic),
        )
        if not answer.code.success and addition is AddResult.ADDED:
            await self._watch.remove(topic)
        return answer

    async def _unsubscribe(self, topic: str) -> CommandAnswer:
        """Remove a commanded destination.

        If the product itself wants it, it stays subscribed and the answer names the source.
        """
        removed = await self._watch.remove(topic)
        raise_if_cancelled()
        if topic in self._watch.wanted:
            return CommandAnswer(AnswerCode.STILL_SUBSCRIBED, self._source_facts(topic))
        if not removed:
            return CommandAnswer(AnswerCode.NOT_SUBSCRIBED)
        # A feed that blocks for this long is about to be dropped together with its subscriptions.
        with suppress(TimeoutError):
            async with asyncio.timeout(FEED_TIMEOUT_S):
                await self._supervisor.wait_until_unsubscribed(topic)
        return CommandAnswer(AnswerCode.UNSUBSCRIBED)

    async def _reconnect(self) -> CommandAnswer:
        try:
            async with asyncio.timeout(FEED_TIMEOUT_S):
                await self._supervisor.reconnect()
        except TimeoutError:
            return CommandAnswer(
                AnswerCode.RECONNECT_FAILED, {"reason": "the feed answers too slowly"}
            )
        except FeedUnavailable as fault:
            return CommandAnswer(AnswerCode.RECONNECT_FAILED, {"reason": str(fault)})
        return CommandAnswer(
            AnswerCode.RECONNECTED, {"connections_total": self._supervisor.connections_total}
        )

    def _source_facts(self, topic: str) -> Mapping[str, object]:
        """Return the source that wants a destination."""
        return {"source": self._watch.requested.get(topic)}

    def _refusal_facts(self, topic: str) -> Mapping[str, object]:
        refusal = self._supervisor.refusals[topic]
        return {
            "reason": refusal.reason,
            "retry_after_s": round(refusal.until - asyncio.get_running_loop().time()),
        }

    def _subscriptions(self) -> Mapping[str, object]:
        """Return all wanted and left-out destinations with their state at the feed."""
        requested, refusals = self._watch.requested, self._supervisor.refusals

        def describe(
            topic: str, state: SubscriptionState, reason: str | None = None
        ) -> dict[str, object]:
            return asdict(
                Subscription(topic=topic, source=requested[topic], state=state, reason=reason)
            )

        subscriptions = [
            describe(topic, SubscriptionState.CONFIRMED)
            if self._supervisor.is_confirmed(topic)
            else describe(topic, SubscriptionState.REFUSED, refusals[topic].reason)
            if topic in refusals
            else describe(topic, SubscriptionState.PENDING)
            for topic in sorted(self._watch.wanted)
        ]
        left_out = self._watch.left_out
        return {
            "connected": self._supervisor.connected,
            "budget": self._watch.budget,
            "subscriptions": subscriptions,
            "left_out": [
                describe(topic, SubscriptionState.LEFT_OUT)
                for topic in left_out[:TOPICS_LISTED_MAX]
            ],
            "left_out_total": len(left_out),
        }
