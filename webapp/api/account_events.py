"""Account events from the database, for clients that missed some of the stream."""

from typing import Any

from flask.views import MethodView
from marshmallow import Schema, fields

from trading.account_events.queries import list_account_events
from trading.account_events.stream import EventKind
from webapp.api.order_schemas import enum_metadata
from webapp.context import get_core
from webapp.http.authentication import current_user, login_required
from webapp.http.fields import SequenceCursor
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import PageQuerySchema, envelope, success

blueprint = make_blueprint("Account events", "계좌 이벤트")


class AccountEventSchema(Schema):
    id = fields.Integer(
        required=True,
        metadata={"description": "계좌별로 1부터 빠짐없이 이어지는 이벤트 번호", "example": 7},
    )
    kind = fields.String(
        required=True,
        metadata=enum_metadata(
            EventKind,
            "이벤트 종류: 주문, 체결, 거래 내역, 보유 종목, 결제의 현재 상태 또는 가격 알림",
        ),
    )
    occurred_at = fields.AwareDateTime(required=True)
    data = fields.Dict(
        required=True,
        metadata={
            "description": "이벤트 대상의 항목과 값",
            "example": {
                "transaction_id": "01a20503-4c02-7c33-9a6e-0d9b6b2f7e55",
                "amount": 700_000,
                "cash_balance": 9_299_895,
            },
        },
    )


class AccountEventsSchema(Schema):
    items = fields.List(fields.Nested(AccountEventSchema), required=True)
    next_cursor = fields.String(
        allow_none=True,
        metadata={
            "description": "다음 페이지의 after 값. 다음 페이지가 없으면 null",
            "example": "41",
        },
    )
    last_event_id = fields.Integer(
        required=True,
        metadata={"description": "계좌의 최근 이벤트 번호. 이벤트가 없으면 0", "example": 7},
    )


class AccountEventQuerySchema(PageQuerySchema):
    """Loads as the keyword arguments of `account_events_of`."""

    after = SequenceCursor(
        load_default=0,
        metadata={"description": "마지막으로 받은 이벤트 번호. 0이면 처음부터", "example": "0"},
    )


@blueprint.route("/trading/events")
class AccountEventList(MethodView):
    @login_required
    @blueprint.arguments(AccountEventQuerySchema, location="query")
    @blueprint.response(200, envelope(AccountEventsSchema))
    def get(self, query: dict[str, Any]) -> dict[str, object]:
        """List account events after an event.

        계좌 이벤트 조회. 지정한 이벤트 이후의 내 계좌 이벤트를 오래된 순으로 조회합니다.
        """
        user_id = current_user().user_id
        return success(get_core().snapshot(list_account_events, user_id=user_id, **query))
