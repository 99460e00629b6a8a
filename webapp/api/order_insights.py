"""What an order would come to, why one is where it is, and what they came to over a period."""

from typing import Any

from flask.views import MethodView
from marshmallow import Schema, fields

from trading.database.ids import new_id
from trading.rules.orders import OrderType, Side, TimeInForce
from trading.services.place_order import PlaceOrder, preview_order
from webapp.api.order_schemas import OrderRequest, one_of
from webapp.authentication import me, signed_in
from webapp.core import the_core
from webapp.documentation import SIGNED_IN, make_blueprint
from webapp.schemas import envelope, success

blueprint = make_blueprint("Order insights", "주문 미리 보기, 설명, 집계")

_WITHOUT_PRICE = "null without a price"


class Preview(Schema):
    """What an order would come to if it filled whole at ``price``; won and shares."""

    stock_code = fields.String(required=True)
    stock_name = fields.String(required=True)
    side = fields.String(required=True, metadata=one_of(Side))
    order_type = fields.String(required=True, metadata=one_of(OrderType))
    time_in_force = fields.String(required=True, metadata=one_of(TimeInForce))
    quantity = fields.Integer(required=True)
    price = fields.Integer(
        allow_none=True,
        metadata={"description": "the limit, or the last price for a market order; null where there is none"},
    )
    amount = fields.Integer(allow_none=True, metadata={"description": _WITHOUT_PRICE})
    commission = fields.Integer(allow_none=True, metadata={"description": _WITHOUT_PRICE})
    transaction_tax = fields.Integer(attribute="taxes.transaction", dump_default=None, allow_none=True)
    rural_tax = fields.Integer(attribute="taxes.rural", dump_default=None, allow_none=True)
    tax = fields.Integer(
        attribute="taxes.total",
        dump_default=None,
        allow_none=True,
        metadata={"description": "both taxes together; 0 for a buy"},
    )
    net_amount = fields.Integer(
        allow_none=True, metadata={"description": "the cash that would move: what a buy costs, what a sale brings in"}
    )
    reserved_cash = fields.Integer(required=True, metadata={"description": "what a buy would set aside"})
    largest_quantity = fields.Integer(
        required=True, metadata={"description": "the most shares that such an order could be for now"}
    )
    fills_at_once = fields.Boolean(
        required=True, metadata={"description": "whether the last trade would fill it; else it waits, or ends unfilled"}
    )
    tick_age_ms = fields.Integer(allow_none=True, metadata={"description": "age of the last trade"})


@blueprint.route("/trading/orders/preview")
class Previewing(MethodView):
    @signed_in
    @blueprint.arguments(OrderRequest)
    @blueprint.response(200, envelope(Preview))
    @blueprint.doc(**SIGNED_IN)
    def post(self, body: dict[str, Any]) -> dict[str, object]:
        """What an order would come to, by the same checks and refusals. Nothing is stored, reserved or kept under a key."""
        core, now = the_core(), the_core().clock()
        hours = core.market_hours()
        command = PlaceOrder(order_id=new_id(), user_id=me().user_id, **body)
        preview = core.database.read(
            lambda session: preview_order(
                session, command, quotes=core.quotes, hours=hours, settings=core.settings, now=now
            )
        )
        return success(preview, "주문을 미리 계산했습니다. 접수되지는 않았습니다.")
