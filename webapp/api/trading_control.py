"""For administrators: stop trading, and let it go on."""

from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from trading.database.ids import new_id
from trading.queries.market import halt_lifted
from trading.rules.admin_actions import UNCHANGED, ActionKind, Outcome
from trading.rules.records import HaltRecord
from trading.services.admin_actions import is_recorded, record
from trading.services.halts import halt, resume, running_halt
from webapp.admin_log import requested
from webapp.authentication import admin_only, me
from webapp.core import the_core
from webapp.documentation import make_blueprint
from webapp.fields import Line
from webapp.schemas import envelope
from webapp.writing import Answer, write

blueprint = make_blueprint("Trading control", "거래 중단과 재개 (관리자)")

_HALTED = "거래를 중단했습니다. 새 주문과 정정은 받지 않고, 취소는 할 수 있습니다."
_HALTED_BEFORE = "거래가 이미 중단되어 있습니다."
_RESUMED = "거래를 재개했습니다."
_NOT_HALTED = "중단된 거래가 없어 바뀐 것이 없습니다."


class HaltRequest(Schema):
    """Why trading is stopped, for whoever looks at it later. The body may be left out."""

    reason = Line(high=200, load_default=None, allow_none=True, metadata={"example": "시세 점검"})


class Halt(Schema):
    """A time during which trading is stopped; ``resumed_at`` is null until it goes on."""

    id = fields.UUID(required=True)
    reason = fields.String(allow_none=True, metadata={"example": "점검"})
    halted_at = fields.AwareDateTime(required=True)
    resumed_at = fields.AwareDateTime(allow_none=True)


class ResumeAnswer(Schema):
    """The halt that was lifted; null where trading was not halted."""

    success = fields.Boolean(required=True)
    message = fields.String(required=True, metadata={"example": "조회했습니다."})
    data = fields.Nested(Halt, allow_none=True)


@blueprint.route("/admin/trading/halt")
class Halting(MethodView):
    @admin_only
    @blueprint.arguments(HaltRequest)
    @blueprint.response(200, envelope(Halt))
    def post(self, body: dict[str, Any]) -> Response:
        """Stop accepting, amending and filling orders. Open orders survive and can be cancelled. A halt that is running stands as it is."""
        now, by, halt_id = the_core().clock(), me().user_id, new_id()
        action, reason = requested(ActionKind.HALT_TRADING), body["reason"]

        def told(standing: HaltRecord) -> Answer:
            return Answer(_HALTED if standing.id == halt_id else _HALTED_BEFORE, standing)

        def landed(session: Session) -> Answer | None:
            running = running_halt(session) if is_recorded(session, action.id) else None
            return None if running is None else told(running)

        def halted(session: Session) -> Answer:
            standing = halt(session, halt_id=halt_id, by=by, reason=reason, now=now)
            outcome = Outcome(
                "halted" if standing.id == halt_id else UNCHANGED, target=str(standing.id)
            )
            record(session, action, outcome, now=the_core().clock(), reason=reason)
            return told(standing)

        return write(halted, schema=envelope(Halt), landed=landed)


@blueprint.route("/admin/trading/resume")
class Resuming(MethodView):
    @admin_only
    @blueprint.response(200, ResumeAnswer)
    def post(self) -> Response:
        """Let trading go on. Without a halt there is nothing to do, and ``data`` is null."""
        now, by = the_core().clock(), me().user_id
        action = requested(ActionKind.RESUME_TRADING)

        def told(lifted: HaltRecord | None) -> Answer:
            return Answer(_NOT_HALTED if lifted is None else _RESUMED, lifted)

        def landed(session: Session) -> Answer | None:
            return (
                told(halt_lifted(session, by=by, at=now))
                if is_recorded(session, action.id)
                else None
            )

        def resumed(session: Session) -> Answer:
            lifted = resume(session, by=by, now=now)
            outcome = (
                Outcome(UNCHANGED) if lifted is None else Outcome("resumed", target=str(lifted.id))
            )
            record(session, action, outcome, now=the_core().clock())
            return told(lifted)

        return write(resumed, schema=ResumeAnswer, landed=landed)
