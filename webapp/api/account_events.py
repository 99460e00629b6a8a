"""Account events from the database: the truth behind the stream, for a client that has missed some."""

from typing import Any

from flask.views import MethodView
from marshmallow import Schema, fields

from trading.account_events.queries import list_account_events
from trading.account_events.stream import EventKind
from webapp.api.order_schemas import one_of
from webapp.context import get_core
from webapp.http.authentication import current_user, login_required
from webapp.http.fields import SequenceCursor
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import PageQuerySchema, envelope, success

blueprint = make_blueprint("Account events", "계좌 이벤트")


class AccountEventSchema(Schema):
    id = fields.Integer(
        required=True,
        metadata={"description": "counts an account's events from 1 without a gap", "example": 7},
    )
    kind = fields.String(
        required=True,
        metadata=one_of(
            EventKind,
            "an order's state or terms, an execution, a Transaction, a holding or a payment as they are now, or a price alert that fired",
        ),
    )
    occurred_at = fields.AwareDateTime(required=True)
    data = fields.Dict(
        required=True,
        metadata={
            "description": "members of what it tells of, by its names",
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
            "description": "the next page's after; null when nothing is left",
            "example": "41",
        },
    )
    last_event_id = fields.Integer(
        required=True,
        metadata={"description": "the account's newest event, 0 before the first", "example": 7},
    )


class AccountEventQuerySchema(PageQuerySchema):
    """Loads as the keywords of ``trading.account_events.queries.account_events_of``."""

    after = SequenceCursor(
        load_default=0,
        metadata={"description": "the last event that the client has; 0 for all", "example": "0"},
    )


@blueprint.route("/trading/events")
class AccountEventList(MethodView):
    @login_required
    @blueprint.arguments(AccountEventQuerySchema, location="query")
    @blueprint.response(200, envelope(AccountEventsSchema))
    def get(self, place: dict[str, Any]) -> dict[str, object]:
        """Own account events behind the last one that the client has, oldest first."""
        user_id = current_user().user_id
        return success(get_core().snapshot(list_account_events, user_id=user_id, **place))
