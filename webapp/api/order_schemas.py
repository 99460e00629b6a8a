"""Schemas of orders."""

from enum import StrEnum
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from trading.account_events.push_session import CODES_MAX
from trading.exchange.hours import TradingSession
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.orders.fill_price import FillRule
from trading.orders.model import EndReason, OrderStatus
from webapp.http.fields import IdCursor, InstantField, KoreanDay, StockCode, Whole
from webapp.http.schemas import PageQuerySchema

_PRICE_MAX = 10**9
_QUANTITY_MAX = 10**9


def enum_metadata(enumeration: type[StrEnum], description: str = "") -> dict[str, Any]:
    """Return the metadata of a member that is a value of an enumeration."""
    return {
        "enum": [str(value) for value in enumeration],
        **({"description": description} if description else {}),
    }


class ClientOrderId(fields.String):
    """A client's own id of an order: 1 to 64 visible ASCII characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=validate.Regexp(r"^[\x21-\x7e]{1,64}\Z"), **options)


class OrderRequestSchema(Schema):
    """An order.

    A market order fills at the last trade. A limit order fills at its price or better, now or
    later.
    """

    stock_code = StockCode(required=True, metadata={"example": "A005930"})
    side = fields.Enum(Side, by_value=True, required=True)
    order_type = fields.Enum(
        OrderType,
        by_value=True,
        load_default=OrderType.MARKET,
        metadata={"example": "LIMIT"},
    )
    time_in_force = fields.Enum(TimeInForce, by_value=True, load_default=TimeInForce.DAY)
    quantity = Whole(required=True, high="order_quantity_max", metadata={"example": 10})
    price = Whole(
        attribute="limit_price",
        high=_PRICE_MAX,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "LIMIT 주문의 지정가 (원). MARKET 주문에는 지정하지 않음",
            "example": 200_000,  # Near the sandbox's price, and a multiple of the tick size.
        },
    )
    client_order_id = ClientOrderId(
        load_default=None, allow_none=True, metadata={"example": "my-1"}
    )

    @validates_schema
    def _require_price_for_limit(self, data: dict[str, Any], **_options: Any) -> None:
        if data["order_type"] is OrderType.LIMIT and data["limit_price"] is None:
            raise ValidationError("지정가 주문은 가격을 입력해 주세요.", "price")
        if data["order_type"] is OrderType.MARKET and data["limit_price"] is not None:
            raise ValidationError("시장가 주문에는 가격을 지정할 수 없습니다.", "price")


class AmendmentSchema(Schema):
    """Changes to an open limit order; omitted members stay as they are."""

    price = Whole(
        attribute="limit_price",
        high=_PRICE_MAX,
        metadata={"description": "새 지정가 (원)", "example": 199_900},
    )
    # An order from before the setting was lowered may be reduced to a quantity above it.
    quantity = Whole(
        high="order_quantity_max",
        accepted_up_to=_QUANTITY_MAX,
        metadata={
            "description": "체결된 수량을 포함한 새 주문 수량 (주)",
            "example": 5,
        },
    )

    @validates_schema
    def _require_change(self, data: dict[str, Any], **_options: Any) -> None:
        if not data:
            raise ValidationError("정정할 가격이나 수량을 입력해 주세요.")


class ExecutionSchema(Schema):
    """A fill with the tick that it is based on."""

    id = fields.UUID(required=True)
    price = fields.Integer(required=True, metadata={"example": 70_000})
    quantity = fields.Integer(required=True, metadata={"example": 10})
    amount = fields.Integer(required=True, metadata={"example": 700_000})
    commission = fields.Integer(required=True, metadata={"example": 105})
    tax = fields.Integer(
        required=True, metadata={"description": "증권거래세와 농어촌특별세의 합계", "example": 0}
    )
    transaction_tax = fields.Integer(required=True, metadata={"example": 0})
    rural_tax = fields.Integer(required=True, metadata={"example": 0})
    realized_profit = fields.Integer(
        allow_none=True, metadata={"description": "매도 실현 손익. 보유 종목에 반영된 뒤 표시"}
    )
    rule = fields.String(required=True, metadata=enum_metadata(FillRule, "체결가를 결정한 규칙"))
    session = fields.String(
        allow_none=True,
        metadata=enum_metadata(TradingSession, "체결 근거가 된 거래의 거래 시간대"),
    )
    tick_price = fields.Integer(required=True, metadata={"example": 70_000})
    tick_traded_at = fields.AwareDateTime(required=True)
    tick_age_ms = fields.Integer(required=True, metadata={"example": 180})
    tick_position = fields.String(required=True, metadata={"example": "1795136400000-7"})
    executed_at = fields.AwareDateTime(required=True)
    settled_at = fields.AwareDateTime(allow_none=True)
    applied_at = fields.AwareDateTime(allow_none=True)


class OrderSchema(Schema):
    id = fields.UUID(required=True)
    client_order_id = fields.String(allow_none=True, metadata={"example": "my-order-1"})
    stock_code = fields.String(required=True, metadata={"example": "A005930"})
    stock_name = fields.String(required=True, metadata={"example": "삼성전자"})
    side = fields.String(required=True, metadata=enum_metadata(Side))
    order_type = fields.String(required=True, metadata=enum_metadata(OrderType))
    time_in_force = fields.String(required=True, metadata=enum_metadata(TimeInForce))
    quantity = fields.Integer(required=True, metadata={"example": 10})
    price = fields.Integer(allow_none=True, metadata={"example": 70_000})
    status = fields.String(required=True, metadata=enum_metadata(OrderStatus))
    reason = fields.String(
        allow_none=True,
        metadata=enum_metadata(EndReason, "전량 체결되지 않고 종료된 이유"),
    )
    executed_quantity = fields.Integer(required=True, metadata={"example": 10})
    remaining_quantity = fields.Integer(required=True, metadata={"example": 0})
    executed_amount = fields.Integer(required=True, metadata={"example": 700_000})
    reserved_cash = fields.Integer(required=True, metadata={"example": 0})
    accepted_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "미체결 DAY 주문이 종료되는 시각. 그 밖의 주문은 null"},
    )
    finished_at = fields.AwareDateTime(allow_none=True)
    executions = fields.List(fields.Nested(ExecutionSchema), required=True)


class CancelledSchema(Schema):
    """Number and ids of the orders that the request cancelled."""

    cancelled = fields.Integer(required=True, metadata={"example": 1})
    order_ids = fields.List(fields.UUID(), required=True)


class OrderListQuerySchema(PageQuerySchema):
    """Loads as `limit`, `before` and the members of an `OrderFilter`."""

    cursor = IdCursor(attribute="before", load_default=None)
    status = fields.List(
        fields.Enum(OrderStatus, by_value=True),
        attribute="statuses",
        load_default=None,
        metadata={"description": "반복하여 여러 상태를 지정할 수 있음"},
    )
    open = fields.Boolean(
        attribute="is_open",
        load_default=None,
        metadata={"description": "true: 미체결 주문, false: 종료된 주문"},
    )
    side = fields.Enum(Side, by_value=True, load_default=None)
    stock_code = fields.List(
        StockCode(metadata={"example": "A005930"}),
        attribute="stock_codes",
        load_default=None,
        validate=validate.Length(max=CODES_MAX, error="종목은 {max}개까지 선택할 수 있습니다."),
        metadata={"description": "반복하여 여러 종목을 지정할 수 있음"},
    )
    client_order_id = ClientOrderId(load_default=None)
    from_ = KoreanDay(data_key="from", attribute="accepted_from", load_default=None)
    to = KoreanDay(end=True, attribute="accepted_to", load_default=None)
    filled_from = InstantField(
        load_default=None, metadata={"description": "이 시각 이후(포함)에 체결된 내역이 있는 주문"}
    )
    filled_to = InstantField(
        load_default=None, metadata={"description": "이 시각보다 먼저 체결된 내역이 있는 주문"}
    )
    finished_from = InstantField(
        load_default=None, metadata={"description": "이 시각 이후(포함)에 종료된 주문"}
    )
    finished_to = InstantField(
        load_default=None, metadata={"description": "이 시각보다 먼저 종료된 주문"}
    )

    @validates_schema
    def _check_intervals(self, given: dict[str, Any], **_options: Any) -> None:
        for name in ("accepted", "filled", "finished"):
            begin, end = given.get(f"{name}_from"), given.get(f"{name}_to")
            if begin is not None and end is not None and end <= begin:
                raise ValidationError(
                    "시작보다 나중으로 입력해 주세요.", "to" if name == "accepted" else f"{name}_to"
                )
