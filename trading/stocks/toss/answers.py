"""Tolerant parsing of answers of Toss's REST API, which has no contract.

Unknown fields are ignored; absent fields and those of another type are None. An answer without its
required field raises TossFailed. Prices and amounts are in won, volumes in shares, times in UTC.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeVar

from trading.exchange.time import KST
from trading.marketdata.stock_codes import product_code
from trading.stocks.toss.errors import TossFailed, TossNoData

T = TypeVar("T")

_PRICE_MAX = 10**9
_VOLUME_MAX = 10**15
_AMOUNT_MAX = 10**18
_TEXT_MAX = 40
_RATE_MAX = Decimal(10**9)
_HUNDREDTH = Decimal("0.01")
# Exchange rates have four decimals.
_RATE_STEP = Decimal("0.0001")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceDetails:
    """Figures of a stock's trading day so far."""

    code: str
    price: int
    base: int | None = None
    open: int | None = None
    high: int | None = None
    low: int | None = None
    volume: int | None = None
    amount: int | None = None
    upper_limit: int | None = None
    lower_limit: int | None = None
    high_52w: int | None = None
    low_52w: int | None = None
    market_cap: int | None = None
    traded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """Volume offered or bid at one price."""

    price: int
    volume: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBook:
    """Best asks in ascending and best bids in descending order of price."""

    price: int | None
    asks: tuple[Level, ...]
    bids: tuple[Level, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketTrade:
    """One trade. ``time`` is Toss's text: a timestamp, or the time of day in Korea."""

    time: str | None
    price: int
    volume: int
    trade_type: str | None
    cumulative_volume: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketCandle:
    """Candle of Toss. ``time`` is its start."""

    time: datetime
    open: int
    high: int
    low: int
    close: int
    volume: int | None
    amount: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlePage:
    """Candles, newest first; ``has_more`` if there are older ones."""

    candles: tuple[MarketCandle, ...]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPrice:
    """Figures of an index's day in hundredths of a point; ``base`` is the previous close."""

    close: int
    base: int | None = None
    open: int | None = None
    high: int | None = None
    low: int | None = None
    volume: int | None = None
    amount: int | None = None
    traded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRate:
    """Won per US dollar; ``base`` is the reference for the change."""

    close: Decimal
    base: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Product codes in rank order."""

    codes: tuple[str, ...]
    based_at: datetime | None


def read_price_details(result: object, code: str) -> PriceDetails:
    """Return the stock of this code from a list.

    Raises TossNoData if it is missing: Toss omits unknown stocks without an error.
    """
    stock = next((item for item in _objects(result) if item.get("code") == code), None)
    if stock is None:
        raise TossNoData("the stock is not in the answer")
    if stock.get("currency") not in (None, "KRW"):
        raise TossFailed("the currency is not KRW")
    return PriceDetails(
        code=code,
        price=_require(_price(stock.get("close")), "close"),
        base=_price(stock.get("base")),
        open=_price(stock.get("open")),
        high=_price(stock.get("high")),
        low=_price(stock.get("low")),
        volume=_volume(stock.get("volume")),
        amount=_amount(stock.get("value")),
        upper_limit=_price(stock.get("upperLimit")),
        lower_limit=_price(stock.get("lowerLimit")),
        high_52w=_price(stock.get("high52w")),
        low_52w=_price(stock.get("low52w")),
        market_cap=_amount(stock.get("marketCap")),
        traded_at=_instant(stock.get("tradeDateTime")),
    )


def read_order_book(result: object) -> OrderBook:
    book = _object(result)
    return OrderBook(
        price=_price(book.get("close")),
        asks=tuple(sorted(_levels(book, "offer"), key=lambda level: level.price)),
        bids=tuple(sorted(_levels(book, "bid"), key=lambda level: -level.price)),
    )


def read_trades(result: object) -> tuple[MarketTrade, ...]:
    """Return the trades in Toss's order, without those that lack a price or volume."""
    return tuple(
        MarketTrade(
            time=_text(item.get("time")),
            price=price,
            volume=volume,
            trade_type=_text(item.get("tradeType")),
            cumulative_volume=_volume(item.get("cumulativeVolume")),
        )
        for item in _objects(result)
        if (price := _price(item.get("price"))) is not None
        and (volume := _volume(item.get("volume"))) is not None
    )


def read_candles(result: object) -> CandlePage:
    """Return the valid candles, newest first."""
    page = _object(result)
    items = _objects(page.get("candles"))
    candles = [candle for item in items if (candle := _candle(item)) is not None]
    if items and not candles:
        raise TossFailed("no candle can be read")
    return CandlePage(
        candles=tuple(sorted(candles, key=lambda candle: candle.time, reverse=True)),
        has_more=_instant(page.get("nextDateTime")) is not None,
    )


def read_index_price(result: object) -> IndexPrice:
    index = _object(result)
    return IndexPrice(
        close=_require(_hundredths(index.get("close")), "close"),
        base=_hundredths(index.get("base")),
        open=_hundredths(index.get("open")),
        high=_hundredths(index.get("high")),
        low=_hundredths(index.get("low")),
        volume=_volume(index.get("volume")),
        amount=_amount(index.get("value")),
        traded_at=_instant(index.get("tradeTime")),
    )


def read_exchange_rate(result: object) -> ExchangeRate:
    rate = _object(result)
    return ExchangeRate(
        close=_require(_rate(rate.get("close")), "close"), base=_rate(rate.get("base"))
    )


def read_ranking(result: object) -> Ranking:
    """Return the codes of Korean stocks without duplicates."""
    ranking = _object(result)
    items = _objects(ranking.get("products"))
    codes = [
        code
        for item in items
        if (code := product_code(_text(item.get("productCode")) or "")) is not None
    ]
    if items and not codes:
        raise TossFailed("no product can be read")
    return Ranking(codes=tuple(dict.fromkeys(codes)), based_at=_instant(ranking.get("basedAt")))


def _candle(item: dict[str, object]) -> MarketCandle | None:
    time = _instant(item.get("dt"))
    prices = [_price(item.get(name)) for name in ("open", "high", "low", "close")]
    if time is None or None in prices:
        return None
    first, high, low, last = (price for price in prices if price is not None)
    if not low <= min(first, last) <= max(first, last) <= high:
        return None
    return MarketCandle(
        time=time,
        open=first,
        high=high,
        low=low,
        close=last,
        volume=_volume(item.get("volume")),
        amount=_amount(item.get("amount")),
    )


def _levels(book: dict[str, object], side: str) -> Iterable[Level]:
    prices, volumes = book.get(f"{side}Prices"), book.get(f"{side}Volumes")
    if not isinstance(prices, list) or not isinstance(volumes, list):
        raise TossFailed(f"no {side} side")
    for price, volume in zip(map(_price, prices), map(_volume, volumes), strict=False):
        if price is not None and volume is not None:
            yield Level(price, volume)


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TossFailed("not a JSON object")
    return value


def _objects(value: object) -> Sequence[dict[str, object]]:
    if not isinstance(value, list):
        raise TossFailed("not a list")
    return [item for item in value if isinstance(item, dict)]


def _require(value: T | None, name: str) -> T:
    if value is None:
        raise TossFailed(f"no {name}")
    return value


def _price(value: object) -> int | None:
    return _whole(value, low=1, high=_PRICE_MAX)


def _volume(value: object) -> int | None:
    return _whole(value, low=0, high=_VOLUME_MAX)


def _amount(value: object) -> int | None:
    return _whole(value, low=0, high=_AMOUNT_MAX)


def _whole(value: object, *, low: int, high: int) -> int | None:
    """Return a number as an integer; JSON may contain 70000.0. None for fractions."""
    number = _decimal(value)
    if number is None or not low <= number <= high or number != int(number):
        return None
    return int(number)


def _hundredths(value: object) -> int | None:
    """Return points in hundredths, rounded half up."""
    number = _decimal(value)
    if number is None or not 0 < number <= _PRICE_MAX:
        return None
    return int(number.quantize(_HUNDREDTH, ROUND_HALF_UP) * 100) or None


def _rate(value: object) -> Decimal | None:
    number = _decimal(value)
    if number is None or not 0 < number <= _RATE_MAX:
        return None
    return number.quantize(_RATE_STEP, ROUND_HALF_UP) or None


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # ``repr`` gives the shortest decimal that reads as this number, which is the one in the answer.
    return Decimal(repr(value))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= _TEXT_MAX else None


def _instant(value: object) -> datetime | None:
    """Parse a time. A time without offset is KST."""
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        return None
    try:
        instant = datetime.fromisoformat(value)
        return (instant if instant.tzinfo else instant.replace(tzinfo=KST)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
