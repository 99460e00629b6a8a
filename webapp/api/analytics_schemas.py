"""Schemas of analytics: won and shares are integers, ratios are decimal strings.

A ratio of "0.012346" is 1.2346 %.
"""

from typing import Any

from marshmallow import Schema, fields, validate

from trading.portfolio.realized_profit import Grouping
from trading.portfolio.returns import UnavailableReason
from trading.portfolio.trade_totals import Span
from webapp.api.order_schemas import enum_metadata
from webapp.api.periods import PeriodSchema, StockPeriodSchema
from webapp.http.schemas import PageQuerySchema


class Ratio(fields.Field[Any]):
    """A Decimal as string with six places, rounded half to even; zero has no sign."""

    def __init__(self, *, example: str, **kwargs: Any) -> None:
        description = kwargs.pop("description", None)
        extra = {"description": description} if description else {}
        super().__init__(metadata={"type": "string", "example": example, **extra}, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ARG002
        return None if value is None else f"{value:z.6f}"


def _won(example: int, description: str | None = None, **kwargs: Any) -> fields.Integer:
    extra = {"description": description} if description else {}
    return fields.Integer(metadata={"example": example, **extra}, **kwargs)


def _day(example: str, description: str | None = None, **kwargs: Any) -> fields.Date:
    extra = {"description": description} if description else {}
    return fields.Date(metadata={"example": example, **extra}, **kwargs)


class _GroupPageQuerySchema(PageQuerySchema):
    """`cursor` is the last group of the previous page."""

    cursor = fields.String(
        load_default=None,
        validate=validate.Regexp(r"^[0-9A-Z-]{4,20}\Z"),
        metadata={"example": "2026-11-20"},
    )


class StatisticsQuerySchema(StockPeriodSchema, _GroupPageQuerySchema):
    group_by = fields.Enum(Span, by_value=True, load_default=Span.DAY, metadata={"example": "week"})


class RealizedProfitQuerySchema(StockPeriodSchema, _GroupPageQuerySchema):
    group_by = fields.Enum(
        Grouping, by_value=True, load_default=Grouping.DAY, metadata={"example": "month"}
    )


class PerformanceQuerySchema(PeriodSchema):
    """Without bounds, all recorded days."""


class TradeTotalsSchema(Schema):
    """Totals of fills and trades, in won.

    A trade is what one sell order sold on one day. It is a win if its realized profit is positive.
    """

    executions = _won(12, "매수와 매도 체결 수", required=True)
    turnover = _won(5_840_000, "매수와 매도 금액의 합계", required=True)
    bought_amount = _won(2_900_000, required=True)
    sold_amount = _won(2_940_000, required=True)
    commission = _won(876, required=True)
    tax = _won(5_880, "증권거래세와 농어촌특별세의 합계", required=True)
    unapplied_executions = _won(
        0, "실현 손익이 아직 계산되지 않아 매매에서 제외된 매도 수", required=True
    )
    trades = _won(5, required=True)
    wins = _won(3, required=True)
    losses = _won(1, required=True)
    win_rate = Ratio(
        example="0.600000",
        description="전체 매매 중 수익 매매의 비율. 매매가 없으면 null",
        allow_none=True,
    )
    realized_profit = _won(33_244, required=True)
    gross_profit = _won(41_000, "수익 매매의 수익 합계", required=True)
    gross_loss = _won(7_756, "손실 매매의 손실 합계 (양수)", required=True)
    average_win = _won(13_666, "수익 매매의 평균 수익. 수익 매매가 없으면 null", allow_none=True)
    average_loss = _won(
        7_756, "손실 매매의 평균 손실 (양수). 손실 매매가 없으면 null", allow_none=True
    )
    largest_win = _won(20_100, required=True)
    largest_loss = _won(7_756, "최대 손실 (양수)", required=True)
    profit_factor = Ratio(
        example="5.286230",
        description="총수익을 총손실로 나눈 값. 손실이 없으면 null",
        allow_none=True,
    )
    average_holding_s = _won(
        86_400,
        "매도 수량의 평균 보유 시간 (초, 선입선출). 매매가 없으면 null",
        allow_none=True,
    )


class SpanStatisticsSchema(Schema):
    """A day, an ISO 8601 week (Monday to Sunday) or a month, both days included."""

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
    """Trades of a period: totals, and groups with trades, newest first."""

    from_ = _day("2026-11-01", data_key="from", attribute="from", allow_none=True)
    to = _day("2026-11-30", allow_none=True)
    stock_code = fields.String(allow_none=True, metadata={"example": "A005930"})
    group_by = fields.String(required=True, metadata=enum_metadata(Span))
    totals = fields.Nested(TradeTotalsSchema, required=True)
    best_trade = fields.Nested(
        TradeSchema, allow_none=True, metadata={"description": "매매가 없으면 null"}
    )
    worst_trade = fields.Nested(
        TradeSchema, allow_none=True, metadata={"description": "매매가 없으면 null"}
    )
    items = fields.List(fields.Nested(SpanStatisticsSchema), required=True)
    next_cursor = fields.String(allow_none=True, metadata={"example": "41"})


class RealizedProfitTotalsSchema(Schema):
    """Totals of sales (shares, won).

    The profit is the sold amount minus commission, tax, and the cost and buy commission of the
    shares.
    """

    executions = _won(4, "매도 체결 수", required=True)
    quantity = _won(24, required=True)
    sold_amount = _won(2_940_000, required=True)
    commission = _won(441, required=True)
    tax = _won(5_880, required=True)
    cost = _won(2_900_000, required=True)
    buy_commission = _won(435, required=True)
    realized_profit = _won(33_244, required=True)
    profit_rate = Ratio(
        example="0.011461",
        description="매입 금액과 매수 수수료 대비 손익률. 매도가 없으면 null",
        allow_none=True,
    )


class RealizedProfitOfGroupSchema(RealizedProfitTotalsSchema):
    """Totals of a day, month, year or stock."""

    key = fields.String(required=True, metadata={"example": "2026-11"})
    stock_name = fields.String(
        allow_none=True,
        metadata={"example": "삼성전자", "description": "종목별 집계일 때의 종목명. 아니면 null"},
    )


class RealizedProfitsSchema(Schema):
    """Realized profit of a period: totals, and groups (times newest first, stocks by code)."""

    from_ = _day("2026-11-01", data_key="from", attribute="from", allow_none=True)
    to = _day("2026-11-30", allow_none=True)
    stock_code = fields.String(allow_none=True, metadata={"example": "A005930"})
    group_by = fields.String(required=True, metadata=enum_metadata(Grouping))
    totals = fields.Nested(RealizedProfitTotalsSchema, required=True)
    items = fields.List(fields.Nested(RealizedProfitOfGroupSchema), required=True)
    next_cursor = fields.String(allow_none=True, metadata={"example": "41"})


class DrawdownSchema(Schema):
    depth = Ratio(example="-0.084210", required=True)
    peak_day = _day("2026-10-02", "고점이었던 마지막 날", required=True)
    trough_day = _day("2026-10-21", required=True)
    recovery_day = _day(
        "2026-11-06", "고점을 회복한 날. 아직 회복하지 못했으면 null", allow_none=True
    )


class DayReturnSchema(Schema):
    """Return between the closes of two recorded days of known value."""

    from_ = _day("2026-11-19", data_key="from", attribute="since", required=True)
    day = _day("2026-11-20", required=True)
    value = Ratio(example="0.021300", required=True)


class BenchmarkSchema(Schema):
    """The account and an index over the same days; null if closes are missing."""

    index_code = fields.String(required=True, metadata={"example": "KOSPI"})
    from_ = _day(
        "2026-01-02",
        "비교를 시작하는 날의 종가 기준",
        data_key="from",
        attribute="from",
        allow_none=True,
    )
    to = _day("2026-11-20", allow_none=True)
    returns = _won(217, required=True)
    account_return = Ratio(example="0.154000", allow_none=True)
    index_return = Ratio(example="0.121000", allow_none=True)
    excess_return = Ratio(
        example="0.033000", description="계좌 수익률에서 지수 수익률을 뺀 값", allow_none=True
    )
    beta = Ratio(example="0.912000", allow_none=True)
    missing_closes = _won(0, "지수 종가가 없는 거래일 수", required=True)
    missing_days = fields.List(
        _day("2026-03-19"), required=True, metadata={"description": "해당하는 날 중 처음 100일"}
    )


class UnavailableFigureSchema(Schema):
    """A figure that is null, and the reason.

    `needed` and `have` count returns, calendar days or closes, depending on the reason; null if
    more data would not help.
    """

    figure = fields.String(required=True, metadata={"example": "sharpe_ratio"})
    reason = fields.String(required=True, metadata=enum_metadata(UnavailableReason))
    message = fields.String(required=True, metadata={"example": "일별 수익률 자료가 부족합니다."})
    needed = _won(20, allow_none=True)
    have = _won(7, allow_none=True)


class PerformanceFiguresSchema(Schema):
    """Performance without the effect of deposits and withdrawals; see docs/formulas.md.

    Figures that are null are listed in `unavailable` with the reason.
    """

    from_ = _day(
        "2025-11-20",
        "측정 시작일 (종가 기준)",
        data_key="from",
        attribute="from",
        allow_none=True,
    )
    to = _day("2026-11-20", "측정 종료일 (종가 기준)", allow_none=True)
    calendar_days = _won(365, required=True)
    recorded_days = _won(245, required=True)
    returns = _won(244, "일별 수익률 수", required=True)
    carried_days = _won(3, "이전 종가나 체결가로 평가한 보유 종목이 있는 날 수", required=True)
    unpriced_days = fields.List(
        _day("2026-02-03"),
        required=True,
        metadata={"description": "평가 금액을 알 수 없어 건너뛴 날"},
    )
    days_a_year = _won(252, "위험 지표의 연 환산에 쓰는 연간 일별 수익률 수", required=True)
    risk_free_rate_bp = _won(250, required=True)
    time_weighted_return = Ratio(example="0.154000", allow_none=True)
    annualised_return = Ratio(example="0.154000", allow_none=True)
    money_weighted_return = Ratio(example="0.149700", allow_none=True)
    annualised_money_weighted_return = Ratio(example="0.149700", allow_none=True)
    volatility = Ratio(example="0.182500", description="연 환산 변동성", allow_none=True)
    sharpe_ratio = Ratio(example="0.712000", allow_none=True)
    max_drawdown = fields.Nested(
        DrawdownSchema,
        allow_none=True,
        metadata={"description": "최대 낙폭. 하락한 적이 없으면 null"},
    )
    best_day = fields.Nested(DayReturnSchema, allow_none=True)
    worst_day = fields.Nested(DayReturnSchema, allow_none=True)
    benchmark = fields.Nested(BenchmarkSchema, required=True)
    unavailable = fields.List(fields.Nested(UnavailableFigureSchema), required=True)
