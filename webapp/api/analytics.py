"""Trade statistics, realized profit and performance."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from flask import Response
from flask.views import MethodView

from trading.pagination import Page
from trading.portfolio.performance import Performance
from trading.portfolio.performance_report import performance_report
from trading.portfolio.realized_profit import Grouping, RealizedProfit, realized_profit
from trading.portfolio.returns import Figure, Unavailable, UnavailableReason
from trading.portfolio.trade_statistics import trade_statistics
from trading.portfolio.trade_totals import by_span, sum_totals
from trading.stocks.indices.queries import KOSPI
from webapp.api.analytics_schemas import (
    PerformanceFiguresSchema,
    PerformanceQuerySchema,
    RealizedProfitQuerySchema,
    RealizedProfitsSchema,
    StatisticsQuerySchema,
    StatisticsSchema,
)
from webapp.api.periods import days_of
from webapp.context import get_core
from webapp.http import csv_files
from webapp.http.authentication import current_user, login_required
from webapp.http.csv_files import Column
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope, success

blueprint = make_blueprint("Analytics", "매매 통계, 실현 손익, 수익률")

_MISSING_SHOWN = 100

REASONS: dict[UnavailableReason, str] = {
    UnavailableReason.NO_RETURNS: "이 기간에는 계산할 수 있는 일별 수익률이 없습니다.",
    UnavailableReason.TOO_FEW_RETURNS: "일별 수익률 자료가 부족합니다.",
    UnavailableReason.PERIOD_TOO_SHORT: "기간이 1년(365일) 미만이면 연 수익률로 환산하지 않습니다.",
    UnavailableReason.NO_VARIATION: "수익률에 변동이 없어 계산할 수 없습니다.",
    UnavailableReason.NO_SINGLE_SOLUTION: "입출금 내역으로는 수익률을 하나로 정할 수 없습니다.",
    UnavailableReason.INDEX_CLOSES_MISSING: "비교할 지수 종가가 부족합니다.",
}

_FIGURES = (
    "time_weighted_return",
    "annualised_return",
    "money_weighted_return",
    "annualised_money_weighted_return",
    "volatility",
    "sharpe_ratio",
)
_KEY_COLUMNS = {
    Grouping.DAY: Column("key", "날짜", english="day"),
    Grouping.MONTH: Column("key", "월", english="month"),
    Grouping.YEAR: Column("key", "연도", english="year"),
    Grouping.STOCK: Column("key", "종목 코드", english="stock_code"),
}
_REALIZED_COLUMNS = (
    Column("executions", "매도 체결 수"),
    Column("quantity", "매도 수량"),
    Column("sold_amount", "매도 금액"),
    Column("commission", "매도 수수료"),
    Column("tax", "세금"),
    Column("cost", "매입 금액"),
    Column("buy_commission", "매수 수수료"),
    Column("realized_profit", "실현 손익"),
    Column("profit_rate", "손익률"),
)
_REALIZED_CSV = """day,executions,quantity,sold_amount,commission,tax,cost,buy_commission,…
2026-11-20,4,24,2940000,441,5880,2900000,435,…
"""

_COMPARED = ("account_return", "index_return", "excess_return", "beta")


@blueprint.route("/trading/statistics")
class TradeStatisticsDetail(MethodView):
    @login_required
    @blueprint.arguments(StatisticsQuerySchema, location="query")
    @blueprint.response(200, envelope(StatisticsSchema))
    def get(self, query: dict[str, Any]) -> dict[str, object]:
        """Get trade statistics by day, week or month.

        매매 통계 조회. 일·주·월별 거래 대금, 비용, 승률, 손익, 보유 기간을 조회합니다.
        """
        user_id = current_user().user_id
        period = {name: query[name] for name in ("since", "until", "stock_code")}
        statistics = get_core().snapshot(trade_statistics, user_id=user_id, **period)
        spans = by_span(statistics.by_day, query["group_by"])
        remaining = [
            span
            for span in reversed(spans)
            if query["cursor"] is None or span.key < query["cursor"]
        ]
        page = remaining[: query["limit"]]
        return success(
            {
                **days_of(query["since"], query["until"]),
                "stock_code": query["stock_code"],
                "group_by": query["group_by"],
                "totals": sum_totals(statistics.by_day.values()),
                "best_trade": statistics.best_trade,
                "worst_trade": statistics.worst_trade,
                "items": [
                    {
                        "period": span.key,
                        "from": span.first_day,
                        "to": span.last_day,
                        "totals": spans[span],
                    }
                    for span in page
                ],
                "next_cursor": page[-1].key if len(remaining) > len(page) else None,
            }
        )


@blueprint.route("/trading/realized-profit-loss")
class RealizedProfitList(MethodView):
    @login_required
    @blueprint.arguments(RealizedProfitQuerySchema, location="query")
    @blueprint.response(200, envelope(RealizedProfitsSchema))
    @blueprint.doc(**csv_files.documentation(_REALIZED_CSV))
    def get(self, query: dict[str, Any]) -> dict[str, object] | Response:
        """Get realized profit by day, month, year or stock.

        실현 손익 조회. 매도 실현 손익을 일·월·연·종목별로, 기간 합계와 함께 조회합니다.
        `Accept: text/csv`로 요청하면 합계를 제외한 전체 내역을 CSV 파일로 받습니다. 파일의 언어는
        `Accept-Language`를 따릅니다.
        """
        if csv_files.is_wanted():
            return _realized_csv(**query)
        user_id = current_user().user_id
        totals, page = get_core().snapshot(realized_profit, user_id=user_id, **query)
        return success(
            {
                **days_of(query["since"], query["until"]),
                "stock_code": query["stock_code"],
                "group_by": query["group_by"],
                "totals": totals,
                "items": page.items,
                "next_cursor": page.next_cursor,
            }
        )


def _realized_csv(*, group_by: Grouping, cursor: str | None, **filters: Any) -> Response:
    core, user_id = get_core(), current_user().user_id
    filters |= {"group_by": group_by, "limit": csv_files.BATCH_ROWS}

    def read(after: str | None) -> Page[RealizedProfit]:
        _, groups = core.snapshot(realized_profit, user_id=user_id, cursor=after, **filters)
        return groups

    names = (Column("stock_name", "종목명"),) if group_by is Grouping.STOCK else ()
    columns = (_KEY_COLUMNS[group_by], *names, *_REALIZED_COLUMNS)
    return csv_files.respond(
        "realized-profit", columns, csv_files.read_pages(read, cursor=cursor, parse=str)
    )


@blueprint.route("/trading/performance")
class PerformanceDetail(MethodView):
    @login_required
    @blueprint.arguments(PerformanceQuerySchema, location="query")
    @blueprint.response(200, envelope(PerformanceFiguresSchema))
    def get(self, period: dict[str, Any]) -> dict[str, object]:
        """Get returns and risk compared with KOSPI.

        수익률 분석 조회. 입출금의 영향을 제외한 수익률과 위험 지표를 코스피와 비교하여 조회합니다.
        """
        core, user_id, days = get_core(), current_user().user_id, days_of(**period)
        calendar = core.exchange_hours.now()
        report = core.snapshot(
            performance_report,
            user_id=user_id,
            since=days["from"],
            until=days["to"],
            index_code=KOSPI,
            is_exchange_day=calendar.is_trading_day,
            settings=core.settings,
        )
        return success(
            {
                "recorded_days": report.recorded_days,
                "carried_days": report.carried_days,
                "unpriced_days": report.unpriced_days,
                "days_a_year": report.days_a_year,
                "risk_free_rate_bp": report.risk_free_rate_bp,
                **_figures(report.figures),
                "benchmark": {
                    **_benchmark(report.figures),
                    "missing_closes": len(report.missing_closes),
                    "missing_days": report.missing_closes[:_MISSING_SHOWN],
                },
                "unavailable": [
                    _unavailable_figure(name, unavailable)
                    for name, unavailable in _unavailable_figures(report.figures)
                ],
            }
        )


def _figures(performance: Performance | Unavailable) -> dict[str, Any]:
    """Return every figure; those that are unavailable are null."""
    if isinstance(performance, Unavailable):
        return {
            "from": None,
            "to": None,
            "calendar_days": 0,
            "returns": 0,
            "max_drawdown": None,
        } | dict.fromkeys((*_FIGURES, "best_day", "worst_day"))
    return {
        "from": performance.since,
        "to": performance.until,
        "calendar_days": performance.days,
        "returns": len(performance.returns),
        "max_drawdown": performance.max_drawdown,
        "best_day": performance.best,
        "worst_day": performance.worst,
        **{name: _value_or_none(getattr(performance, name)) for name in _FIGURES},
    }


def _benchmark(performance: Performance | Unavailable) -> dict[str, Any]:
    comparison = performance if isinstance(performance, Unavailable) else performance.comparison
    if isinstance(comparison, Unavailable):
        return {"index_code": KOSPI, "returns": 0} | dict.fromkeys(("from", "to", *_COMPARED))
    return {
        "index_code": KOSPI,
        "from": comparison.since,
        "to": comparison.until,
        "returns": comparison.returns,
        **{name: _value_or_none(getattr(comparison, name)) for name in _COMPARED},
    }


def _unavailable_figures(
    performance: Performance | Unavailable,
) -> Iterator[tuple[str, Unavailable]]:
    """Yield the unavailable figures with their names."""
    if isinstance(performance, Unavailable):
        yield from ((name, performance) for name in (*_FIGURES, "benchmark"))
        return
    comparison = performance.comparison
    wanted = {name: getattr(performance, name) for name in _FIGURES} | {
        "benchmark": comparison,
        "benchmark.beta": None if isinstance(comparison, Unavailable) else comparison.beta,
    }
    yield from (
        (name, figure) for name, figure in wanted.items() if isinstance(figure, Unavailable)
    )


def _value_or_none(figure: Figure) -> Decimal | None:
    return None if isinstance(figure, Unavailable) else figure


def _unavailable_figure(figure: str, unavailable: Unavailable) -> dict[str, Any]:
    return {
        "figure": figure,
        "reason": unavailable.reason,
        "message": REASONS[unavailable.reason],
        "needed": unavailable.needed,
        "have": unavailable.have,
    }
