"""Holdings at live prices, fully sold stocks, and daily account values."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from trading.marketdata.stock_codes import product_code
from trading.pagination import Page
from trading.portfolio.daily_snapshots import RECORDED_AFTER, ledger_day
from trading.portfolio.errors import HoldingNotFound
from trading.portfolio.holding_rows import HoldingRows
from trading.portfolio.holdings import (
    CashRecord,
    load_closed_holdings,
    require_single,
)
from trading.portfolio.snapshot_queries import (
    DayRecord,
    LatestDay,
    latest_day,
    recorded_days,
)
from webapp.api.periods import KnownPeriodSchema
from webapp.api.valuation import freshness_field, my_holdings, my_rows, my_summary, valued
from webapp.context import get_core
from webapp.http import csv_files
from webapp.http.authentication import current_user, login_required
from webapp.http.csv_files import Column
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope, page, success

blueprint = make_blueprint("Portfolio", "보유 종목")

HISTORY_DAYS = 90
HISTORY_DAYS_MAX = 1_096

_HISTORY_COLUMNS = (
    Column("day", "날짜"),
    Column("total_assets", "총자산"),
    Column("cash_balance", "예수금"),
    Column("holdings_value", "보유 종목 평가 금액"),
    Column("deposits", "입금"),
    Column("withdrawals", "출금"),
    Column("net_flow", "순입금"),
    Column("profit", "손익"),
    Column("profit_rate_bp", "수익률 (bp)"),
    Column("carried_holdings", "이전 종가나 체결가로 평가한 종목 수"),
    Column("unpriced_holdings", "평가하지 못한 종목 수"),
    Column("provisional", "잠정 여부"),
)
_HISTORY_CSV = """day,total_assets,cash_balance,holdings_value,deposits,withdrawals,net_flow,…
2026-11-20,10020820,8800820,1220000,50000,20000,30000,…
"""


def _won(example: int, description: str | None = None, *, unknown: bool = False) -> fields.Integer:
    """Integer field in won, shares or basis points; `unknown` allows null."""
    extra = {"description": description} if description else {}
    return fields.Integer(required=True, allow_none=unknown, metadata={"example": example, **extra})


def _text(example: str, **kwargs: Any) -> fields.String:
    return fields.String(required=True, metadata={"example": example}, **kwargs)


class HoldingSchema(Schema):
    """A holding in won, shares and basis points. Members that depend on the price are null if the
    stock was never traded.
    """

    stock_code = _text("A005930")
    name = _text("삼성전자")
    market = _text("KOSPI")
    sector = _text("반도체", allow_none=True)
    quantity = _won(10)
    reserved_quantity = _won(3)
    sellable_quantity = _won(7)
    average_price = _won(70_000)
    cost = _won(700_000)
    buy_commission = _won(105)
    price = _won(77_000, unknown=True)
    price_day = fields.Date(
        required=True,
        allow_none=True,
        metadata={"example": "2026-11-20", "description": "가격이 체결된 거래일"},
    )
    base_price = _won(
        75_000,
        "오늘 변동의 기준이 되는 가격. 오늘 거래되지 않은 종목은 현재가와 같음",
        unknown=True,
    )
    price_age_ms = _won(120, unknown=True)
    freshness = freshness_field()
    traded_today = fields.Boolean(
        required=True,
        allow_none=True,
        attribute="is_traded_today",
        metadata={"description": "오늘 거래된 종목인지 여부. 아니면 오늘 변동은 0"},
    )
    value = _won(770_000, unknown=True)
    unrealized_profit = _won(69_895, unknown=True)
    unrealized_profit_rate_bp = _won(998, unknown=True)
    todays_change = _won(
        20_000, "현재 보유 수량의 오늘 평가 손익 변동. 오늘 매수한 수량은 매입가 대비", unknown=True
    )
    todays_change_rate_bp = _won(267, unknown=True)
    weight_bp = _won(6_311, "가격이 있는 전체 보유 종목 평가 금액 대비 비중", unknown=True)
    realized_profit = _won(12_345, "이 종목의 누적 매도 실현 손익")


class ClosedHoldingSchema(Schema):
    """A stock whose shares were all sold, or written off after its delisting.

    Cost and proceeds include the costs of their side; their difference is the realized profit.
    """

    stock_code = _text("A000660")
    name = _text("SK하이닉스")
    market = _text("KOSPI")
    sector = _text("반도체", allow_none=True)
    sold_quantity = _won(5)
    written_off_quantity = _won(0, "상장 폐지되어 상각한 수량")
    cost = _won(1_000_150)
    proceeds = _won(1_097_805)
    realized_profit = _won(97_655)
    realized_profit_rate_bp = _won(976)
    last_sold_at = fields.AwareDateTime(required=True)


class SectorSchema(Schema):
    sector = fields.String(
        required=True,
        allow_none=True,
        metadata={"example": "반도체", "description": "업종. 미분류이면 null"},
    )
    holdings = _won(2)
    value = _won(1_220_000)
    weight_bp = _won(10_000)


class SummarySchema(Schema):
    cash_balance = _won(8_800_820)
    available_cash = _won(8_086_713)
    reserved_cash = _won(714_107)
    invested_amount = _won(1_200_000, "보유 종목의 매입 금액")
    buy_commission = _won(180)
    holdings_value = _won(1_220_000)
    total_assets = _won(
        10_020_820, "묶인 금액을 포함한 예수금과 보유 종목 평가 금액의 합계", unknown=True
    )
    unrealized_profit = _won(19_820, unknown=True)
    realized_profit = _won(97_655)
    todays_change = _won(
        -15_180, "오늘 보유하거나 거래한 모든 종목의 손익. 매도와 비용 포함", unknown=True
    )
    todays_change_rate_bp = _won(-15, unknown=True)
    freshness = freshness_field()
    price_day = fields.Date(
        required=True,
        allow_none=True,
        metadata={
            "example": "2026-11-20",
            "description": "보유 종목 가격의 거래일 중 가장 이른 날",
        },
    )
    unpriced_holdings = _won(0, "한 번도 거래되지 않아 가격이 없는 보유 종목 수")
    stale_holdings = _won(0, "오래된 체결가로 평가한 보유 종목 수")
    holdings_at_close = _won(0, "종가로 평가한 보유 종목 수")
    untraded_holdings = _won(0, "오늘 거래되지 않아 오늘 변동이 0인 보유 종목 수")
    sectors = fields.List(fields.Nested(SectorSchema), required=True)


class PortfolioHistoryQuerySchema(KnownPeriodSchema):
    """Both days are included.

    The default end is today, or the last of 1,096 days; without a start, the period has 90 days.
    """

    days_max = HISTORY_DAYS_MAX


class HistoryDaySchema(Schema):
    """An account at the end of a trading day, in won and basis points; null if a holding had no
    price.
    """

    day = fields.Date(required=True)
    provisional = fields.Boolean(
        required=True,
        metadata={"description": "아직 끝나지 않은 날이라 현재가로 평가한 값인지 여부"},
    )
    total_assets = _won(10_020_820, unknown=True)
    cash_balance = _won(8_800_820)
    holdings_value = _won(1_220_000)
    net_flow = _won(30_000, "전일 이후 입금에서 출금을 뺀 금액")
    deposits = _won(50_000)
    withdrawals = _won(20_000)
    profit = _won(-15_180, "총자산 변동에서 순입금을 뺀 손익", unknown=True)
    profit_rate_bp = _won(-15, "전일 총자산과 입금 합계 대비 수익률", unknown=True)
    carried_holdings = _won(0, "이전 거래일 종가나 최근 체결가로 평가한 종목 수")
    unpriced_holdings = _won(0, "종가가 없어 평가 금액에서 제외한 종목 수")


class HistorySchema(Schema):
    from_ = fields.Date(required=True, data_key="from", attribute="first")
    to = fields.Date(required=True, attribute="last")
    items = fields.List(fields.Nested(HistoryDaySchema), required=True)


@blueprint.route("/portfolio")
class HoldingList(MethodView):
    @login_required
    @blueprint.response(200, page(HoldingSchema))
    def get(self) -> dict[str, object]:
        """List your holdings.

        보유 종목 목록 조회. 모든 보유 종목을 종목 코드 순으로 조회합니다.
        """
        return success(Page(my_holdings(), None))


@blueprint.route("/portfolio/summary")
class PortfolioSummaryDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(SummarySchema))
    def get(self) -> dict[str, object]:
        """Summarize cash, holdings and sectors.

        포트폴리오 요약. 예수금과 보유 종목의 합계, 오늘의 손익, 업종별 비중을 조회합니다.
        """
        return success(my_summary())


@blueprint.route("/portfolio/closed")
class ClosedHoldingList(MethodView):
    @login_required
    @blueprint.response(200, page(ClosedHoldingSchema))
    def get(self) -> dict[str, object]:
        """List fully sold stocks.

        전량 매도 종목 조회. 전량 매도하거나 상각한 종목과 실현 손익을 최근 매도 순으로 조회합니다.
        """
        user_id = current_user().user_id
        closed = get_core().read(load_closed_holdings, user_id)
        return success(Page(tuple(closed), None))


@blueprint.route("/portfolio/history")
class PortfolioHistoryDetail(MethodView):
    @login_required
    @blueprint.arguments(PortfolioHistoryQuerySchema, location="query")
    @blueprint.response(200, envelope(HistorySchema))
    @blueprint.doc(**csv_files.documentation(_HISTORY_CSV))
    def get(self, period: dict[str, date | None]) -> dict[str, object] | Response:
        """List daily account values.

        일별 자산 조회. 거래일별 마감 자산을 오래된 순으로 조회합니다. 오늘은 현재까지의 값을
        조회합니다. `Accept: text/csv`로 요청하면 CSV 파일로 받습니다. 파일의 언어는
        `Accept-Language`를 따릅니다.
        """
        core = get_core()
        now = core.clock()
        # A day is provisional until its row is written.
        today = ledger_day(core.market_hours(), now - RECORDED_AFTER)
        first, last = _bounds(today, **period)
        days = _history(first, last, today, now)
        if csv_files.is_wanted():
            return csv_files.respond("portfolio-history", _HISTORY_COLUMNS, [days])
        return success({"first": first, "last": last, "items": days})


def _bounds(today: date, first: date | None, last: date | None) -> tuple[date, date]:
    if last is None:
        last = (
            today
            if first is None
            else min(max(today, first), first + timedelta(days=HISTORY_DAYS_MAX - 1))
        )
    return first or last - timedelta(days=HISTORY_DAYS - 1), last


def _history_rows(
    session: Session, user_id: UUID, *, first: date, last: date, now: datetime
) -> tuple[tuple[DayRecord, ...], LatestDay, tuple[CashRecord, HoldingRows]]:
    """Return the recorded days, the newest one, and the cash and holdings to value today with."""
    return (
        recorded_days(session, user_id, first=first, last=last),
        latest_day(session, user_id),
        my_rows(session, now),
    )


def _history(first: date, last: date, today: date, now: datetime) -> tuple[DayRecord, ...]:
    user_id = current_user().user_id
    days, latest, (cash, holdings) = get_core().snapshot(
        _history_rows, user_id, first=first, last=last, now=now
    )
    if not first <= today <= last or (latest.day is not None and latest.day >= today):
        return days
    return (*days, latest.provisional_record(today, valued(cash, holdings, now=now)))


@blueprint.route("/portfolio/<stock_code>")
class HoldingDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(HoldingSchema))
    def get(self, stock_code: str) -> dict[str, object]:
        """Get one holding.

        보유 종목 조회. 보유 종목 하나를 조회합니다.
        """
        code = product_code(stock_code)
        if code is None:
            raise HoldingNotFound
        return success(require_single(my_holdings(code)))
