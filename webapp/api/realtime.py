"""The live market as the relayer sees it."""

from datetime import datetime
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields, validate

from trading.market.health import FeedStatus, status_of
from trading.market.tick import Tick
from trading.queries.portfolio import freshness
from trading.rules.errors import StockNotFound
from trading.rules.stock_codes import product_code
from webapp.authentication import signed_in
from webapp.core import the_core
from webapp.documentation import SIGNED_IN, make_blueprint
from webapp.fields import StockCode
from webapp.problems import problem
from webapp.schemas import envelope, success

blueprint = make_blueprint("Realtime", "실시간 시세")

CODES_MAX = 200


class Quote(Schema):
    """The last tick (won, shares); LIVE while it may still fill an order, STALE beyond."""

    stock_code = fields.String(required=True)
    price = fields.Integer(required=True)
    base_price = fields.Integer(allow_none=True)
    change = fields.Integer(allow_none=True)
    change_rate_bp = fields.Integer(allow_none=True)
    volume = fields.Integer(required=True)
    cumulative_volume = fields.Integer(allow_none=True)
    trade_type = fields.String(allow_none=True)
    session = fields.String(allow_none=True)
    exchange = fields.String(allow_none=True)
    traded_at = fields.AwareDateTime(required=True)
    received_at = fields.AwareDateTime(required=True)
    age_ms = fields.Integer(required=True)
    freshness = fields.String(required=True)
    position = fields.String(required=True)


class Several(Schema):
    stock_codes = fields.List(StockCode(), required=True, validate=validate.Length(min=1, max=CODES_MAX))


class Quotes(Schema):
    stocks = fields.List(fields.Nested(Quote), required=True)
    # A schema already has an attribute of the name that the answer uses.
    without_tick = fields.List(fields.String(), required=True, data_key="unknown", attribute="unknown")


class AllQuotes(Schema):
    stocks = fields.List(fields.Nested(Quote), required=True)
    total_count = fields.Integer(required=True)


class Health(Schema):
    status = fields.String(required=True)
    pid = fields.Integer(required=True)
    started_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)
    connected = fields.Boolean(required=True)
    subscriptions = fields.Integer(required=True)
    last_tick_at = fields.AwareDateTime(allow_none=True)
    reconnects = fields.Integer(required=True)
    ticks_total = fields.Integer(required=True)
    malformed_total = fields.Integer(required=True)
    lag_ms = fields.Integer(allow_none=True)


@blueprint.route("/trading/realtime/stock/<stock_code>")
class OneQuote(MethodView):
    @signed_in
    @blueprint.response(200, envelope(Quote))
    @blueprint.doc(**SIGNED_IN)
    def get(self, stock_code: str) -> dict[str, object]:
        """The last tick of a stock; 404 when none was ever seen."""
        code = product_code(stock_code)
        tick = the_core().quotes.last_tick(code) if code else None
        if tick is None:
            raise StockNotFound(stock_code=stock_code[:20])
        return success(_quote(tick, the_core().clock()))


@blueprint.route("/trading/realtime/stocks/multiple")
class SeveralQuotes(MethodView):
    @signed_in
    @blueprint.arguments(Several, location="query")
    @blueprint.response(200, envelope(Quotes))
    @blueprint.doc(**SIGNED_IN)
    def get(self, arguments: dict[str, Any]) -> dict[str, object]:
        """The last ticks of several stocks; those without one are listed as unknown."""
        codes = list(dict.fromkeys(arguments["stock_codes"]))
        ticks, now = the_core().quotes.last_ticks(codes), the_core().clock()
        return success(
            {
                "stocks": [_quote(ticks[code], now) for code in codes if code in ticks],
                "unknown": [code for code in codes if code not in ticks],
            }
        )


@blueprint.route("/trading/realtime/stocks/all")
class EveryQuote(MethodView):
    @signed_in
    @blueprint.response(200, envelope(AllQuotes))
    @blueprint.doc(**SIGNED_IN)
    def get(self) -> dict[str, object]:
        """The last ticks of all stocks that have one, by code."""
        ticks, now = the_core().quotes.all_ticks(), the_core().clock()
        return success({"stocks": [_quote(tick, now) for tick in ticks.values()], "total_count": len(ticks)})


@blueprint.route("/trading/realtime/daemon/health")
class DaemonHealth(MethodView):
    @blueprint.response(200, envelope(Health))
    def get(self) -> dict[str, object] | Response:
        """The relayer's own record: 200 when HEALTHY, else a 503 problem with ``feed_status`` and the record."""
        record = the_core().quotes.relayer_health()
        status = status_of(record, the_core().clock())
        shown = {"status": status, **({name: getattr(record, name) for name in record.__slots__} if record else {})}
        if status is not FeedStatus.HEALTHY:
            return problem("relayer-unavailable", feed_status=status, health=Health().dump(shown))
        return success(shown)


def _quote(tick: Tick, now: datetime) -> dict[str, Any]:
    age_ms = tick.age_ms(now)
    return {
        "stock_code": tick.code,
        "price": tick.price,
        "base_price": tick.base,
        "change": tick.change,
        "change_rate_bp": tick.change_rate_bp,
        "volume": tick.volume,
        "cumulative_volume": tick.cumulative_volume,
        "trade_type": tick.trade_type,
        "session": tick.session,
        "exchange": tick.exchange,
        "traded_at": tick.traded_at,
        "received_at": tick.received_at,
        "age_ms": age_ms,
        "freshness": freshness(age_ms, the_core().settings.tick_freshness_ms),
        "position": tick.position,
    }
