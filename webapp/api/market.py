"""Market clock, calendar and trading rules; no login needed."""

from calendar import monthrange
from datetime import date

from flask.views import MethodView
from marshmallow import Schema, fields

from trading.exchange.time import KST, trade_date
from trading.halts.queries import halted_since
from trading.operations.market_status import (
    LimitRegime,
    market_calendar,
    market_clock,
    market_rules,
)
from webapp.api.order_schemas import enum_metadata
from webapp.api.periods import KnownDay, KnownPeriodSchema
from webapp.context import get_core
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope, success

blueprint = make_blueprint("Market", "장 시간과 규칙")

DAYS_MAX = 366


class SessionTimesSchema(Schema):
    """A session from `opens_at` (inclusive) to `closes_at` (exclusive)."""

    session = fields.String(required=True, metadata={"example": "REGULAR"})
    opens_at = fields.AwareDateTime(required=True)
    closes_at = fields.AwareDateTime(required=True)


class ClockSchema(Schema):
    """The market's current state.

    `trading_day` is the first day on which an order accepted now can trade; `day_end` is when a DAY
    order would expire.
    """

    now = fields.AwareDateTime(required=True)
    hours = fields.String(
        required=True,
        metadata={"description": "krx: 거래소 운영 시간, always: 24시간", "example": "krx"},
    )
    trading_day = fields.Date(required=True)
    session = fields.Nested(SessionTimesSchema, allow_none=True)
    market_orders_accepted = fields.Boolean(
        required=True,
        metadata={
            "description": "장 운영 시간 기준 시장가 주문 가능 여부. 거래 중단은 halted로 표시"
        },
    )
    next_opening = fields.AwareDateTime(required=True)
    day_end = fields.AwareDateTime(required=True)
    halted = fields.Boolean(
        required=True,
        metadata={"description": "관리자가 거래를 중단하여 주문을 받지 않는 상태인지 여부"},
    )
    halted_since = fields.AwareDateTime(allow_none=True)


class CalendarDaySchema(Schema):
    """A day; `reason` says why it is closed or late, `corrected` that an operator changed it."""

    date = fields.Date(required=True)
    trading_day = fields.Boolean(required=True)
    reason = fields.String(allow_none=True)
    corrected = fields.Boolean(required=True)
    late_minutes = fields.Integer(required=True, metadata={"example": 0})
    sessions = fields.List(fields.Nested(SessionTimesSchema), required=True)


class CalendarSchema(Schema):
    days = fields.List(fields.Nested(CalendarDaySchema), required=True)


class CalendarQuerySchema(KnownPeriodSchema):
    """Both days are included. A missing bound is that of the other's month, or of the current
    month.
    """

    days_max = DAYS_MAX


class TickStepSchema(Schema):
    """From `price_from` won upwards, prices are multiples of `tick` won."""

    price_from = fields.Integer(required=True, metadata={"example": 50_000})
    tick = fields.Integer(required=True, metadata={"example": 100})


class TickTableSchema(Schema):
    kind = fields.String(required=True, metadata={"example": "STOCK"})
    since = fields.Date(required=True)
    steps = fields.List(fields.Nested(TickStepSchema), required=True)


class PriceLimitSchema(Schema):
    """Daily price limit in percent of the base price."""

    market = fields.String(required=True, metadata={"example": "KOSPI"})
    percent = fields.Integer(required=True, metadata={"example": 30})


class SpecialPriceLimitSchema(Schema):
    """Lowest and highest price of a day in percent of the base price, for some stocks or days."""

    regime = fields.String(
        required=True,
        metadata={
            **enum_metadata(LimitRegime),
            "description": (
                "LEVERAGED: 레버리지·인버스 상품, LISTING_DAY: 신규 상장일(기준가는 공모가), "
                "LIQUIDATION: 정리매매"
            ),
            "example": "LEVERAGED",
        },
    )
    leverage = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "추적 배수. 인버스도 같은 제한폭", "example": 2},
    )
    lower_percent = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "제한이 없으면 null", "example": 40},
    )
    upper_percent = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "제한이 없으면 null", "example": 160},
    )


class SaleTaxSchema(Schema):
    """Tax rates on sales in ppm: securities transaction tax and special rural tax."""

    market = fields.String(required=True, metadata={"example": "KOSPI"})
    kind = fields.String(required=True, metadata={"example": "STOCK"})
    transaction_ppm = fields.Integer(required=True, metadata={"example": 500})
    rural_ppm = fields.Integer(required=True, metadata={"example": 1_500})


class RulesSchema(Schema):
    date = fields.Date(required=True)
    tick_tables = fields.List(fields.Nested(TickTableSchema), required=True)
    price_limits = fields.List(fields.Nested(PriceLimitSchema), required=True)
    special_price_limits = fields.List(fields.Nested(SpecialPriceLimitSchema), required=True)
    commission_ppm = fields.Integer(required=True, metadata={"example": 150})
    sale_taxes = fields.List(fields.Nested(SaleTaxSchema), required=True)
    trading_day = fields.Boolean(required=True)
    sessions = fields.List(fields.Nested(SessionTimesSchema), required=True)


class MarketRulesQuerySchema(Schema):
    date = KnownDay(load_default=None)


@blueprint.route("/market/clock")
class MarketClockDetail(MethodView):
    @blueprint.response(200, envelope(ClockSchema))
    def get(self) -> dict[str, object]:
        """Get the market's current state.

        장 상태 조회. 한국 시간 기준 현재 거래 시간대, 시장가 주문 가능 여부, 장 마감 시각, 거래
        중단 여부를 조회합니다.
        """
        core = get_core()
        clock = market_clock(core.market_hours(), core.clock())
        since = core.read(halted_since)
        members = {name: getattr(clock, name) for name in clock.__slots__}
        return success(
            {
                **members,
                "hours": core.settings.hours_rule,
                "halted": since is not None,
                "halted_since": since and since.astimezone(KST),
            }
        )


@blueprint.route("/market/calendar")
class MarketCalendarDetail(MethodView):
    @blueprint.arguments(CalendarQuerySchema, location="query")
    @blueprint.response(200, envelope(CalendarSchema))
    def get(self, period: dict[str, date | None]) -> dict[str, object]:
        """List trading days and holidays.

        거래일 조회. 거래일과 휴장일, 거래 시간을 최대 366일까지 조회합니다.
        """
        first, last = _completed(period["first"], period["last"], today=_today())
        return success({"days": market_calendar(get_core().market_hours(), first, last)})


@blueprint.route("/market/rules")
class MarketRulesDetail(MethodView):
    @blueprint.arguments(MarketRulesQuerySchema, location="query")
    @blueprint.response(200, envelope(RulesSchema))
    def get(self, arguments: dict[str, date | None]) -> dict[str, object]:
        """Get the trading rules of a day.

        거래 규칙 조회. 지정한 날의 호가 단위, 가격 제한폭, 수수료, 세금, 거래 시간을 조회합니다.
        """
        core = get_core()
        day = arguments["date"] or _today()
        return success(
            market_rules(core.market_hours(), day, commission_ppm=core.settings.commission_ppm)
        )


def _today() -> date:
    return trade_date(get_core().clock())


def _completed(first: date | None, last: date | None, *, today: date) -> tuple[date, date]:
    """Return the period; a missing bound is that of the other's month."""
    month = first or last or today
    return (
        first or month.replace(day=1),
        last or month.replace(day=monthrange(month.year, month.month)[1]),
    )
