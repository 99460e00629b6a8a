"""Schemas of stocks and market data."""

from marshmallow import Schema, fields, validate

from trading.stocks.candles.model import CandleInterval
from trading.stocks.model import StockStatus
from trading.stocks.prices import DataSource
from trading.stocks.toss.client import Index, RankedBy
from trading.stocks.toss.market_data import CANDLES_PER_REQUEST, TRADES_PER_REQUEST
from webapp.api.order_schemas import enum_metadata
from webapp.http.fields import InstantField, Text

QUERY_MAX = 50
FOUND_MAX = 50
RANKED_MAX = 100

_CODE = {"example": "A005930"}
_TIME = {"example": "2026-11-20T10:00:00+09:00"}
_PRICE = {"example": 70_000}


def _integer(example: int | None, description: str | None = None) -> fields.Integer:
    """Return a nullable integer field."""
    return fields.Integer(
        required=True, allow_none=True, metadata={"example": example, **_described(description)}
    )


def _decimal(example: str, description: str | None = None) -> fields.String:
    """Return a nullable decimal field as string, so that no client rounds it."""
    return fields.String(
        required=True, allow_none=True, metadata={"example": example, **_described(description)}
    )


def _described(description: str | None) -> dict[str, str]:
    return {} if description is None else {"description": description}


class FreshnessSchema(Schema):
    """Source and age of the data; `stale` means that newer data could not be fetched."""

    source = fields.String(required=True, metadata={**enum_metadata(DataSource), "example": "TOSS"})
    age_ms = _integer(350, "수신 후 경과 시간. 자체 집계한 값이면 null")
    stale = fields.Boolean(required=True, metadata={"example": False})


class StockSearchQuerySchema(Schema):
    q = Text(
        required=True,
        high=QUERY_MAX,
        metadata={
            "description": "종목명, 초성, 영문명 또는 종목 코드",
            "example": "ㅅㅅㅈㅈ",
        },
    )
    limit = fields.Integer(
        load_default=20, validate=validate.Range(min=1, max=FOUND_MAX), metadata={"example": 20}
    )


class FoundStockSchema(Schema):
    stock_code = fields.String(required=True, attribute="code", metadata=_CODE)
    name = fields.String(required=True, metadata={"example": "삼성전자"})
    english_name = fields.String(
        required=True, allow_none=True, metadata={"example": "Samsung Electronics"}
    )
    market = fields.String(required=True, metadata={"example": "KOSPI"})
    kind = fields.String(required=True, metadata={"example": "STOCK"})
    status = fields.String(
        required=True, metadata={"enum": list(StockStatus), "example": StockStatus.TRADABLE}
    )


class FoundSchema(Schema):
    """Search results, best match first."""

    stocks = fields.List(fields.Nested(FoundStockSchema), required=True)


class PriceSchema(FreshnessSchema):
    """A price with the day's figures in won and shares; the day's range and amount are null for a
    tick.
    """

    stock_code = fields.String(required=True, metadata=_CODE)
    price = fields.Integer(required=True, metadata=_PRICE)
    base_price = _integer(69_000)
    change = _integer(1_000)
    change_rate_bp = _integer(145)
    upper_limit = _integer(89_700)
    lower_limit = _integer(48_300)
    open = _integer(69_200)
    high = _integer(70_400)
    low = _integer(68_900)
    volume = _integer(12_345_678, "오늘의 거래량 (주)")
    amount = _integer(864_197_460_000, "오늘의 거래 대금 (원)")
    high_52w = _integer(88_800)
    low_52w = _integer(49_900)
    market_cap = _integer(414_374_000_000_000, "시가총액 (원)")
    traded_at = fields.AwareDateTime(required=True, allow_none=True, metadata=_TIME)


class StockSchema(Schema):
    """Master data. If `price` is null, `price_unavailable` is the problem code."""

    stock_code = fields.String(required=True, metadata=_CODE)
    isin = fields.String(required=True, allow_none=True, metadata={"example": "KR7005930003"})
    name = fields.String(required=True, metadata={"example": "삼성전자"})
    english_name = fields.String(
        required=True, allow_none=True, metadata={"example": "Samsung Electronics"}
    )
    market = fields.String(required=True, metadata={"example": "KOSPI"})
    kind = fields.String(required=True, metadata={"example": "STOCK"})
    sector = fields.String(required=True, allow_none=True, metadata={"example": "반도체"})
    status = fields.String(
        required=True, metadata={"enum": list(StockStatus), "example": StockStatus.TRADABLE}
    )
    listed_shares = _integer(5_919_637_922)
    reference_price = _integer(69_000, "마지막으로 가져온 종목 목록의 종가 (원)")
    leverage = fields.String(
        required=True,
        metadata={"description": "기초지수의 추적 배수. 인버스는 음수", "example": "1"},
    )
    listed_on = fields.Date(
        required=True,
        allow_none=True,
        metadata={"description": "상장일. 모르면 null", "example": "1975-06-11"},
    )
    in_liquidation = fields.Boolean(
        required=True,
        metadata={
            "description": "정리매매 여부. 정리매매 종목은 가격 제한폭 없음",
            "example": False,
        },
    )
    price = fields.Nested(PriceSchema, required=True, allow_none=True)
    price_unavailable = fields.String(
        required=True, allow_none=True, metadata={"example": None, "nullable": True}
    )


class CandleQuerySchema(Schema):
    interval = fields.Enum(
        CandleInterval,
        by_value=True,
        load_default=CandleInterval.DAY,
        metadata={"example": "day:1"},
    )
    count = fields.Integer(
        load_default=100,
        validate=validate.Range(min=1, max=CANDLES_PER_REQUEST),
        metadata={"example": 100},
    )
    before = InstantField(
        load_default=None,
        metadata={"description": "다음 페이지를 조회할 때 next_before 값", **_TIME},
    )


class CandleSchema(Schema):
    """A candle in won. `time` is the interval's start (source OWN) or Toss's timestamp (TOSS)."""

    time = fields.AwareDateTime(required=True, metadata=_TIME)
    open = fields.Integer(required=True, metadata=_PRICE)
    high = fields.Integer(required=True, metadata={"example": 70_300})
    low = fields.Integer(required=True, metadata={"example": 69_900})
    close = fields.Integer(required=True, metadata={"example": 70_100})
    volume = _integer(118_586, "거래량 (주)")
    amount = _integer(8_312_878_600, "거래 대금 (원)")


class CandlesSchema(FreshnessSchema):
    """Newest first. `next_before` requests older candles; null if there are none."""

    stock_code = fields.String(required=True, metadata=_CODE)
    interval = fields.String(
        required=True, metadata={**enum_metadata(CandleInterval), "example": "day:1"}
    )
    candles = fields.List(fields.Nested(CandleSchema), required=True)
    next_before = fields.AwareDateTime(required=True, allow_none=True, metadata=_TIME)


class BookLevelSchema(Schema):
    price = fields.Integer(required=True, metadata=_PRICE)
    volume = fields.Integer(required=True, metadata={"example": 1_250})


class OrderBookSchema(FreshnessSchema):
    """Best asks ascending, best bids descending."""

    stock_code = fields.String(required=True, metadata=_CODE)
    price = _integer(70_000)
    asks = fields.List(fields.Nested(BookLevelSchema), required=True)
    bids = fields.List(fields.Nested(BookLevelSchema), required=True)


class TradeQuerySchema(Schema):
    count = fields.Integer(
        load_default=20,
        validate=validate.Range(min=1, max=TRADES_PER_REQUEST),
        metadata={"example": 20},
    )


class MarketTradeSchema(Schema):
    """A trade; `time` is Toss's text: an instant, or the time of day in Korea."""

    time = fields.String(required=True, allow_none=True, metadata=_TIME)
    price = fields.Integer(required=True, metadata=_PRICE)
    volume = fields.Integer(required=True, metadata={"example": 15})
    trade_type = fields.String(required=True, allow_none=True, metadata={"example": "BUY"})
    cumulative_volume = _integer(12_345_678)


class MarketTradesSchema(FreshnessSchema):
    stock_code = fields.String(required=True, metadata=_CODE)
    trades = fields.List(fields.Nested(MarketTradeSchema), required=True)


class IndexPriceSchema(FreshnessSchema):
    """An index in points, as decimal strings."""

    index_code = fields.String(required=True, metadata={**enum_metadata(Index), "example": "KOSPI"})
    close = fields.String(required=True, metadata={"example": "4309.63"})
    base = _decimal("4214.17", "전 거래일 종가")
    change = _decimal("95.46")
    change_rate_bp = _integer(227)
    open = _decimal("4224.53")
    high = _decimal("4313.55")
    low = _decimal("4216.68")
    volume = _integer(406_339_246)
    amount = _integer(17_521_809_108_064)
    traded_at = fields.AwareDateTime(required=True, allow_none=True, metadata=_TIME)


class IndicesSchema(Schema):
    """`unavailable` lists the codes of indices that cannot be fetched now."""

    indices = fields.List(fields.Nested(IndexPriceSchema), required=True)
    unavailable = fields.List(fields.String(), required=True, metadata={"example": []})


class ExchangeRateSchema(FreshnessSchema):
    """Won for one US dollar, as decimal strings."""

    base_currency = fields.String(required=True, metadata={"example": "USD"})
    quote_currency = fields.String(required=True, metadata={"example": "KRW"})
    rate = fields.String(required=True, metadata={"example": "1392.8910"})
    base_rate = _decimal("1390.0000", "변동을 계산하는 기준 환율")
    change = _decimal("2.8910")


class RankingQuerySchema(Schema):
    by = fields.Enum(
        RankedBy,
        by_value=True,
        load_default=RankedBy.AMOUNT,
        metadata={"description": "amount: 오늘의 거래 대금 (원)", "example": "amount"},
    )
    limit = fields.Integer(
        load_default=20, validate=validate.Range(min=1, max=RANKED_MAX), metadata={"example": 20}
    )


class RankedStockSchema(Schema):
    """A ranked stock; `name` is null if it is not in the master data, `price` is our last known
    trade or null.
    """

    rank = fields.Integer(required=True, metadata={"example": 1})
    stock_code = fields.String(required=True, metadata=_CODE)
    name = fields.String(required=True, allow_none=True, metadata={"example": "삼성전자"})
    price = _integer(70_000)
    change_rate_bp = _integer(145)


class RankingsSchema(FreshnessSchema):
    by = fields.String(required=True, metadata={**enum_metadata(RankedBy), "example": "amount"})
    based_at = fields.AwareDateTime(required=True, allow_none=True, metadata=_TIME)
    stocks = fields.List(fields.Nested(RankedStockSchema), required=True)
