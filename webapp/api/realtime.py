"""Live quotes and the relayer's health."""

import math
from collections.abc import Sequence
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields, validate

from trading.account_events.push_session import CODES_MAX
from trading.exchange.order_types import OrderType
from trading.marketdata.errors import SUBSCRIPTION_WAIT_S, NoLivePrice
from trading.marketdata.health import FeedStatus, HealthReason, diagnose, trading_since
from trading.marketdata.stock_codes import product_code
from trading.stocks.errors import StockNotFound, StockNotTradable
from trading.stocks.model import StockStatus
from trading.stocks.queries import get_stock
from trading.stocks.valuation_prices import Freshness, ValuationPrice, load_recorded_prices
from webapp.api.order_schemas import enum_metadata
from webapp.api.valuation import prices_at, quote_of
from webapp.context import get_core
from webapp.http.authentication import login_required
from webapp.http.fields import StockCode
from webapp.http.openapi import make_blueprint
from webapp.http.problems import problem
from webapp.http.schemas import envelope, success

blueprint = make_blueprint("Realtime", "실시간 시세")


class QuoteSchema(Schema):
    """The last known trade (won, shares): LIVE while it may fill orders, else STALE, or CLOSE for a
    recorded close. A recorded price has no volume, position or time of receipt.
    """

    stock_code = fields.String(required=True, metadata={"example": "A005930"})
    price = fields.Integer(required=True, metadata={"example": 70_000})
    base_price = fields.Integer(allow_none=True, metadata={"example": 69_500})
    change = fields.Integer(allow_none=True, metadata={"example": 500})
    change_rate_bp = fields.Integer(allow_none=True, metadata={"example": 72})
    volume = fields.Integer(allow_none=True, metadata={"example": 12})
    cumulative_volume = fields.Integer(allow_none=True, metadata={"example": 8_412_330})
    trade_type = fields.String(allow_none=True, metadata={"example": "BUY"})
    session = fields.String(allow_none=True, metadata={"example": "REGULAR"})
    exchange = fields.String(allow_none=True, metadata={"example": "KRX"})
    traded_at = fields.AwareDateTime(required=True)
    received_at = fields.AwareDateTime(allow_none=True)
    price_day = fields.Date(
        required=True,
        metadata={"example": "2026-11-20", "description": "체결된 거래일"},
    )
    age_ms = fields.Integer(required=True, metadata={"example": 180})
    freshness = fields.String(
        required=True, metadata={**enum_metadata(Freshness), "example": "LIVE"}
    )
    position = fields.String(allow_none=True, metadata={"example": "1795136400000-7"})


class QuoteBatchQuerySchema(Schema):
    stock_codes = fields.List(
        StockCode(),
        required=True,
        validate=validate.Length(
            min=1, max=CODES_MAX, error="종목을 {min}개 이상 {max}개 이하로 선택해 주세요."
        ),
    )


class QuotesSchema(Schema):
    stocks = fields.List(fields.Nested(QuoteSchema), required=True)
    # `Schema` already has an attribute named `unknown`.
    without_tick = fields.List(
        fields.String(), required=True, data_key="unknown", attribute="unknown"
    )


class AllQuotesSchema(Schema):
    stocks = fields.List(fields.Nested(QuoteSchema), required=True)
    total_count = fields.Integer(required=True, metadata={"example": 42})


class ReasonSchema(Schema):
    """A reason for the status, or additional information for operators."""

    code = fields.String(required=True, metadata={"example": "halted"})
    message = fields.String(required=True, metadata={"example": "조회했습니다."})


class RefusedSchema(Schema):
    """A destination that the feed refused, with the feed's reason."""

    topic = fields.String(required=True, metadata={"example": "/topic/v1/kr/stock/trade/A005930"})
    reason = fields.String(required=True, metadata={"example": "구독이 거절되었습니다."})


class HealthSchema(Schema):
    """The relayer's health record.

    `left_out` and `refused` are truncated lists. Without a record only the status is known.
    """

    status = fields.String(required=True, metadata={"example": "HEALTHY"})
    reasons = fields.List(fields.Nested(ReasonSchema), required=True)
    pid = fields.Integer(metadata={"example": 4_021})
    started_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()
    connected = fields.Boolean()
    why_disconnected = fields.String(allow_none=True)
    lease_number = fields.Integer(allow_none=True, metadata={"example": 3})
    subscriptions = fields.Integer(metadata={"example": 42})
    wanted = fields.Integer(metadata={"example": 42})
    left_out = fields.List(fields.String())
    left_out_total = fields.Integer(metadata={"example": 0})
    refused = fields.List(fields.Nested(RefusedSchema))
    refused_total = fields.Integer(metadata={"example": 0})
    last_tick_at = fields.AwareDateTime(allow_none=True)
    reconnects = fields.Integer(metadata={"example": 0})
    ticks_total = fields.Integer(metadata={"example": 128_400})
    malformed_total = fields.Integer(metadata={"example": 0})
    repeated_total = fields.Integer(metadata={"example": 0})
    conflated_total = fields.Integer(metadata={"example": 0})
    waiting_ticks = fields.Integer(metadata={"example": 0})
    lag_ms = fields.Integer(allow_none=True, metadata={"example": 12})


_REASONS = {
    HealthReason.NO_RECORD: "시세 수신기의 상태 기록이 없습니다. 실행 중인지 확인해 주세요.",
    HealthReason.NO_HEARTBEAT: "시세 수신기의 상태가 60초 넘게 갱신되지 않았습니다.",
    HealthReason.NOT_CONNECTED: "시세 서버에 연결되어 있지 않습니다.",
    HealthReason.NO_SUBSCRIPTIONS: "구독 중인 종목이 없습니다.",
    HealthReason.NO_TICKS: "거래 시간인데 30초 넘게 체결 시세가 들어오지 않았습니다.",
    HealthReason.NO_TRADING_NOW: "거래 시간이 아니어서 시세가 들어오지 않아도 정상입니다.",
    HealthReason.UNCONFIRMED: "아직 확인되지 않은 구독이 있습니다.",
    HealthReason.REFUSED: "시세 서버가 거절한 구독이 있습니다.",
    HealthReason.LEFT_OUT: "구독 한도를 초과하여 구독하지 못한 종목이 있습니다.",
}


@blueprint.route("/trading/realtime/stock/<stock_code>")
class QuoteDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(QuoteSchema))
    def get(self, stock_code: str) -> dict[str, object]:
        """Get the last trade of a stock.

        실시간 시세 조회. 종목의 최근 체결가를 조회합니다. 받은 시세가 없으면 마지막으로 기록된
        체결가나 종가를, 그것도 없으면 503으로 응답하고 시세 수신을 요청합니다.
        """
        code = product_code(stock_code)
        if code is None:
            raise StockNotFound(stock_code=stock_code[:20])
        price = _quoted([code]).get(code)
        if price is None:
            raise _no_live_price(code)
        return success(quote_of(price))


@blueprint.route("/trading/realtime/stocks/multiple")
class QuoteBatch(MethodView):
    @login_required
    @blueprint.arguments(QuoteBatchQuerySchema, location="query")
    @blueprint.response(200, envelope(QuotesSchema))
    def get(self, arguments: dict[str, Any]) -> dict[str, object]:
        """Get the last ticks of several stocks.

        여러 종목 실시간 시세 조회. 여러 종목의 최근 체결가나 종가를 조회합니다. 가격을 모르는
        종목은 `unknown`에 담습니다.
        """
        codes = list(dict.fromkeys(arguments["stock_codes"]))
        prices = _quoted(codes)
        return success(
            {
                "stocks": [quote_of(prices[code]) for code in codes if code in prices],
                "unknown": [code for code in codes if code not in prices],
            }
        )


@blueprint.route("/trading/realtime/stocks/all")
class QuoteList(MethodView):
    @login_required
    @blueprint.response(200, envelope(AllQuotesSchema))
    def get(self) -> dict[str, object]:
        """List the last ticks of all stocks.

        전체 실시간 시세 조회. 시세가 있는 모든 종목의 최근 체결 시세를 종목 코드 순으로 조회합니다.
        """
        ticks, now = get_core().quotes.all_ticks(), get_core().clock()
        prices = prices_at(ticks, {}, now=now)
        return success(
            {"stocks": [quote_of(prices[code]) for code in ticks], "total_count": len(ticks)}
        )


@blueprint.route("/trading/realtime/daemon/health")
class RelayerHealthDetail(MethodView):
    @blueprint.response(200, envelope(HealthSchema))
    def get(self) -> dict[str, object] | Response:
        """Get the relayer's health.

        시세 수신기 상태 조회. 시세 수신기가 정상이면 200으로, 아니면 상태 기록을 담아 503으로
        응답합니다.
        """
        core = get_core()
        record, now = core.quotes.relayer_health(), core.clock()
        found = diagnose(record, now, trading_since=trading_since(core.market_hours(), now))
        shown = {
            "status": found.status,
            "reasons": [{"code": reason, "message": _REASONS[reason]} for reason in found.reasons],
            **({name: getattr(record, name) for name in record.__slots__} if record else {}),
        }
        if found.status is not FeedStatus.HEALTHY:
            return problem(
                "relayer-unavailable", feed_status=found.status, health=HealthSchema().dump(shown)
            )
        return success(shown)


def _quoted(codes: Sequence[str]) -> dict[str, ValuationPrice]:
    """Return the last known trades; the database is read only for stocks without a fresh tick."""
    core = get_core()
    ticks, now = core.quotes.last_ticks(codes), core.clock()
    prices = prices_at(ticks, {}, now=now)
    old = [
        code for code in codes if code not in prices or prices[code].freshness is not Freshness.LIVE
    ]
    return prices_at(ticks, core.read(load_recorded_prices, old, now=now), now=now)


def _no_live_price(code: str) -> NoLivePrice:
    """Return the refusal of a listed stock without any price, and request its subscription.

    Raises StockNotFound, and StockNotTradable for a delisted stock.
    """
    core, now = get_core(), get_core().clock()
    stock = core.read(get_stock, code)
    if stock.status is StockStatus.DELISTED:
        raise StockNotTradable(stock_code=code, stock_status=stock.status)
    core.quotes.request_subscription(code, now=now)
    opening = core.market_hours().next_opening(now, order_type=OrderType.MARKET, kind=stock.kind)
    wait_s = math.ceil((opening - now).total_seconds()) + SUBSCRIPTION_WAIT_S
    return NoLivePrice(stock_code=code, age_ms=None, retry_after_s=wait_s)
