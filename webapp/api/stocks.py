"""Stock search, master data, and market data from Toss; login required."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from flask.views import MethodView

from trading.marketdata.stock_codes import product_code
from trading.money import change_rate_bp
from trading.stocks.candles.model import CandleInterval
from trading.stocks.candles.queries import list_candles
from trading.stocks.errors import StockNotFound
from trading.stocks.prices import (
    DataSource,
    StockPrice,
    get_price,
    rank_stocks,
    recorded_price,
    stock_names,
)
from trading.stocks.queries import StockRecord, get_stock
from trading.stocks.toss.answers import IndexPrice as IndexDay
from trading.stocks.toss.client import Index
from trading.stocks.toss.errors import TossError
from trading.stocks.toss.market_data import CachedResponse
from trading.stocks.valuation_prices import load_recorded_prices
from webapp.api.stock_schemas import (
    CandleQuerySchema,
    CandlesSchema,
    ExchangeRateSchema,
    FoundSchema,
    IndicesSchema,
    MarketTradesSchema,
    OrderBookSchema,
    PriceSchema,
    RankingQuerySchema,
    RankingsSchema,
    StockSchema,
    StockSearchQuerySchema,
    TradeQuerySchema,
)
from webapp.api.valuation import last_prices, prices_at
from webapp.context import get_core
from webapp.http.authentication import login_required
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope, success

blueprint = make_blueprint("Stocks", "종목과 시세")


@blueprint.route("/stocks/search")
class StockSearchList(MethodView):
    @login_required
    @blueprint.arguments(StockSearchQuerySchema, location="query")
    @blueprint.response(200, envelope(FoundSchema))
    def get(self, arguments: dict[str, Any]) -> dict[str, object]:
        """Search stocks.

        종목 검색. 종목명, 초성(ㅅㅅㅈㅈ), 영문명, 종목 코드로 검색하여 관련도 순으로 조회합니다.
        """
        return success(
            {"stocks": get_core().stock_search(arguments["q"], limit=arguments["limit"])}
        )


@blueprint.route("/stocks/indices")
class IndexList(MethodView):
    @login_required
    @blueprint.response(200, envelope(IndicesSchema))
    def get(self) -> dict[str, object]:
        """Get today's KOSPI and KOSDAQ.

        지수 조회. 오늘의 코스피와 코스닥 지수를 조회합니다.
        """
        indices = get_core().market_data.indices()
        return success(
            {
                "indices": [_index(index, response) for index, response in indices.items()],
                "unavailable": [index for index in Index if index not in indices],
            }
        )


@blueprint.route("/stocks/exchange-rate")
class ExchangeRateDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(ExchangeRateSchema))
    def get(self) -> dict[str, object]:
        """Get the exchange rate of the US dollar.

        환율 조회. 1달러의 원화 환율을 조회합니다.
        """
        response = get_core().market_data.exchange_rate()
        rate, base = response.value.close, response.value.base
        return success(
            {
                "base_currency": "USD",
                "quote_currency": "KRW",
                "rate": rate,
                "base_rate": base,
                "change": None if base is None else rate - base,
                **_freshness(response),
            }
        )


@blueprint.route("/stocks/rankings")
class StockRankingList(MethodView):
    @login_required
    @blueprint.arguments(RankingQuerySchema, location="query")
    @blueprint.response(200, envelope(RankingsSchema))
    def get(self, arguments: dict[str, Any]) -> dict[str, object]:
        """List today's most traded stocks.

        거래 상위 종목 조회. 토스 기준 오늘의 거래 상위 국내 종목을 최근 체결가와 함께 조회합니다.
        """
        core = get_core()
        response = core.market_data.ranking(arguments["by"])
        codes = response.value.codes[: arguments["limit"]]
        names, now = core.read(stock_names, codes), core.clock()
        recorded = core.read(load_recorded_prices, codes, now=now)
        return success(
            {
                "by": arguments["by"],
                "based_at": response.value.based_at,
                "stocks": rank_stocks(codes, names, last_prices(codes, recorded, now=now)),
                **_freshness(response),
            }
        )


@blueprint.route("/stocks/<stock_code>")
class StockDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(StockSchema))
    def get(self, stock_code: str) -> dict[str, object]:
        """Get a stock's master data and price.

        종목 정보 조회. 종목 기본 정보와 현재가를 조회합니다. 시세를 받을 수 없으면 가격은
        null입니다.
        """
        stock = _stock(stock_code)
        price, problem = None, None
        try:
            price = _price(stock)
        except TossError as fault:
            problem = fault.code
        master_data = {name: getattr(stock, name) for name in stock.__slots__}
        return success(
            {
                **master_data,
                "leverage": stock.leverage,
                "price": price,
                "price_unavailable": problem,
            }
        )


@blueprint.route("/stocks/<stock_code>/price")
class StockPriceDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(PriceSchema))
    def get(self, stock_code: str) -> dict[str, object]:
        """Get a stock's price.

        현재가 조회. 최근 틱이 유효하면 그 가격을, 아니면 토스의 현재가, 마지막으로 확인한
        가격, 기록된 종가 순으로 조회합니다.
        """
        return success(_price(_stock(stock_code)))


@blueprint.route("/stocks/<stock_code>/candles")
class StockCandleList(MethodView):
    @login_required
    @blueprint.arguments(CandleQuerySchema, location="query")
    @blueprint.response(200, envelope(CandlesSchema))
    def get(self, arguments: dict[str, Any], stock_code: str) -> dict[str, object]:
        """List a stock's candles.

        차트 조회. 종목의 봉을 최근 순으로 조회합니다. 토스에서 받을 수 없으면 자체 틱으로 만든 봉을
        조회합니다.
        """
        stock = _stock(stock_code)
        try:
            page = _toss_candles(stock.stock_code, **arguments)
        except TossError as fault:
            page = _own_candles(stock.stock_code, fault, **arguments)
        return success({"stock_code": stock.stock_code, "interval": arguments["interval"], **page})


@blueprint.route("/stocks/<stock_code>/orderbook")
class StockOrderBookDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(OrderBookSchema))
    def get(self, stock_code: str) -> dict[str, object]:
        """Get a stock's order book on KRX.

        호가 조회. KRX의 매도·매수 호가를 조회합니다.
        """
        stock = _stock(stock_code)
        response = get_core().market_data.order_book(stock.stock_code)
        book = response.value
        return success(
            {
                "stock_code": stock.stock_code,
                "price": book.price,
                "asks": book.asks,
                "bids": book.bids,
                **_freshness(response),
            }
        )


@blueprint.route("/stocks/<stock_code>/trades")
class StockTradeList(MethodView):
    @login_required
    @blueprint.arguments(TradeQuerySchema, location="query")
    @blueprint.response(200, envelope(MarketTradesSchema))
    def get(self, arguments: dict[str, int], stock_code: str) -> dict[str, object]:
        """List a stock's last trades on KRX.

        체결 내역 조회. KRX의 최근 체결 내역을 최근 순으로 조회합니다.
        """
        stock = _stock(stock_code)
        response = get_core().market_data.trades(stock.stock_code)
        return success(
            {
                "stock_code": stock.stock_code,
                "trades": response.value[: arguments["count"]],
                **_freshness(response),
            }
        )


def _stock(stock_code: str) -> StockRecord:
    """Return the stock of a path; raise StockNotFound before Toss is asked for an unknown stock."""
    code = product_code(stock_code)
    if code is None:
        raise StockNotFound(stock_code=stock_code[:20])
    return get_core().read(get_stock, code)


def _price(stock: StockRecord) -> StockPrice:
    """Return the current price, or the recorded one. Raise TossError if there is neither."""
    core, now = get_core(), get_core().clock()
    try:
        return get_price(
            stock,
            quotes=core.quotes,
            market_data=core.market_data,
            freshness_ms=core.settings.tick_freshness_ms,
            day=core.market_hours().trading_day(now),
            now=now,
        )
    except TossError:
        recorded = core.read(load_recorded_prices, [stock.stock_code], now=now)
        if not recorded:
            raise
        return recorded_price(prices_at({}, recorded, now=now)[stock.stock_code])


def _toss_candles(
    code: str, *, interval: CandleInterval, count: int, before: datetime | None
) -> dict[str, Any]:
    response = get_core().market_data.candles(code, interval, before=before)
    # Toss defines what its timestamps mean; here a page only has to end before the requested one.
    candles_before = [
        candle for candle in response.value.candles if before is None or candle.time < before
    ]
    candles = candles_before[:count]
    has_more = bool(candles) and (response.value.has_more or len(candles_before) > count)
    return {
        "candles": candles,
        "next_before": candles[-1].time if has_more else None,
        **_freshness(response),
    }


def _own_candles(
    code: str, fault: TossError, *, interval: CandleInterval, count: int, before: datetime | None
) -> dict[str, Any]:
    """Return candles built from our own ticks; raise `fault` if there are none."""
    own_candles = get_core().read(
        list_candles, stock_code=code, interval=interval, count=count, before=before
    )
    if not own_candles:
        raise fault
    return {
        "candles": [
            {"time": candle.starts_at, **{name: getattr(candle, name) for name in _CANDLE_MEMBERS}}
            for candle in own_candles
        ],
        "next_before": own_candles[-1].starts_at if len(own_candles) == count else None,
        "source": DataSource.OWN,
        "age_ms": None,
        "stale": False,
    }


_CANDLE_MEMBERS = ("open", "high", "low", "close", "volume", "amount")


def _index(index: Index, response: CachedResponse[IndexDay]) -> dict[str, Any]:
    day = response.value
    return {
        "index_code": index,
        "close": _points(day.close),
        "base": _points(day.base),
        "change": None if day.base is None else _points(day.close - day.base),
        "change_rate_bp": None if day.base is None else change_rate_bp(day.close, day.base),
        "open": _points(day.open),
        "high": _points(day.high),
        "low": _points(day.low),
        "volume": day.volume,
        "amount": day.amount,
        "traded_at": day.traded_at,
        **_freshness(response),
    }


def _points(hundredths: int | None) -> str | None:
    """Return index points as decimal text, such as "4309.63"."""
    return None if hundredths is None else f"{Decimal(hundredths).scaleb(-2):.2f}"


def _freshness(response: CachedResponse[Any]) -> dict[str, Any]:
    return {"source": DataSource.TOSS, "age_ms": response.age_ms, "stale": response.stale}
