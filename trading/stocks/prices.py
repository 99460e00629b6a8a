"""Current price of a stock: the last tick if fresh, else Toss's REST API, else the stale tick.

Without all of them it is the price that our own candles recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.exchange.price_grid import PriceRange
from trading.exchange.time import trade_date
from trading.marketdata.published_limits import PublishedLimits
from trading.marketdata.quotes import MarketNow, MarketUnavailable, QuoteStore
from trading.marketdata.ticks import Tick
from trading.money import change_rate_bp
from trading.stocks.price_limits import price_limits_on
from trading.stocks.queries import StockRecord
from trading.stocks.tables import STOCKS
from trading.stocks.toss.answers import PriceDetails
from trading.stocks.toss.errors import TossError
from trading.stocks.toss.market_data import CachedResponse, MarketData
from trading.stocks.valuation_prices import ValuationPrice

log = structlog.get_logger(__name__)


class DataSource(StrEnum):
    """Source of data. TICK: last trade of the feed; TOSS: REST API; OWN: our own candles."""

    TICK = "TICK"
    TOSS = "TOSS"
    OWN = "OWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class StockPrice:
    """Price of a stock with figures of its day: won and shares. A tick has fewer of them than Toss.

    ``age_ms`` counts from the receipt of the tick, or from Toss's answer; ``stale`` means that it
    exceeds the limit. ``limits`` are the legal prices of an order placed now; a price of an earlier
    day has that day's base price and no limits.
    """

    stock_code: str
    price: int
    base_price: int | None
    limits: PriceRange | None
    volume: int | None
    traded_at: datetime | None
    source: DataSource
    age_ms: int
    stale: bool
    open: int | None = None
    high: int | None = None
    low: int | None = None
    amount: int | None = None
    high_52w: int | None = None
    low_52w: int | None = None
    market_cap: int | None = None

    @property
    def upper_limit(self) -> int | None:
        return None if self.limits is None else self.limits.upper

    @property
    def lower_limit(self) -> int | None:
        return None if self.limits is None else self.limits.lower

    @property
    def change(self) -> int | None:
        return None if self.base_price is None else self.price - self.base_price

    @property
    def change_rate_bp(self) -> int | None:
        return None if self.base_price is None else change_rate_bp(self.price, self.base_price)


def get_price(
    stock: StockRecord,
    *,
    quotes: QuoteStore,
    market_data: MarketData,
    freshness_ms: int,
    day: date,
    now: datetime,
) -> StockPrice:
    """Return the best available price, with the price limits of the trading day ``day``.

    Raises TossError if there is none.

    Must not be called inside a transaction.
    """
    market = _market_now(quotes, stock.stock_code)
    tick = market.tick

    def from_tick(tick: Tick, *, stale: bool) -> StockPrice:
        limits = price_limits_on(
            day,
            stock.limit_rules,
            base_price=tick.base_on(day),
            published=market.published_limits,
        )
        return _from_tick(stock, tick, limits, age_ms=tick.age_ms(now), stale=stale)

    if tick is not None and tick.age_ms(now) <= freshness_ms:
        return from_tick(tick, stale=False)
    try:
        response = market_data.price(stock.stock_code)
    except TossError as fault:
        if tick is None:
            raise
        log.info("price_from_last_tick", code=stock.stock_code, reason=fault.code)
        return from_tick(tick, stale=True)
    if response.stale and tick is not None and tick.age_ms(now) < response.age_ms:
        return from_tick(tick, stale=True)
    published = published_limits(response.value)
    if published is not None and not response.stale:
        _share(quotes, stock.stock_code, published)
    return _from_toss(stock, response, published, day=day)


def recorded_price(price: ValuationPrice) -> StockPrice:
    """Return a recorded price as the current one, which is stale and has no limits."""
    return StockPrice(
        stock_code=price.stock_code,
        price=price.price,
        base_price=price.base_price,
        limits=None,
        volume=None,
        traded_at=price.traded_at,
        source=DataSource.OWN,
        age_ms=price.age_ms,
        stale=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedStock:
    """Stock with its rank from 1. ``name`` is None if unlisted, ``price`` if none is known."""

    rank: int
    stock_code: str
    name: str | None
    price: int | None
    change_rate_bp: int | None


def stock_names(session: Session, codes: Sequence[str]) -> dict[str, str]:
    """Return the names of stocks by code, in one statement."""
    rows = session.execute(select(STOCKS.c.code, STOCKS.c.name).where(STOCKS.c.code.in_(codes)))
    return {row.code: row.name for row in rows}


def rank_stocks(
    codes: Sequence[str], names: Mapping[str, str], prices: Mapping[str, ValuationPrice]
) -> list[RankedStock]:
    """Return stocks in this order with their last prices."""
    return [
        RankedStock(
            rank=rank,
            stock_code=code,
            name=names.get(code),
            price=None if price is None else price.price,
            change_rate_bp=None if price is None else price.change_rate_bp,
        )
        for rank, code in enumerate(codes, start=1)
        for price in (prices.get(code),)
    ]


def _market_now(quotes: QuoteStore, code: str) -> MarketNow:
    try:
        return quotes.market_now(code)
    except MarketUnavailable:
        return MarketNow(None, None, None)


def _share(quotes: QuoteStore, code: str, published: PublishedLimits) -> None:
    """Share published limits with the order check. Without Redis it computes them."""
    try:
        quotes.store_published_limits(code, published)
    except MarketUnavailable:
        log.info("published_limits_not_shared", code=code)


def _from_tick(
    stock: StockRecord, tick: Tick, limits: PriceRange | None, *, age_ms: int, stale: bool
) -> StockPrice:
    return StockPrice(
        stock_code=stock.stock_code,
        price=tick.price,
        base_price=tick.base,
        limits=limits,
        volume=tick.cumulative_volume,
        traded_at=tick.traded_at,
        source=DataSource.TICK,
        age_ms=age_ms,
        stale=stale,
    )


def _from_toss(
    stock: StockRecord,
    response: CachedResponse[PriceDetails],
    published: PublishedLimits | None,
    *,
    day: date,
) -> StockPrice:
    details = response.value
    is_of_day = details.traded_at is not None and trade_date(details.traded_at) == day
    limits = price_limits_on(
        day,
        stock.limit_rules,
        base_price=details.base if is_of_day else None,
        published=published,
    )
    return StockPrice(
        stock_code=stock.stock_code,
        price=details.price,
        base_price=details.base,
        limits=limits,
        volume=details.volume,
        traded_at=details.traded_at,
        source=DataSource.TOSS,
        age_ms=response.age_ms,
        stale=response.stale,
        open=details.open,
        high=details.high,
        low=details.low,
        amount=details.amount,
        high_52w=details.high_52w,
        low_52w=details.low_52w,
        market_cap=details.market_cap,
    )


def published_limits(details: PriceDetails) -> PublishedLimits | None:
    """Return the price limits that Toss publishes with a price, for the day of the last trade."""
    lower, upper = details.lower_limit, details.upper_limit
    if details.traded_at is None or lower is None or upper is None or lower > upper:
        return None
    return PublishedLimits(trade_date(details.traded_at), lower, upper)
