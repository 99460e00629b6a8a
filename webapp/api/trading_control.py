"""Halt and resume trading, for administrators."""

from functools import partial
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields

from trading.db.ids import new_id
from trading.halts.trading import HaltRequest, halt_trading, resume_trading
from trading.operations.admin_action_model import UNCHANGED, ActionKind, Outcome
from webapp.http.admin_log import recorded, requested
from webapp.http.authentication import admin_required, current_user
from webapp.http.commands import run_command
from webapp.http.fields import Text
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope

blueprint = make_blueprint("Trading control", "거래 중단과 재개 (관리자)")

_HALTED = "거래를 중단했습니다. 신규 주문과 정정은 막고 취소와 수량 축소는 허용합니다."
_HALTED_BEFORE = "이미 거래가 중단되어 있습니다."
_RESUMED = "거래를 재개했습니다."
_NOT_HALTED = "거래가 중단된 상태가 아닙니다."


class HaltRequestSchema(Schema):
    """Reason of the halt, for later readers. The body is optional."""

    reason = Text(high=200, load_default=None, allow_none=True, metadata={"example": "시세 점검"})


class HaltSchema(Schema):
    """A halt of all trading; `resumed_at` is null while it lasts."""

    id = fields.UUID(required=True)
    reason = fields.String(allow_none=True, metadata={"example": "점검"})
    halted_at = fields.AwareDateTime(required=True)
    resumed_at = fields.AwareDateTime(allow_none=True)


class ResumeAnswerSchema(Schema):
    """The lifted halt; null if trading was not halted."""

    success = fields.Boolean(required=True)
    message = fields.String(required=True, metadata={"example": "조회했습니다."})
    data = fields.Nested(HaltSchema, allow_none=True)


@blueprint.route("/admin/trading/halt")
class HaltTrading(MethodView):
    @admin_required
    @blueprint.arguments(HaltRequestSchema)
    @blueprint.response(200, envelope(HaltSchema))
    def post(self, body: dict[str, Any]) -> Response:
        """Halt trading.

        전체 거래 중단. 주문 접수와 정정, 체결을 중단합니다. 미체결 주문은 유지되고, 취소하거나
        수량을 줄일 수 있습니다. 이미 중단 중이면 기존 중단을 유지합니다.
        """
        command = HaltRequest(halt_id=new_id(), by=current_user().user_id, **body)
        return run_command(
            recorded(
                requested(ActionKind.HALT_TRADING),
                partial(halt_trading, command=command),
                outcome_of=lambda halt: Outcome(
                    "halted" if halt.id == command.halt_id else UNCHANGED, target=str(halt.id)
                ),
                reason=command.reason,
            ),
            schema=envelope(HaltSchema),
            message=lambda halt: _HALTED if halt.id == command.halt_id else _HALTED_BEFORE,
        )


@blueprint.route("/admin/trading/resume")
class ResumeTrading(MethodView):
    @admin_required
    @blueprint.response(200, ResumeAnswerSchema)
    def post(self) -> Response:
        """Resume trading.

        전체 거래 재개. 거래를 재개합니다. 중단된 상태가 아니면 `data`는 null입니다.
        """
        return run_command(
            recorded(
                requested(ActionKind.RESUME_TRADING),
                partial(resume_trading, by=current_user().user_id),
                outcome_of=lambda halt: (
                    Outcome(UNCHANGED) if halt is None else Outcome("resumed", target=str(halt.id))
                ),
            ),
            schema=ResumeAnswerSchema,
            message=lambda halt: _NOT_HALTED if halt is None else _RESUMED,
        )
