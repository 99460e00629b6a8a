"""Shapes of the analytics' answers. Won and shares are whole numbers; ratios are decimals as text, "0.012346" is 1.2346 %."""

from typing import Any

from marshmallow import Schema, fields, validate

from trading.portfolio.realized_profit import Grouping
from trading.portfolio.returns import UnavailableReason
from trading.portfolio.trade_totals import Span
from webapp.api.order_schemas import one_of
from webapp.api.periods import PeriodSchema, StockPeriodSchema
from webapp.http.schemas import PageQuerySchema


class Ratio(fields.Field[Any]):
    """A Decimal as text with six places, rounded half to even; zero has no sign."""

    def __init__(self, *, example: str, **kwargs: Any) -> None:
        description = kwargs.pop("description", None)
        told = {"description": description} if description else {}
        super().__init__(metadata={"type": "string", "example": example, **told}, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ARG002
        return None if value is None else f"{value:z.6f}"


def _won(example: int, description: str | None = None, **kwargs: Any) -> fields.Integer:
    told = {"description": description} if description else {}
    return fields.Integer(metadata={"example": example, **told}, **kwargs)


def _day(example: str, description: str | None = None, **kwargs: Any) -> fields.Date:
    told = {"description": description} if description else {}
    return fields.Date(metadata={"example": example, **told}, **kwargs)


class _GroupPageQuerySchema(PageQuerySchema):
    """``cursor`` is the last group of the page before."""

    cursor = fields.String(
        load_default=None,
        validate=validate.Regexp(r"[0-9A-Z-]{4,20}\Z"),
        metadata={"example": "2026-11-20"},
    )


class StatisticsQuerySchema(StockPeriodSchema, _GroupPageQuerySchema):
    group_by = fields.Enum(Span, by_value=True, load_default=Span.DAY, metadata={"example": "week"})


class RealizedProfitQuerySchema(StockPeriodSchema, _GroupPageQuerySchema):
    group_by = fields.Enum(
        Grouping, by_value=True, load_default=Grouping.DAY, metadata={"example": "month"}
    )


class PerformanceQuerySchema(PeriodSchema):
    """All recorded days where none are given."""


class TradeTotalsSchema(Schema):
    """Fills and trades (won). A trade is what one sell order sold on one day; it won when its realised profit is above zero."""

    executions = _won(12, "fills, of purchases and sales", required=True)
    turnover = _won(5_840_000, "what was bought and what was sold", required=True)
    bought_amount = _won(2_900_000, required=True)
    sold_amount = _won(2_940_000, required=True)
    commission = _won(876, required=True)
    tax = _won(5_880, "both taxes together", required=True)
    unapplied_executions = _won(
        0, "sales whose profit is not known yet, and that are in no trade", required=True
    )
    trades = _won(5, required=True)
    wins = _won(3, required=True)
    losses = _won(1, required=True)
    win_rate = Ratio(
        example="0.600000", description="wins by trades; null without a trade", allow_none=True
    )
    realized_profit = _won(33_244, required=True)
    gross_profit = _won(41_000, "what the trades that won earned", required=True)
    gross_loss = _won(7_756, "what the trades that lost cost, as a positive amount", required=True)
    average_win = _won(13_666, "null without a trade that won", allow_none=True)
    average_loss = _won(7_756, "positive; null without a trade that lost", allow_none=True)
    largest_win = _won(20_100, required=True)
    largest_loss = _won(7_756, "positive", required=True)
    profit_factor = Ratio(
        example="5.286230",
        description="gross profit by gross loss; null without a loss",
        allow_none=True,
    )
    average_holding_s = _won(
        86_400,
        "seconds that what was sold had been held, first in first out; null without a trade",
        allow_none=True,
    )


class SpanStatisticsSchema(Schema):
    """A day, a week (ISO 8601, Monday to Sunday) or a month; both of its days are included."""

    period = fields.String(required=True, metadata={"example": "2026-W47"})
    from_ = _day("2026-11-16", data_key="from", attribute="from", required=True)
    to = _day("2026-11-22", required=True)
    totals = fields.Nested(TradeTotalsSchema, required=True)


class TradeSchema(Schema):
    """What one sell order sold on one day in Korea (shares, won)."""

    day = _day("2026-11-20", required=True)
    order_id = fields.UUID(required=True)
    stock_code = fields.String(required=True, metadata={"example": "A005930"})
    stock_name = fields.String(required=True, metadata={"example": "삼성전자"})
    quantity = _won(10, required=True)
    amount = _won(713_000, required=True)
    realized_profit = _won(11_368, required=True)


class StatisticsSchema(Schema):
    """What was traded in a period: in all, and by spans that have any, newest first."""

    from_ = _day("2026-11-01", data_key="from", attribute="from", allow_none=True)
    to = _day("2026-11-30", allow_none=True)
    stock_code = fields.String(allow_none=True, metadata={"example": "A005930"})
    group_by = fields.String(required=True, metadata=one_of(Span))
    totals = fields.Nested(TradeTotalsSchema, required=True)
    best_trade = fields.Nested(
        TradeSchema, allow_none=True, metadata={"description": "null without a trade"}
    )
    worst_trade = fields.Nested(
        TradeSchema, allow_none=True, metadata={"description": "null without a trade"}
    )
    items = fields.List(fields.Nested(SpanStatisticsSchema), required=True)
    next_cursor = fields.String(allow_none=True, metadata={"example": "41"})


class RealizedProfitTotalsSchema(Schema):
    """Sales (shares, won): the profit is the sold amount less commission, tax, and the cost and buy commission of what was sold."""

    executions = _won(4, "fills of sales", required=True)
    quantity = _won(24, required=True)
    sold_amount = _won(2_940_000, required=True)
    commission = _won(441, required=True)
    tax = _won(5_880, required=True)
    cost = _won(2_900_000, required=True)
    buy_commission = _won(435, required=True)
    realized_profit = _won(33_244, required=True)
    profit_rate = Ratio(
        example="0.011461",
        description="the profit by cost and buy commission; null without a sale",
        allow_none=True,
    )


class RealizedProfitOfGroupSchema(RealizedProfitTotalsSchema):
    """The same of a day, month, year or stock."""

    key = fields.String(required=True, metadata={"example": "2026-11"})
    stock_name = fields.String(
        allow_none=True,
        metadata={"example": "삼성전자", "description": "grouped by stock, else null"},
    )


class RealizedProfitsSchema(Schema):
    """Realised profit of a period, in all and by groups: times newest first, stocks by code."""

    from_ = _day("2026-11-01", data_key="from", attribute="from", allow_none=True)
    to = _day("2026-11-30", allow_none=True)
    stock_code = fields.String(allow_none=True, metadata={"example": "A005930"})
    group_by = fields.String(required=True, metadata=one_of(Grouping))
    totals = fields.Nested(RealizedProfitTotalsSchema, required=True)
    items = fields.List(fields.Nested(RealizedProfitOfGroupSchema), required=True)
    next_cursor = fields.String(allow_none=True, metadata={"example": "41"})


class DrawdownSchema(Schema):
    depth = Ratio(example="-0.084210", required=True)
    peak_day = _day("2026-10-02", "the last day at the peak", required=True)
    trough_day = _day("2026-10-21", required=True)
    recovery_day = _day("2026-11-06", "null while the peak is not reached again", allow_none=True)


class DayReturnSchema(Schema):
    """A return from the close of one recorded day to that of the next of known worth."""

    from_ = _day("2026-11-19", data_key="from", attribute="since", required=True)
    day = _day("2026-11-20", required=True)
    value = Ratio(example="0.021300", required=True)


class BenchmarkSchema(Schema):
    """The account beside an index over the same days; null where closes are missing."""

    index_code = fields.String(required=True, metadata={"example": "KOSPI"})
    from_ = _day(
        "2026-01-02",
        "both begin at the close of this day",
        data_key="from",
        attribute="from",
        allow_none=True,
    )
    to = _day("2026-11-20", allow_none=True)
    returns = _won(217, required=True)
    account_return = Ratio(example="0.154000", allow_none=True)
    index_return = Ratio(example="0.121000", allow_none=True)
    excess_return = Ratio(
        example="0.033000", description="the account's less the index's", allow_none=True
    )
    beta = Ratio(example="0.912000", allow_none=True)
    missing_closes = _won(0, "days of the exchange that have no close of the index", required=True)
    missing_days = fields.List(
        _day("2026-03-19"), required=True, metadata={"description": "the first hundred of them"}
    )


class UnavailableFigureSchema(Schema):
    """A figure that is null, and why. ``needed`` and ``have`` count returns, calendar days or closes, as the reason says; null where more would not help."""

    figure = fields.String(required=True, metadata={"example": "sharpe_ratio"})
    reason = fields.String(required=True, metadata=one_of(UnavailableReason))
    message = fields.String(required=True, metadata={"example": "일별 수익률이 더 필요합니다."})
    needed = _won(20, allow_none=True)
    have = _won(7, allow_none=True)


class PerformanceFiguresSchema(Schema):
    """How well the account did, deposits and withdrawals taken out; docs/formulas.md tells how each figure is made.

    What is null is in ``unavailable``, with the reason.
    """

    from_ = _day(
        "2025-11-20",
        "measured from the close of this day",
        data_key="from",
        attribute="from",
        allow_none=True,
    )
    to = _day("2026-11-20", "measured to the close of this day", allow_none=True)
    calendar_days = _won(365, required=True)
    recorded_days = _won(245, required=True)
    returns = _won(244, "daily returns", required=True)
    carried_days = _won(3, "days on which a holding was valued at an earlier close", required=True)
    unpriced_days = fields.List(
        _day("2026-02-03"),
        required=True,
        metadata={"description": "days of unknown worth, which returns reach over"},
    )
    days_a_year = _won(252, "daily returns of a year, by which risk is annualised", required=True)
    risk_free_rate_bp = _won(250, required=True)
    time_weighted_return = Ratio(example="0.154000", allow_none=True)
    annualised_return = Ratio(example="0.154000", allow_none=True)
    money_weighted_return = Ratio(example="0.149700", allow_none=True)
    annualised_money_weighted_return = Ratio(example="0.149700", allow_none=True)
    volatility = Ratio(example="0.182500", description="annualised", allow_none=True)
    sharpe_ratio = Ratio(example="0.712000", allow_none=True)
    max_drawdown = fields.Nested(
        DrawdownSchema, allow_none=True, metadata={"description": "null where no return fell"}
    )
    best_day = fields.Nested(DayReturnSchema, allow_none=True)
    worst_day = fields.Nested(DayReturnSchema, allow_none=True)
    benchmark = fields.Nested(BenchmarkSchema, required=True)
    unavailable = fields.List(fields.Nested(UnavailableFigureSchema), required=True)
