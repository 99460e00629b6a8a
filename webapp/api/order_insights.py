"""Order preview, explanation and summary."""

from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from flask.views import MethodView
from marshmallow import Schema, fields

from trading.db.ids import new_id
from trading.exchange.hours import MarketHours
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.exchange.time import KST, trade_date
from trading.marketdata.quotes import MarketUnavailable
from trading.orders.explain import (
    Charge,
    FillExplanation,
    OrderFacts,
    Waiting,
    explain_fills,
    explain_waiting,
    get_order_facts,
)
from trading.orders.fill_price import FillRule
from trading.orders.model import EndReason, OrderStatus
from trading.orders.place import PlaceOrder, preview_order
from trading.orders.records import OrderRecord
from trading.orders.summary import order_summary
from webapp.api.explanation_schemas import OrderExplanationSchema
from webapp.api.order_messages import (
    CHARGE_LABELS,
    ENDING_MESSAGES,
    RULE_MESSAGES,
    WAITING_MESSAGES,
)
from webapp.api.order_schemas import OrderRequestSchema, enum_metadata
from webapp.api.periods import StockPeriodSchema, days_of
from webapp.context import get_core
from webapp.http.authentication import current_user, login_required
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope, success

blueprint = make_blueprint("Order insights", "주문 미리 보기, 설명, 집계")

_ONE_DAY = timedelta(days=1)
_WITHOUT_PRICE = "가격을 알 수 없으면 null"


class PreviewSchema(Schema):
    """An order's expected result if it filled completely at `price` (won and shares)."""

    stock_code = fields.String(required=True, metadata={"example": "A005930"})
    stock_name = fields.String(required=True, metadata={"example": "삼성전자"})
    side = fields.String(required=True, metadata=enum_metadata(Side))
    order_type = fields.String(required=True, metadata=enum_metadata(OrderType))
    time_in_force = fields.String(required=True, metadata=enum_metadata(TimeInForce))
    quantity = fields.Integer(required=True, metadata={"example": 10})
    price = fields.Integer(
        allow_none=True,
        metadata={
            "description": "지정가. 시장가 주문은 최근 체결가이며, 없으면 null",
            "example": 70_000,
        },
    )
    amount = fields.Integer(
        allow_none=True, metadata={"description": _WITHOUT_PRICE, "example": 700_000}
    )
    commission = fields.Integer(
        allow_none=True, metadata={"description": _WITHOUT_PRICE, "example": 105}
    )
    transaction_tax = fields.Integer(
        attribute="taxes.transaction", dump_default=None, allow_none=True, metadata={"example": 0}
    )
    rural_tax = fields.Integer(
        attribute="taxes.rural", dump_default=None, allow_none=True, metadata={"example": 0}
    )
    tax = fields.Integer(
        attribute="taxes.total",
        dump_default=None,
        allow_none=True,
        metadata={"description": "증권거래세와 농어촌특별세의 합계. 매수는 0", "example": 0},
    )
    net_amount = fields.Integer(
        allow_none=True,
        metadata={
            "description": "예상 정산 금액. 매수는 지불할 금액, 매도는 받을 금액",
            "example": 700_105,
        },
    )
    reserved_cash = fields.Integer(
        required=True, metadata={"description": "매수 주문으로 묶일 예수금", "example": 700_105}
    )
    largest_quantity = fields.Integer(
        required=True,
        metadata={
            "description": "지금 주문할 수 있는 최대 수량 (주)",
            "example": 14,
        },
    )
    fills_at_once = fields.Boolean(
        required=True,
        metadata={
            "description": "최근 체결가로 바로 체결되는지 여부. 아니면 대기하거나 미체결로 종료"
        },
    )
    tick_age_ms = fields.Integer(
        allow_none=True, metadata={"description": "최근 체결 후 경과 시간", "example": 180}
    )
    lower_limit = fields.Integer(
        allow_none=True,
        metadata={"description": "오늘의 하한가. 아직 알 수 없으면 null", "example": 49_000},
    )
    upper_limit = fields.Integer(
        allow_none=True,
        metadata={
            "description": "오늘의 상한가. 아직 알 수 없거나 정리매매로 제한이 없으면 null",
            "example": 91_000,
        },
    )


OrderCountsSchema = Schema.from_dict(
    {status.value: fields.Integer(required=True) for status in OrderStatus}, name="OrderCounts"
)


class OrderSideTotalsSchema(Schema):
    """Orders of one side: shares ordered and executed, and totals of their fills in won."""

    orders = fields.Integer(required=True, metadata={"example": 1})
    ordered_quantity = fields.Integer(required=True, metadata={"example": 10})
    executed_quantity = fields.Integer(required=True, metadata={"example": 10})
    executed_amount = fields.Integer(required=True, metadata={"example": 700_000})
    commission = fields.Integer(required=True, metadata={"example": 105})
    tax = fields.Integer(
        required=True, metadata={"description": "증권거래세와 농어촌특별세의 합계", "example": 0}
    )
    transaction_tax = fields.Integer(required=True, metadata={"example": 0})
    rural_tax = fields.Integer(required=True, metadata={"example": 0})
    realized_profit = fields.Integer(required=True, metadata={"example": 0})
    unapplied_executions = fields.Integer(
        required=True,
        metadata={
            "description": "보유 종목에 아직 반영되지 않아 실현 손익에서 제외된 체결 수",
            "example": 0,
        },
    )


class OrderSummarySchema(Schema):
    """Orders accepted in a period, with all their fills."""

    from_ = fields.Date(data_key="from", attribute="from", allow_none=True)
    to = fields.Date(allow_none=True)
    stock_code = fields.String(allow_none=True, metadata={"example": "A005930"})
    orders = fields.Integer(required=True, metadata={"example": 1})
    by_status = fields.Nested(OrderCountsSchema, required=True)
    buy = fields.Nested(OrderSideTotalsSchema, required=True)
    sell = fields.Nested(OrderSideTotalsSchema, required=True)


@blueprint.route("/trading/orders/preview")
class PreviewOrder(MethodView):
    @login_required
    @blueprint.arguments(OrderRequestSchema)
    @blueprint.response(200, envelope(PreviewSchema))
    def post(self, body: dict[str, Any]) -> dict[str, object]:
        """Preview an order.

        주문 미리 보기. 주문 접수와 같은 조건을 검사하고 예상 금액을 계산합니다. 주문을 접수하거나
        예수금을 묶지 않습니다.
        """
        command = PlaceOrder(order_id=new_id(), user_id=current_user().user_id, **body)
        preview = get_core().dry_run(preview_order, command)
        return success(preview, "예상 체결 금액을 계산했습니다. 주문은 접수되지 않았습니다.")


@blueprint.route("/trading/orders/<uuid:order_id>/explain")
class OrderExplanationDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(OrderExplanationSchema))
    def get(self, order_id: UUID) -> dict[str, object]:
        """Explain an order's fills and current state.

        주문 상태 설명. 주문이 왜 그 가격에 체결되었는지, 무엇을 기다리는지, 왜 종료되었는지
        설명합니다.
        """
        core, now, user_id = get_core(), get_core().clock(), current_user().user_id
        hours = core.market_hours()
        facts = core.snapshot(
            get_order_facts,
            user_id=user_id,
            order_id=order_id,
            hours=hours,
            settings=core.settings,
            now=now,
        )
        return success(
            {
                "order": facts.order,
                "market": facts.market,
                "kind": facts.kind,
                "executions": [_fill(fill) for fill in explain_fills(facts)],
                "waiting": _waiting(facts, hours) if facts.is_open else None,
                "ending": None if facts.is_open else _ending(facts.order),
            }
        )


@blueprint.route("/trading/orders/summary")
class OrderSummaryDetail(MethodView):
    @login_required
    @blueprint.arguments(StockPeriodSchema, location="query")
    @blueprint.response(200, envelope(OrderSummarySchema))
    def get(self, period: dict[str, Any]) -> dict[str, object]:
        """Summarize your orders of a period.

        주문 집계. 기간 내 주문을 상태별, 매수·매도별로 집계합니다. 기간을 지정하지 않으면 오늘을
        집계합니다.
        """
        core, user_id = get_core(), current_user().user_id
        if period["since"] is None and period["until"] is None:
            today = datetime.combine(trade_date(core.clock()), time(), KST)
            period |= {"since": today, "until": today + _ONE_DAY}
        found = core.snapshot(order_summary, user_id=user_id, **period)
        return success(
            {
                **days_of(period["since"], period["until"]),
                "stock_code": period["stock_code"],
                "orders": found.orders,
                "by_status": found.by_status,
                "buy": found.by_side[Side.BUY],
                "sell": found.by_side[Side.SELL],
            }
        )


def _fill(fill: FillExplanation) -> dict[str, Any]:
    rule = FillRule(fill.execution.rule)
    return {
        **_members(fill),
        "rule": {"code": rule, "message": RULE_MESSAGES[rule]},
        "charges": [
            {**_members(charge), "label": CHARGE_LABELS[charge.name]} for charge in fill.charges
        ],
    }


def _waiting(facts: OrderFacts, hours: MarketHours) -> dict[str, Any]:
    core, tick, available = get_core(), None, True
    try:
        tick = core.quotes.last_tick(facts.order.stock_code)
    except MarketUnavailable:
        # Without prices, explain the order from the database alone.
        available = False
    waiting = explain_waiting(
        facts,
        tick,
        market_available=available,
        hours=hours,
        settings=core.settings,
        now=core.clock(),
    )
    since = waiting.delayed_since and f"{waiting.delayed_since.astimezone(KST):%H시 %M분 %S초}"
    return {
        **_members(waiting),
        "reasons": [
            {"code": reason, "message": WAITING_MESSAGES[reason].format(since=since)}
            for reason in waiting.reasons
        ],
    }


def _ending(order: OrderRecord) -> dict[str, Any]:
    reason = None if order.reason is None else EndReason(order.reason)
    return {
        "status": order.status,
        "reason": reason,
        "message": ENDING_MESSAGES[reason],
        "at": order.finished_at,
    }


def _members(record: FillExplanation | Charge | Waiting) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}
