"""Orders: place, list and look at."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from trading.database.ids import new_id
from trading.queries.orders import order_of, orders_of
from trading.rules.errors import OrderNotFound
from trading.rules.orders import OrderStatus, OrderType, Side, TimeInForce
from trading.services.place_order import PlaceOrder, place_order
from webapp.authentication import me, signed_in
from webapp.core import the_core
from webapp.documentation import SIGNED_IN, make_blueprint
from webapp.fields import IdCursor, KoreanDay, StockCode, Whole
from webapp.schemas import PageArguments, envelope, page, success
from webapp.writing import Answer, write

blueprint = make_blueprint("Orders", "주문")

_ACCEPTED = "주문이 접수되었습니다."


class OrderRequest(Schema):
    """An order. A market order fills at the last trade; a limit order at no worse price than its own, now or when the market comes to it."""

    stock_code = StockCode(required=True, metadata={"example": "A005930"})
    side = fields.Enum(Side, by_value=True, required=True)
    order_type = fields.Enum(OrderType, by_value=True, load_default=OrderType.MARKET)
    time_in_force = fields.Enum(TimeInForce, by_value=True, load_default=TimeInForce.DAY)
    quantity = Whole(required=True, high=10**9, metadata={"example": 10})
    price = Whole(
        attribute="limit_price",
        high=10**9,
        load_default=None,
        allow_none=True,
        metadata={"description": "the limit of a LIMIT order in won; none for a MARKET order", "example": 70_000},
    )
    client_order_id = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"^[\x21-\x7e]{1,64}\Z"),
        metadata={"example": "my-1"},
    )

    @validates_schema
    def _price_belongs_to_limit(self, data: dict[str, Any], **_options: Any) -> None:
        if data["order_type"] is OrderType.LIMIT and data["limit_price"] is None:
            raise ValidationError("지정가 주문에는 가격이 필요합니다.", "price")
        if data["order_type"] is OrderType.MARKET and data["limit_price"] is not None:
            raise ValidationError("시장가 주문에는 가격을 지정할 수 없습니다.", "price")


class Execution(Schema):
    """One fill, with the tick that it rests on."""

    id = fields.UUID(required=True)
    price = fields.Integer(required=True)
    quantity = fields.Integer(required=True)
    amount = fields.Integer(required=True)
    commission = fields.Integer(required=True)
    tax = fields.Integer(required=True, metadata={"description": "both taxes together"})
    transaction_tax = fields.Integer(required=True)
    rural_tax = fields.Integer(required=True)
    realized_profit = fields.Integer(
        allow_none=True, metadata={"description": "a sale's, once it is applied to the holding"}
    )
    rule = fields.String(required=True)
    session = fields.String(
        allow_none=True, metadata={"description": "the exchange's session in which the tick was printed"}
    )
    tick_price = fields.Integer(required=True)
    tick_traded_at = fields.AwareDateTime(required=True)
    tick_age_ms = fields.Integer(required=True)
    tick_position = fields.String(required=True)
    executed_at = fields.AwareDateTime(required=True)
    settled_at = fields.AwareDateTime(allow_none=True)
    applied_at = fields.AwareDateTime(allow_none=True)


class Order(Schema):
    id = fields.UUID(required=True)
    client_order_id = fields.String(allow_none=True)
    stock_code = fields.String(required=True)
    stock_name = fields.String(required=True)
    side = fields.String(required=True)
    order_type = fields.String(required=True)
    time_in_force = fields.String(required=True)
    quantity = fields.Integer(required=True)
    price = fields.Integer(allow_none=True)
    status = fields.String(required=True)
    reason = fields.String(allow_none=True, metadata={"description": "why it ended unfilled: a problem code"})
    executed_quantity = fields.Integer(required=True)
    remaining_quantity = fields.Integer(required=True)
    executed_amount = fields.Integer(required=True)
    reserved_cash = fields.Integer(required=True)
    accepted_at = fields.AwareDateTime(required=True)
    finished_at = fields.AwareDateTime(allow_none=True)
    executions = fields.List(fields.Nested(Execution), required=True)


class OrderFilters(PageArguments):
    """Loads as the keywords of ``trading.queries.orders.orders_of``."""

    cursor = IdCursor(attribute="before", load_default=None)
    status = fields.Enum(OrderStatus, by_value=True, load_default=None)
    side = fields.Enum(Side, by_value=True, load_default=None)
    stock_code = StockCode(load_default=None)
    from_ = KoreanDay(data_key="from", attribute="accepted_from", load_default=None)
    to = KoreanDay(end=True, attribute="accepted_to", load_default=None)


@blueprint.route("/trading/orders")
class Orders(MethodView):
    @signed_in
    @blueprint.arguments(OrderRequest)
    @blueprint.response(201, envelope(Order))
    @blueprint.doc(**SIGNED_IN)
    def post(self, body: dict[str, Any]) -> Response:
        """Place an order. It is accepted at once and filled by a worker, when the market is there."""
        core, now, user_id = the_core(), the_core().clock(), me().user_id
        hours = core.market_hours()
        command = PlaceOrder(order_id=new_id(), user_id=user_id, **body)
        location = f"/api/v1/trading/orders/{command.order_id}"

        def landed(session: Any) -> Answer | None:
            try:
                return Answer(_ACCEPTED, order_of(session, user_id=user_id, order_id=command.order_id), location)
            except OrderNotFound:
                return None

        return write(
            lambda session: Answer(
                _ACCEPTED,
                place_order(session, command, quotes=core.quotes, hours=hours, settings=core.settings, now=now),
                location,
            ),
            schema=envelope(Order),
            status=201,
            landed=landed,
        )

    @signed_in
    @blueprint.arguments(OrderFilters, location="query")
    @blueprint.response(200, page(Order))
    @blueprint.doc(**SIGNED_IN)
    def get(self, filters: dict[str, Any]) -> dict[str, object]:
        """Own orders with their executions, newest first."""
        user_id = me().user_id
        return success(the_core().database.snapshot(lambda session: orders_of(session, user_id=user_id, **filters)))


@blueprint.route("/trading/orders/<uuid:order_id>")
class OneOrder(MethodView):
    @signed_in
    @blueprint.response(200, envelope(Order))
    @blueprint.doc(**SIGNED_IN)
    def get(self, order_id: UUID) -> dict[str, object]:
        """One own order with its executions."""
        user_id = me().user_id
        return success(
            the_core().database.snapshot(lambda session: order_of(session, user_id=user_id, order_id=order_id))
        )
