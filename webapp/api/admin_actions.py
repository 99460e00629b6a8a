"""The log of administrators' and operators' actions, for administrators."""

from typing import Any

from flask.views import MethodView
from marshmallow import Schema, fields

from trading.operations.admin_action_model import OPERATOR_LENGTH_MAX, TARGET_LENGTH_MAX, ActionKind
from trading.operations.admin_action_queries import list_admin_actions
from webapp.context import get_core
from webapp.http.authentication import admin_required
from webapp.http.fields import IdCursor, KoreanDay, Line
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import PageQuerySchema, page, success

blueprint = make_blueprint("Admin log", "관리자 작업 기록 (관리자)")


class AdminActionSchema(Schema):
    """An action: who did what to what, with its outcome.

    `user_id` is an administrator; `operator` is the system user who ran a command.
    """

    id = fields.UUID(required=True)
    action = fields.String(required=True, metadata={"example": "trading.halt"})
    user_id = fields.UUID(required=True, allow_none=True)
    operator = fields.String(required=True, allow_none=True)
    target = fields.String(
        required=True, allow_none=True, metadata={"example": "01a20503-5d10-7e2f-b1c4-5a7d0e9f3b66"}
    )
    details = fields.Dict(required=True, metadata={"example": {"reason": "점검"}})
    request_id = fields.String(
        required=True, allow_none=True, metadata={"example": "01a20503427f77fabab6c93973e5cbb0"}
    )
    address = fields.String(required=True, allow_none=True, metadata={"example": "203.0.113.7"})
    began_at = fields.AwareDateTime(required=True)
    outcome = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "결과. 진행 중이거나 결과를 기록하지 못했으면 null",
            "example": "halted",
        },
    )
    outcome_details = fields.Dict(required=True, metadata={"example": {}})
    ended_at = fields.AwareDateTime(required=True, allow_none=True)


class AdminActionListQuerySchema(PageQuerySchema):
    """Loads as the keyword arguments of `list_admin_actions`."""

    cursor = IdCursor(attribute="before", load_default=None)
    action = fields.Enum(ActionKind, by_value=True, load_default=None)
    user_id = fields.UUID(load_default=None)
    operator = Line(high=OPERATOR_LENGTH_MAX, load_default=None)
    target = Line(high=TARGET_LENGTH_MAX, load_default=None)
    from_ = KoreanDay(data_key="from", attribute="since", load_default=None)
    to = KoreanDay(end=True, attribute="until", load_default=None)


@blueprint.route("/admin/actions")
class AdminActionList(MethodView):
    @admin_required
    @blueprint.arguments(AdminActionListQuerySchema, location="query")
    @blueprint.response(200, page(AdminActionSchema))
    def get(self, filters: dict[str, Any]) -> dict[str, object]:
        """List actions of administrators and operators.

        관리자 작업 기록 조회. 관리자의 요청과 운영자의 명령 기록을 최근 순으로 조회합니다.
        """
        return success(get_core().read(list_admin_actions, **filters))
