"""Schemas of an order's explanation."""

from marshmallow import Schema, fields

from trading.exchange.hours import TradingSession as SessionName
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.orders.explain import ChargeName, OrderStage, WaitingReason
from trading.orders.fill_price import FillRule
from trading.orders.model import EndReason, OrderStatus
from webapp.api.order_schemas import enum_metadata


class EvidenceTickSchema(Schema):
    """The market trade that a fill is based on."""

    price = fields.Integer(required=True, attribute="tick_price", metadata={"example": 70_000})
    traded_at = fields.AwareDateTime(required=True, attribute="tick_traded_at")
    position = fields.String(
        required=True,
        attribute="tick_position",
        metadata={"description": "틱 스트림 내 위치", "example": "1795136400000-7"},
    )
    age_ms = fields.Integer(
        required=True,
        attribute="tick_age_ms",
        metadata={"description": "체결 시점의 경과 시간", "example": 180},
    )


class FillReasonSchema(Schema):
    """The rule that set a fill's price, with its text."""

    code = fields.String(required=True, metadata=enum_metadata(FillRule))
    message = fields.String(required=True, metadata={"example": "조회했습니다."})


class FillChargeSchema(Schema):
    """One part of a fill's costs in won, with its rate."""

    name = fields.String(required=True, metadata=enum_metadata(ChargeName))
    label = fields.String(required=True, metadata={"example": "위탁 수수료"})
    rate_ppm = fields.Integer(
        allow_none=True,
        metadata={"description": "적용 요율 (ppm). 알 수 없으면 null", "example": 150},
    )
    amount = fields.Integer(required=True, metadata={"example": 105})


class ExplainedFillSchema(Schema):
    """A fill with evidence, rule, costs, and times in ms after the order's acceptance."""

    execution_id = fields.UUID(required=True, attribute="execution.id")
    price = fields.Integer(required=True, attribute="execution.price", metadata={"example": 70_000})
    quantity = fields.Integer(
        required=True, attribute="execution.quantity", metadata={"example": 10}
    )
    amount = fields.Integer(
        required=True, attribute="execution.amount", metadata={"example": 700_000}
    )
    executed_at = fields.AwareDateTime(required=True, attribute="execution.executed_at")
    tick = fields.Nested(EvidenceTickSchema, required=True, attribute="execution")
    session = fields.String(
        allow_none=True,
        attribute="execution.session",
        metadata=enum_metadata(SessionName, "체결 근거가 된 거래의 거래 시간대"),
    )
    rule = fields.Nested(FillReasonSchema, required=True)
    charges = fields.List(fields.Nested(FillChargeSchema), required=True)
    ms_to_fill = fields.Integer(required=True, metadata={"example": 41})
    ms_to_settlement = fields.Integer(
        allow_none=True,
        metadata={"description": "정산까지 걸린 시간. 정산 전이면 null", "example": 66},
    )
    ms_to_portfolio = fields.Integer(
        allow_none=True,
        metadata={"description": "보유 종목 반영까지 걸린 시간. 반영 전이면 null", "example": 90},
    )


class WaitingForSchema(Schema):
    """A reason why an order is not filled now."""

    code = fields.String(required=True, metadata=enum_metadata(WaitingReason))
    message = fields.String(required=True, metadata={"example": "조회했습니다."})


class WaitingOrderSchema(Schema):
    """What an open order is waiting for.

    Distances are 0 if the last price meets the limit; null for a market order or without a price.
    """

    stage = fields.String(
        required=True,
        metadata=enum_metadata(
            OrderStage, "in-book: 시장 체결을 기다림, in-execution: 체결 처리 중"
        ),
    )
    quantity = fields.Integer(
        required=True,
        metadata={"description": "미체결 수량 (주)", "example": 10},
    )
    price = fields.Integer(
        allow_none=True,
        metadata={"description": "지정가. 시장가 주문이면 null", "example": 70_000},
    )
    last_price = fields.Integer(
        attribute="tick.price", dump_default=None, allow_none=True, metadata={"example": 70_000}
    )
    last_traded_at = fields.AwareDateTime(
        attribute="tick.traded_at", dump_default=None, allow_none=True
    )
    last_price_age_ms = fields.Integer(
        attribute="tick_age_ms", allow_none=True, metadata={"example": 180}
    )
    distance = fields.Integer(
        attribute="distance.won",
        dump_default=None,
        allow_none=True,
        metadata={
            "description": "최근 체결가와 지정가의 차이 (원)",
            "example": 1_000,
        },
    )
    distance_bp = fields.Integer(
        attribute="distance.basis_points",
        dump_default=None,
        allow_none=True,
        metadata={"description": "최근 체결가 대비 차이 (bp, 올림)", "example": 143},
    )
    distance_steps = fields.Integer(
        attribute="distance.steps",
        dump_default=None,
        allow_none=True,
        metadata={"description": "호가 단위로 센 차이", "example": 10},
    )
    next_check_at = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "다음 처리 예정 시각. 시장 체결만 기다리면 null"},
    )
    expires_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "DAY 주문의 만료 시각"}
    )
    next_opening = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "closed-session일 때 체결이 다시 시작되는 시각"},
    )
    halted_since = fields.AwareDateTime(
        allow_none=True, metadata={"description": "trading-halted일 때 거래 중단 시각"}
    )
    delayed_since = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "processing-delayed일 때 처리를 기다리기 시작한 시각"},
    )
    reasons = fields.List(fields.Nested(WaitingForSchema), required=True)


class OrderEndingSchema(Schema):
    """How an order ended; `reason` is null if it was filled completely."""

    status = fields.String(required=True, metadata=enum_metadata(OrderStatus))
    reason = fields.String(allow_none=True, metadata=enum_metadata(EndReason))
    message = fields.String(required=True, metadata={"example": "조회했습니다."})
    at = fields.AwareDateTime(required=True)


class OrderExplanationSchema(Schema):
    """Explanation of an order: its fills, and `waiting` if it is open or `ending` if finished."""

    order_id = fields.UUID(required=True, attribute="order.id")
    stock_code = fields.String(
        required=True, attribute="order.stock_code", metadata={"example": "A005930"}
    )
    stock_name = fields.String(
        required=True, attribute="order.stock_name", metadata={"example": "삼성전자"}
    )
    market = fields.String(required=True, metadata={"example": "KOSPI"})
    kind = fields.String(required=True, metadata={"example": "STOCK"})
    side = fields.String(required=True, attribute="order.side", metadata=enum_metadata(Side))
    order_type = fields.String(
        required=True, attribute="order.order_type", metadata=enum_metadata(OrderType)
    )
    time_in_force = fields.String(
        required=True, attribute="order.time_in_force", metadata=enum_metadata(TimeInForce)
    )
    status = fields.String(
        required=True, attribute="order.status", metadata=enum_metadata(OrderStatus)
    )
    quantity = fields.Integer(required=True, attribute="order.quantity", metadata={"example": 10})
    executed_quantity = fields.Integer(
        required=True, attribute="order.executed_quantity", metadata={"example": 10}
    )
    accepted_at = fields.AwareDateTime(required=True, attribute="order.accepted_at")
    executions = fields.List(fields.Nested(ExplainedFillSchema), required=True)
    waiting = fields.Nested(WaitingOrderSchema, allow_none=True)
    ending = fields.Nested(OrderEndingSchema, allow_none=True)
