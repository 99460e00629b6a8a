"""Control the relayer's subscriptions and connection, for administrators.

Each route sends one command to the relayer and waits for the answer.
"""

import time
from threading import BoundedSemaphore
from typing import Any

import structlog
from flask import Response
from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields

from trading.marketdata.relayer_client import (
    AnswerCode,
    CommandAnswer,
    CommandType,
    RelayerClient,
    RelayerCommand,
    RelayerUnavailable,
)
from trading.marketdata.topics import code_of_trade_topic, parse_trade_topic
from trading.operations.admin_action_model import ActionKind
from webapp.context import get_core
from webapp.http.admin_log import record_intent, record_outcome, requested
from webapp.http.authentication import admin_required, current_user
from webapp.http.openapi import make_blueprint
from webapp.http.problems import CODES, problem, problem_as
from webapp.http.schemas import envelope, success

blueprint = make_blueprint("Relayer admin", "시세 구독 관리 (관리자)")

log = structlog.get_logger(__name__)

# A command may take half a minute: keep the process's other threads free for users.
_SLOTS = BoundedSemaphore(2)
_FACT_NAMES = ("budget", "reason", "retry_after_s")
# Commands that only read are not logged as actions.
_LOGGED_ACTIONS = {
    CommandType.SUBSCRIBE: ActionKind.SUBSCRIBE,
    CommandType.UNSUBSCRIBE: ActionKind.UNSUBSCRIBE,
    CommandType.RECONNECT: ActionKind.RECONNECT,
}


class Topic(fields.String):
    """A destination, in full or by stock code; loads in full."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        topic = parse_trade_topic(str(super()._deserialize(value, attr, data, **kwargs)))
        if topic is None:
            raise ValidationError(
                "종목 코드(A005930)나 /topic/v1/kr/stock/trade/A005930 형식으로 입력해 주세요."
            )
        return topic


class TopicQuerySchema(Schema):
    topic = Topic(required=True, metadata={"example": "/topic/v1/kr/stock/trade/A000660"})


class OutcomeSchema(Schema):
    """Outcome of a command; `source` is why the destination is subscribed, or null."""

    command_id = fields.String(
        required=True, metadata={"example": "8d0f6f3e-6a0a-4f5e-9f1c-0d8a5a3b7c11"}
    )
    outcome = fields.String(required=True, metadata={"example": "done"})
    topic = fields.String(required=True, metadata={"example": "/topic/v1/kr/stock/trade/A005930"})
    stock_code = fields.String(required=True, metadata={"example": "A005930"})
    source = fields.String(required=True, allow_none=True, metadata={"example": "command"})


class ReconnectionSchema(Schema):
    command_id = fields.String(
        required=True, metadata={"example": "8d0f6f3e-6a0a-4f5e-9f1c-0d8a5a3b7c11"}
    )
    outcome = fields.String(required=True, metadata={"example": "done"})
    connections_total = fields.Integer(required=True, metadata={"example": 1})


class SubscriptionStateSchema(Schema):
    """A destination and why it is wanted; `reason` is set if the feed refused it."""

    topic = fields.String(required=True, metadata={"example": "/topic/v1/kr/stock/trade/A005930"})
    stock_code = fields.Function(
        lambda each: code_of_trade_topic(each["topic"]),
        metadata={"type": "string", "example": "A005930"},
    )
    source = fields.String(required=True, metadata={"example": "command"})
    state = fields.String(required=True, metadata={"example": "CONFIRMED"})
    reason = fields.String(required=True, allow_none=True)


class SubscriptionsSchema(Schema):
    """All wanted destinations, and some of those that exceed the budget."""

    connected = fields.Boolean(required=True)
    budget = fields.Integer(required=True, metadata={"example": 100})
    total_count = fields.Integer(required=True, metadata={"example": 42})
    subscriptions = fields.List(fields.Nested(SubscriptionStateSchema), required=True)
    left_out = fields.List(fields.Nested(SubscriptionStateSchema), required=True)
    left_out_total = fields.Integer(required=True, metadata={"example": 0})


@blueprint.route("/admin/websocket/subscriptions/subscribe")
class SubscribeTopic(MethodView):
    @admin_required
    @blueprint.arguments(TopicQuerySchema, location="query")
    @blueprint.response(200, envelope(OutcomeSchema))
    def post(self, arguments: dict[str, Any]) -> dict[str, object] | Response:
        """Subscribe the relayer to a stock.

        시세 구독 추가. 종목의 체결 시세를 구독합니다. 구독이 확인되면 `subscribed`, 이미 구독
        중이면 `already-subscribed`, 시세 서버 연결이 끊겨 있으면 `pending`으로 응답합니다.
        """
        return _send_topic_command(CommandType.SUBSCRIBE, arguments["topic"])


@blueprint.route("/admin/websocket/subscriptions/unsubscribe")
class UnsubscribeTopic(MethodView):
    @admin_required
    @blueprint.arguments(TopicQuerySchema, location="query")
    @blueprint.response(200, envelope(OutcomeSchema))
    def delete(self, arguments: dict[str, Any]) -> dict[str, object] | Response:
        """Remove an administrator's subscription.

        시세 구독 해제. 관리자가 추가한 구독을 해제합니다. 서비스에 필요한 종목은 구독을 유지하고
        `still-subscribed`와 이유를 응답합니다.
        """
        return _send_topic_command(CommandType.UNSUBSCRIBE, arguments["topic"])


@blueprint.route("/admin/websocket/subscriptions")
class SubscriptionList(MethodView):
    @admin_required
    @blueprint.response(200, envelope(SubscriptionsSchema))
    def get(self) -> dict[str, object] | Response:
        """List the relayer's subscriptions.

        시세 구독 목록 조회. 시세 수신기가 구독하는 종목과 구독 이유, 상태를 조회합니다.
        """
        command = RelayerCommand.new(CommandType.GET_SUBSCRIPTIONS)
        answer = _send(command)
        if isinstance(answer, Response):
            return answer
        return success(
            {**answer.data, "total_count": len(answer.data["subscriptions"])}, answer.code.message
        )


@blueprint.route("/admin/websocket/reconnect")
class ReconnectRelayer(MethodView):
    @admin_required
    @blueprint.response(200, envelope(ReconnectionSchema))
    def post(self) -> dict[str, object] | Response:
        """Reconnect the relayer to the feed.

        시세 서버 재연결. 시세 수신기의 연결을 끊고 모든 구독과 함께 다시 연결합니다.
        """
        command = RelayerCommand.new(CommandType.RECONNECT)
        answer = _send(command)
        if isinstance(answer, Response):
            return answer
        return success(
            {"command_id": command.command_id, "outcome": answer.code, **answer.data},
            answer.code.message,
        )


def _send_topic_command(kind: CommandType, topic: str) -> dict[str, object] | Response:
    command = RelayerCommand.new(kind, topic)
    answer = _send(command)
    if isinstance(answer, Response):
        return answer
    result = {
        "command_id": command.command_id,
        "outcome": answer.code,
        "topic": topic,
        "stock_code": code_of_trade_topic(topic),
        "source": answer.data.get("source"),
    }
    return success(result, answer.code.message)


def _send(command: RelayerCommand) -> CommandAnswer | Response:
    """Send a command; return the answer if it succeeded, else the problem response.

    The intent is logged before and the outcome afterwards.
    """
    began, outcome = time.monotonic(), "upstream-unavailable"
    core = get_core()
    action = requested(_LOGGED_ACTIONS[command.type]) if command.type in _LOGGED_ACTIONS else None
    if action is not None:
        record_intent(action, target=command.topic, command_id=command.command_id)
    try:
        if not _SLOTS.acquire(blocking=False):
            outcome = AnswerCode.BUSY
            return problem(AnswerCode.BUSY)
        try:
            answer = RelayerClient(core.redis).ask(command, now=core.clock())
        finally:
            _SLOTS.release()
        outcome = answer.code
        if answer.code.success:
            return answer
        if answer.code not in CODES:
            # The relayer may be of another version and not know the command.
            return problem_as(504, "relayer-unavailable", reason=answer.code)
        return problem(
            answer.code, **{name: answer.data[name] for name in _FACT_NAMES if name in answer.data}
        )
    except RelayerUnavailable as fault:
        outcome = fault.reason
        return problem_as(504, "relayer-unavailable", reason=fault.reason)
    finally:
        if action is not None:
            record_outcome(action, outcome)
        log.info(
            "relayer_command",
            user_id=current_user().user_id.hex,
            type=command.type,
            topic=command.topic,
            command_id=command.command_id,
            outcome=outcome,
            duration_ms=round((time.monotonic() - began) * 1_000),
        )
