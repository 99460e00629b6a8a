"""Commands to the relayer over Redis: message formats and a client that waits for the answer.

A command is published as ``{"type": "subscribe", "topic": "...", "command_id": "..."}``. The answer
is ``{"success": true, "message": "...", "code": "...", "data": {...}}``: published to waiting
clients, and stored for a minute for those that missed it.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import uuid4

from redis import Redis, RedisError
from redis.client import PubSub

from trading.marketdata.health import HealthReason
from trading.marketdata.quotes import MarketUnavailable, QuoteStore
from trading.marketdata.topics import code_of_trade_topic
from trading.redis import keys

ANSWER_TIMEOUT_S = 30.0
SUBSCRIBE_TIMEOUT_S = 1.0

_COMMAND_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)


class CommandType(StrEnum):
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    RECONNECT = "reconnect"
    GET_SUBSCRIPTIONS = "get_subscriptions"


_WITH_TOPIC = frozenset({CommandType.SUBSCRIBE, CommandType.UNSUBSCRIBE})


class AnswerCode(StrEnum):
    """Result of a command."""

    SUBSCRIBED = "subscribed"
    ALREADY_SUBSCRIBED = "already-subscribed"
    PENDING = "pending"
    UNSUBSCRIBED = "unsubscribed"
    NOT_SUBSCRIBED = "not-subscribed"
    STILL_SUBSCRIBED = "still-subscribed"
    RECONNECTED = "reconnected"
    SUBSCRIPTIONS = "subscriptions"

    BUDGET_EXCEEDED = "subscription-budget-exceeded"
    REFUSED = "subscription-refused"
    UNCONFIRMED = "subscription-unconfirmed"
    WITHDRAWN = "subscription-withdrawn"
    RECONNECT_FAILED = "reconnect-failed"
    BUSY = "relayer-busy"
    NOT_STORED = "upstream-unavailable"
    INTERNAL_ERROR = "internal-error"
    MALFORMED = "malformed-command"
    UNKNOWN_TYPE = "unknown-command-type"
    UNKNOWN_TOPIC = "unknown-topic"

    @property
    def success(self) -> bool:
        """Return True if the command had the requested effect."""
        return self in _SUCCESSES

    @property
    def message(self) -> str:
        """The result as Korean text for users."""
        return _SUCCESSES.get(self) or _FAILURES[self]


_SUCCESSES = {
    AnswerCode.SUBSCRIBED: "구독 추가 성공",
    AnswerCode.ALREADY_SUBSCRIBED: "이미 구독하고 있습니다.",
    AnswerCode.PENDING: "지금은 시세 서버에 연결되어 있지 않습니다. 다시 연결되면 구독합니다.",
    AnswerCode.UNSUBSCRIBED: "구독 해제 성공",
    AnswerCode.NOT_SUBSCRIBED: "구독하고 있지 않습니다.",
    AnswerCode.STILL_SUBSCRIBED: "구독 요청은 해제했지만 다른 이유로 계속 구독합니다.",
    AnswerCode.RECONNECTED: "시세 서버에 다시 연결했습니다.",
    AnswerCode.SUBSCRIPTIONS: "조회했습니다.",
}
_FAILURES = {
    AnswerCode.BUDGET_EXCEEDED: "구독할 수 있는 개수를 넘어 구독하지 않았습니다.",
    AnswerCode.REFUSED: "시세 서버가 구독을 거절했습니다.",
    AnswerCode.UNCONFIRMED: "시세 서버의 구독 확인이 없어 구독을 취소했습니다.",
    AnswerCode.WITHDRAWN: "구독이 확인되기 전에 해제되었습니다.",
    AnswerCode.RECONNECT_FAILED: "시세 서버에 다시 연결하지 못했습니다. 계속 시도합니다.",
    AnswerCode.BUSY: "처리 중인 명령이 너무 많습니다. 잠시 후 다시 시도해 주세요.",
    AnswerCode.NOT_STORED: "변경을 저장하지 못했습니다. 잠시 후 다시 시도해 주세요.",
    AnswerCode.INTERNAL_ERROR: "예상하지 못한 오류가 발생했습니다.",
    AnswerCode.MALFORMED: "명령의 형식이 올바르지 않습니다.",
    AnswerCode.UNKNOWN_TYPE: "알 수 없는 명령입니다.",
    AnswerCode.UNKNOWN_TOPIC: "구독할 수 있는 주소가 아닙니다.",
}


class MalformedCommand(Exception):
    """Malformed command. ``command_id`` is its id, if it could be read."""

    def __init__(self, code: AnswerCode, command_id: str | None = None) -> None:
        super().__init__(str(code))
        self.code = code
        self.command_id = command_id


class RelayerUnavailable(Exception):
    """No relayer accepts or answers commands. ``reason`` is a stable code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayerCommand:
    """Command to the relayer. ``topic`` is set for SUBSCRIBE and UNSUBSCRIBE only."""

    type: CommandType
    command_id: str
    topic: str | None = None

    @classmethod
    def new(cls, type_: CommandType, topic: str | None = None) -> Self:
        return cls(type=type_, command_id=str(uuid4()), topic=topic)

    def to_json(self) -> str:
        return json.dumps({"type": self.type, "topic": self.topic, "command_id": self.command_id})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse an untrusted command. Raises MalformedCommand with the reason."""
        message = _json_object(text)
        command_id = message.get("command_id")
        if not isinstance(command_id, str) or not _COMMAND_ID.fullmatch(command_id):
            raise MalformedCommand(AnswerCode.MALFORMED)
        kind, topic = message.get("type"), message.get("topic")
        if not isinstance(kind, str) or kind not in set(CommandType):
            raise MalformedCommand(AnswerCode.UNKNOWN_TYPE, command_id)
        if kind not in _WITH_TOPIC:
            return cls(type=CommandType(kind), command_id=command_id)
        if not isinstance(topic, str) or code_of_trade_topic(topic) is None:
            raise MalformedCommand(AnswerCode.UNKNOWN_TOPIC, command_id)
        return cls(type=CommandType(kind), command_id=command_id, topic=topic)


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """Result of a command with the facts of its code, as plain JSON values by name."""

    code: AnswerCode
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        answer = {
            "success": self.code.success,
            "message": self.code.message,
            "code": self.code,
            "data": dict(self.data),
        }
        return json.dumps(answer, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse an answer written by ``to_json``. Raises MalformedCommand for anything else."""
        answer = _json_object(text)
        code, data = answer.get("code"), answer.get("data")
        if not isinstance(code, str) or code not in set(AnswerCode) or not isinstance(data, dict):
            raise MalformedCommand(AnswerCode.MALFORMED)
        return cls(AnswerCode(code), data)


class RelayerClient:
    """Client that sends commands to the relayer and waits for the answers. Thread-safe."""

    def __init__(self, redis: Redis, *, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._redis = redis
        self._timeout_s = timeout_s

    def ask(self, command: RelayerCommand, *, now: datetime) -> CommandAnswer:
        """Send a command and return the relayer's answer.

        Raises RelayerUnavailable immediately if no relayer is alive at ``now``, or if it does not
        answer in time; MarketUnavailable if Redis is unavailable.
        """
        deadline = time.monotonic() + self._timeout_s
        health = QuoteStore(self._redis).relayer_health()
        if health is None:
            raise RelayerUnavailable(HealthReason.NO_RECORD)
        if health.is_dead(now):
            raise RelayerUnavailable(HealthReason.NO_HEARTBEAT)
        name = keys.command_result(command.command_id)
        try:
            with self._redis.pubsub() as channel:  # type: ignore[no-untyped-call]
                channel.subscribe(name)
                # Publish only after Redis confirmed the subscription; an earlier answer could be
                # missed.
                if (
                    _next_message(channel, "subscribe", time.monotonic() + SUBSCRIBE_TIMEOUT_S)
                    is None
                ):
                    raise MarketUnavailable
                if not self._redis.publish(keys.RELAYER_COMMANDS, command.to_json()):
                    raise RelayerUnavailable("no-listener")
                text: str | bytes | None = _next_message(channel, "message", deadline)
                if text is None:
                    text = self._redis.get(name)
        except RedisError as fault:
            raise MarketUnavailable from fault
        if text is None:
            raise RelayerUnavailable("no-answer")
        try:
            return CommandAnswer.from_json(text)
        except MalformedCommand:
            raise RelayerUnavailable("malformed-answer") from None


def _next_message(channel: PubSub, kind: str, deadline: float) -> str | None:
    """Return the data of the next message of a kind; None if none arrived in time."""
    while (left_s := deadline - time.monotonic()) > 0:
        message = channel.get_message(timeout=left_s)
        if message is not None and message["type"] == kind:
            return str(message["data"])
    return None


def _json_object(text: str | bytes) -> dict[str, object]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedCommand(AnswerCode.MALFORMED) from None
    if not isinstance(message, dict):
        raise MalformedCommand(AnswerCode.MALFORMED)
    return message
