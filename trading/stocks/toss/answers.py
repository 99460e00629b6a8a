"""What Toss's REST API tells, read with tolerance: it has no contract and grows.

Unknown fields are passed over, and what is absent or of another type is None. An answer without what it is asked for is TossFailed. Prices are won,
volumes shares, amounts won, times UTC.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar

from trading.exchange.time import KST
from trading.marketdata.stock_codes import product_code
from trading.stocks.toss.errors import TossFailed, TossHasNone

T = TypeVar("T")

_PRICE_MAX = 10**9
_VOLUME_MAX = 10**15
_AMOUNT_MAX = 10**18
_TEXT_MAX = 40
_RATE_MAX = Decimal(10**9)
_HUNDREDTH = Decimal("0.01")
# A rate is told to the ten-thousandth.
_RATE_STEP = Decimal("0.0001")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceDetails:
    """A stock's day so far."""

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
    """What is offered or bid at one price."""

    price: int
    volume: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBook:
    """The best offers, ascending, and the best bids, descending."""

    price: int | None
    asks: tuple[Level, ...]
    bids: tuple[Level, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketTrade:
    """One trade. ``time`` is as Toss writes it: an instant, or the time of day in Korea."""

    time: str | None
    price: int
    volume: int
    trade_type: str | None
    cumulative_volume: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketCandle:
    """The trades of one span, of which ``time`` is the stamp."""

    time: datetime
    open: int
    high: int
    low: int
    close: int
    volume: int | None
    amount: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlePage:
    """Candles, newest first; ``has_more`` says that there are older ones."""

    candles: tuple[MarketCandle, ...]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPrice:
    """An index's day so far, in hundredths of a point; ``base`` is the close of the trading day before."""

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
    """Won for one US dollar; ``base`` is what a change is counted from."""

    close: Decimal
    base: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Product codes, the first of a kind of order first."""

    codes: tuple[str, ...]
    based_at: datetime | None


def read_price_details(result: Any, code: str) -> PriceDetails:
    """Of a list of stocks the one of this code. TossHasNone when it is not among them: what Toss does not know it leaves out in silence."""
    found = next((item for item in _objects(result) if item.get("code") == code), None)
    if found is None:
        raise TossHasNone("the stock is not in the answer")
    if found.get("currency") not in (None, "KRW"):
        raise TossFailed("the currency is not KRW")
    return PriceDetails(
        code=code,
        price=_needed(_price(found.get("close")), "close"),
        base=_price(found.get("base")),
        open=_price(found.get("open")),
        high=_price(found.get("high")),
        low=_price(found.get("low")),
        volume=_volume(found.get("volume")),
        amount=_amount(found.get("value")),
        upper_limit=_price(found.get("upperLimit")),
        lower_limit=_price(found.get("lowerLimit")),
        high_52w=_price(found.get("high52w")),
        low_52w=_price(found.get("low52w")),
        market_cap=_amount(found.get("marketCap")),
        traded_at=_instant(found.get("tradeDateTime")),
    )


def read_order_book(result: Any) -> OrderBook:
    book = _object(result)
    return OrderBook(
        price=_price(book.get("close")),
        asks=tuple(sorted(_levels(book, "offer"), key=lambda level: level.price)),
        bids=tuple(sorted(_levels(book, "bid"), key=lambda level: -level.price)),
    )


def read_trades(result: Any) -> tuple[MarketTrade, ...]:
    """The trades in Toss's order, without what has no price or volume."""
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


def read_candles(result: Any) -> CandlePage:
    """The candles, newest first, without those that can't be."""
    page = _object(result)
    given = _objects(page.get("candles"))
    candles = [candle for item in given if (candle := _candle(item)) is not None]
    if given and not candles:
        raise TossFailed("no candle can be read")
    return CandlePage(
        candles=tuple(sorted(candles, key=lambda candle: candle.time, reverse=True)),
        has_more=_instant(page.get("nextDateTime")) is not None,
    )


def read_index_price(result: Any) -> IndexPrice:
    index = _object(result)
    return IndexPrice(
        close=_needed(_hundredths(index.get("close")), "close"),
        base=_hundredths(index.get("base")),
        open=_hundredths(index.get("open")),
        high=_hundredths(index.get("high")),
        low=_hundredths(index.get("low")),
        volume=_volume(index.get("volume")),
        amount=_amount(index.get("value")),
        traded_at=_instant(index.get("tradeTime")),
    )


def read_exchange_rate(result: Any) -> ExchangeRate:
    rate = _object(result)
    return ExchangeRate(
        close=_needed(_rate(rate.get("close")), "close"), base=_rate(rate.get("base"))
    )


def read_ranking(result: Any) -> Ranking:
    """The codes of Korean stocks, each once."""
    ranking = _object(result)
    given = _objects(ranking.get("products"))
    codes = [
        code
        for item in given
        if (code := product_code(_text(item.get("productCode")) or "")) is not None
    ]
    if given and not codes:
        raise TossFailed("no product can be read")
    return Ranking(codes=tuple(dict.fromkeys(codes)), based_at=_instant(ranking.get("basedAt")))


def _candle(item: dict[str, Any]) -> MarketCandle | None:
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


def _levels(book: dict[str, Any], side: str) -> Iterable[Level]:
    prices, volumes = book.get(f"{side}Prices"), book.get(f"{side}Volumes")
    if not isinstance(prices, list) or not isinstance(volumes, list):
        raise TossFailed(f"no {side} side")
    for price, volume in zip(map(_price, prices), map(_volume, volumes), strict=False):
        if price is not None and volume is not None:
            yield Level(price, volume)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TossFailed("no JSON object")
    return value


def _objects(value: Any) -> Sequence[dict[str, Any]]:
    if not isinstance(value, list):
        raise TossFailed("no list")
    return [item for item in value if isinstance(item, dict)]


def _needed(value: T | None, name: str) -> T:
    if value is None:
        raise TossFailed(f"no {name}")
    return value


def _price(value: Any) -> int | None:
    return _whole(value, low=1, high=_PRICE_MAX)


def _volume(value: Any) -> int | None:
    return _whole(value, low=0, high=_VOLUME_MAX)


def _amount(value: Any) -> int | None:
    return _whole(value, low=0, high=_AMOUNT_MAX)


def _whole(value: Any, *, low: int, high: int) -> int | None:
    """A number without a fraction; JSON may write it 70000.0."""
    number = _decimal(value)
    if number is None or not low <= number <= high or number != int(number):
        return None
    return int(number)


def _hundredths(value: Any) -> int | None:
    """A number of points in hundredths, the nearest; half a one up."""
    number = _decimal(value)
    if number is None or not 0 < number <= _PRICE_MAX:
        return None
    return int(number.quantize(_HUNDREDTH, ROUND_HALF_UP) * 100) or None


def _rate(value: Any) -> Decimal | None:
    number = _decimal(value)
    if number is None or not 0 < number <= _RATE_MAX:
        return None
    return number.quantize(_RATE_STEP, ROUND_HALF_UP) or None


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # The shortest decimal that reads as this number, which is what stood in the answer.
    return Decimal(repr(value))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= _TEXT_MAX else None


def _instant(value: Any) -> datetime | None:
    """A time as text. Without an offset it is Korea's."""
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        return None
    try:
        instant = datetime.fromisoformat(value)
        return (instant if instant.tzinfo else instant.replace(tzinfo=KST)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
