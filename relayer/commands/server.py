"""Commands from Redis, obeyed: each is answered with what became of it, and none can end the relayer."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from relayer.asyncio_compat import raise_if_cancelled
from relayer.feed.interface import FeedUnavailable
from relayer.feed.subscriptions import Addition, SubscriptionWatch
from relayer.feed.supervisor import FeedSupervisor, SubscriptionOutcome
from trading.marketdata.health import TOPICS_LISTED_MAX
from trading.marketdata.relayer_client import (
    AnswerCode,
    Command,
    CommandAnswer,
    CommandType,
    MalformedCommand,
)
from trading.marketdata.subscriptions import Subscription, SubscriptionState
from trading.redis import keys

log = structlog.get_logger(__name__)

# Below the thirty seconds that whoever asked waits, above the ten in which the feed confirms.
FEED_TIMEOUT_S = 25.0
# Each of them waits for the feed; more at once are somebody's mistake.
UNDER_WAY_MAX = 64
# A connection that carries nothing may be dead without a sign, so it is asked after so much silence.
SILENCE_S = 5.0
RETRY_S = 0.5
# The first attempt after an outage may meet a connection that the outage has cut.
ANSWER_ATTEMPTS = 2

_FATES = {
    SubscriptionOutcome.CONFIRMED: AnswerCode.SUBSCRIBED,
    SubscriptionOutcome.REFUSED: AnswerCode.REFUSED,
    SubscriptionOutcome.UNCONFIRMED: AnswerCode.UNCONFIRMED,
    SubscriptionOutcome.WITHDRAWN: AnswerCode.WITHDRAWN,
    SubscriptionOutcome.DISCONNECTED: AnswerCode.PENDING,
}


class CommandListener:
    """Listens until cancelled; what is under way then stays unanswered."""

    def __init__(
        self,
        redis: "Redis",
        watch: SubscriptionWatch,
        link: FeedSupervisor,
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._redis = redis
        self._silence_s = silence_s
        self._watch = watch
        self._link = link
        self._under_way = 0

    async def run(self) -> None:
        """Listen for ever, and anew after every loss of Redis: what is published meanwhile is lost, and its sender told so by the silence."""
        reachable = True
        async with asyncio.TaskGroup() as obeying:
            while True:
                try:
                    async with self._redis.pubsub() as channel:
                        await channel.subscribe(keys.RELAYER_COMMANDS)
                        reachable = True
                        await self._listen(channel, obeying)
                except (RedisError, OSError) as fault:
                    if reachable:
                        log.warning("command_channel_lost", reason=type(fault).__name__)
                    reachable = False
                    raise_if_cancelled()
                    await asyncio.sleep(RETRY_S)

    async def _listen(self, channel: PubSub, obeying: asyncio.TaskGroup) -> None:
        asked = False
        while True:
            raise_if_cancelled()
            message = await channel.get_message(timeout=self._silence_s)
            if message is not None:
                asked = False
                if message["type"] == "message":
                    obeying.create_task(self._hear(message["data"]))
            elif asked:
                raise RedisConnectionError("Redis does not answer")
            else:
                asked = True
                await channel.ping()

    async def _hear(self, text: str) -> None:
        try:
            command = Command.from_json(text)
        except MalformedCommand as malformed:
            log.warning("command_malformed", code=malformed.code, command_id=malformed.command_id)
            if malformed.command_id is not None:
                await self._answer(malformed.command_id, CommandAnswer(malformed.code))
            return
        answer = await self._obey(command)
        log.info(
            "command_answered",
            type=command.type,
            topic=command.topic,
            command_id=command.command_id,
            code=answer.code,
        )
        await self._answer(command.command_id, answer)

    async def _answer(self, command_id: str, answer: CommandAnswer) -> None:
        """Keep the answer for whoever looks later and publish it to whoever waits. Without Redis it is lost, as its reader is."""
        name, text = keys.command_result(command_id), answer.to_json()
        for left in reversed(range(ANSWER_ATTEMPTS)):
            try:
                async with self._redis.pipeline(transaction=True) as pipeline:
                    pipeline.set(name, text, ex=keys.COMMAND_RESULT_TTL_S)
                    pipeline.publish(name, text)
                    await pipeline.execute()
            except (RedisError, OSError) as fault:
                if not left:
                    log.warning(
                        "command_answer_not_sent",
                        command_id=command_id,
                        reason=type(fault).__name__,
                    )
            else:
                return

    async def _obey(self, command: Command) -> CommandAnswer:
        if self._under_way >= UNDER_WAY_MAX:
            return CommandAnswer(AnswerCode.BUSY)
        self._under_way += 1
        try:
            return await self._carry_out(command)
        except (RedisError, OSError) as fault:
            log.warning("command_not_stored", reason=type(fault).__name__)
            return CommandAnswer(AnswerCode.NOT_STORED)
        except Exception:
            # A fault of ours in one command must not cost everybody the market.
            log.exception("command_failed")
            return CommandAnswer(AnswerCode.INTERNAL_ERROR)
        finally:
            self._under_way -= 1

    async def _carry_out(self, command: Command) -> CommandAnswer:
        match command:
            case Command(type=CommandType.SUBSCRIBE, topic=str(topic)):
                return await self._subscribe(topic)
            case Command(type=CommandType.UNSUBSCRIBE, topic=str(topic)):
                return await self._unsubscribe(topic)
            case Command(type=CommandType.RECONNECT):
                return await self._reconnect()
            case _:
                return CommandAnswer(AnswerCode.SUBSCRIPTIONS, self._subscriptions())

    async def _subscribe(self, topic: str) -> CommandAnswer:
        """Want a destination. It stays wanted where it is confirmed or the feed is away; a failure leaves what commands ask for as it was."""
        served = self._link.serves(topic)
        addition = await self._watch.add(topic)
        raise_if_cancelled()
        if addition is Addition.NO_ROOM:
            return CommandAnswer(AnswerCode.BUDGET_EXCEEDED, {"budget": self._watch.budget})
        if served:
            return CommandAnswer(AnswerCode.ALREADY_SUBSCRIBED, self._wanted(topic))
        try:
            async with asyncio.timeout(FEED_TIMEOUT_S):
                fate = await self._link.subscription(topic)
        except TimeoutError:
            fate = SubscriptionOutcome.UNCONFIRMED
        answer = CommandAnswer(
            _FATES[fate],
            self._refusal(topic) if fate is SubscriptionOutcome.REFUSED else self._wanted(topic),
        )
        if not answer.code.success and addition is Addition.ADDED:
            await self._watch.remove(topic)
        return answer

    async def _unsubscribe(self, topic: str) -> CommandAnswer:
        """Want a destination no longer. Where the product itself wants it, it stays subscribed, and the answer says for what source."""
        removed = await self._watch.remove(topic)
        raise_if_cancelled()
        if topic in self._watch.wanted:
            return CommandAnswer(AnswerCode.STILL_SUBSCRIBED, self._wanted(topic))
        if not removed:
            return CommandAnswer(AnswerCode.NOT_SUBSCRIBED)
        # A feed that takes nothing for so long is about to be left, and its subscriptions with it.
        with suppress(TimeoutError):
            async with asyncio.timeout(FEED_TIMEOUT_S):
                await self._link.withdrawal(topic)
        return CommandAnswer(AnswerCode.UNSUBSCRIBED)

    async def _reconnect(self) -> CommandAnswer:
        try:
            async with asyncio.timeout(FEED_TIMEOUT_S):
                await self._link.reconnect()
        except TimeoutError:
            return CommandAnswer(
                AnswerCode.RECONNECT_FAILED, {"reason": "the feed answers too slowly"}
            )
        except FeedUnavailable as fault:
            return CommandAnswer(AnswerCode.RECONNECT_FAILED, {"reason": str(fault)})
        return CommandAnswer(
            AnswerCode.RECONNECTED, {"connections_total": self._link.connections_total}
        )

    def _wanted(self, topic: str) -> Mapping[str, Any]:
        """The source for which a destination is wanted."""
        return {"source": self._watch.wishes.get(topic)}

    def _refusal(self, topic: str) -> Mapping[str, Any]:
        refusal = self._link.refusals[topic]
        return {
            "reason": refusal.reason,
            "retry_after_s": round(refusal.until - asyncio.get_running_loop().time()),
        }

    def _subscriptions(self) -> Mapping[str, Any]:
        """Everything that is followed or should be, and how the feed stands to it."""
        wishes, refusals = self._watch.wishes, self._link.refusals

        def told(topic: str, state: SubscriptionState, reason: str | None = None) -> dict[str, Any]:
            return asdict(
                Subscription(topic=topic, source=wishes[topic], state=state, reason=reason)
            )

        listed = [
            told(topic, SubscriptionState.CONFIRMED)
            if self._link.serves(topic)
            else told(topic, SubscriptionState.REFUSED, refusals[topic].reason)
            if topic in refusals
            else told(topic, SubscriptionState.PENDING)
            for topic in sorted(self._watch.wanted)
        ]
        left_out = self._watch.left_out
        return {
            "connected": self._link.connected,
            "budget": self._watch.budget,
            "subscriptions": listed,
            "left_out": [
                told(topic, SubscriptionState.LEFT_OUT) for topic in left_out[:TOPICS_LISTED_MAX]
            ],
            "left_out_total": len(left_out),
        }
