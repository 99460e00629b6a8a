"""Halt and resume trading, for administrators."""

from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from trading.db.ids import new_id
from trading.halts.queries import halt_lifted
from trading.halts.records import HaltRecord
from trading.halts.trading import halt, resume, running_halt
from trading.operations.admin_action_model import UNCHANGED, ActionKind, Outcome
from trading.operations.admin_actions import is_recorded, record_action
from webapp.context import get_core
from webapp.http.admin_log import requested
from webapp.http.authentication import admin_required, current_user
from webapp.http.commands import CommandResult, run_closure
from webapp.http.fields import Line
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope

blueprint = make_blueprint("Trading control", "거래 중단과 재개 (관리자)")

_HALTED = "거래를 중단했습니다. 신규 주문과 정정은 막고 취소는 허용합니다."
_HALTED_BEFORE = "이미 거래가 중단되어 있습니다."
_RESUMED = "거래를 재개했습니다."
_NOT_HALTED = "거래가 중단된 상태가 아닙니다."


class HaltRequestSchema(Schema):
    """Reason of the halt, for later readers. The body is optional."""

    reason = Line(high=200, load_default=None, allow_none=True, metadata={"example": "시세 점검"})


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

        전체 거래 중단. 주문 접수와 정정, 체결을 중단합니다. 미체결 주문은 유지되고 취소할 수
        있습니다. 이미 중단 중이면 기존 중단을 유지합니다.
        """
        now, by, halt_id = get_core().clock(), current_user().user_id, new_id()
        action, reason = requested(ActionKind.HALT_TRADING), body["reason"]

        def told(standing: HaltRecord) -> CommandResult:
            return CommandResult(_HALTED if standing.id == halt_id else _HALTED_BEFORE, standing)

        def find_committed(session: Session) -> CommandResult | None:
            running = running_halt(session) if is_recorded(session, action.id) else None
            return None if running is None else told(running)

        def halted(session: Session) -> CommandResult:
            standing = halt(session, halt_id=halt_id, by=by, reason=reason, now=now)
            outcome = Outcome(
                "halted" if standing.id == halt_id else UNCHANGED, target=str(standing.id)
            )
            record_action(session, action, outcome, now=get_core().clock(), reason=reason)
            return told(standing)

        return run_closure(halted, schema=envelope(HaltSchema), find_committed=find_committed)


@blueprint.route("/admin/trading/resume")
class ResumeTrading(MethodView):
    @admin_required
    @blueprint.response(200, ResumeAnswerSchema)
    def post(self) -> Response:
        """Resume trading.

        전체 거래 재개. 거래를 재개합니다. 중단된 상태가 아니면 `data`는 null입니다.
        """
        now, by = get_core().clock(), current_user().user_id
        action = requested(ActionKind.RESUME_TRADING)

        def told(lifted: HaltRecord | None) -> CommandResult:
            return CommandResult(_NOT_HALTED if lifted is None else _RESUMED, lifted)

        def find_committed(session: Session) -> CommandResult | None:
            return (
                told(halt_lifted(session, by=by, at=now))
                if is_recorded(session, action.id)
                else None
            )

        def resumed(session: Session) -> CommandResult:
            lifted = resume(session, by=by, now=now)
            outcome = (
                Outcome(UNCHANGED) if lifted is None else Outcome("resumed", target=str(lifted.id))
            )
            record_action(session, action, outcome, now=get_core().clock())
            return told(lifted)

        return run_closure(resumed, schema=ResumeAnswerSchema, find_committed=find_committed)
