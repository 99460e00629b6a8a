"""What a stock costs now, from whoever knows it best: our own last tick while it is fresh, else Toss's REST API, else the last that we heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.exchange.price_grid import daily_price_range
from trading.marketdata.quotes import MarketUnavailable, QuoteStore
from trading.marketdata.ticks import Tick
from trading.money import change_rate_bp
from trading.stocks.queries import StockRecord
from trading.stocks.tables import STOCKS
from trading.stocks.toss.answers import PriceDetails
from trading.stocks.toss.errors import TossError
from trading.stocks.toss.market_data import CachedResponse, MarketData

log = structlog.get_logger(__name__)


class Source(StrEnum):
    """Who says so. TICK: our own feed's last trade; TOSS: Toss's REST API; OWN: what we put together from our own ticks."""

    TICK = "TICK"
    TOSS = "TOSS"
    OWN = "OWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class StockPrice:
    """A stock's price and what is known of its day: won and shares, ``volume`` the day's. A tick knows less than Toss.

    ``age_ms`` is since the relayer received the tick, or since Toss answered; ``stale`` says that it is older than it should be.
    """

    stock_code: str
    price: int
    base_price: int | None
    upper_limit: int | None
    lower_limit: int | None
    volume: int | None
    traded_at: datetime | None
    source: Source
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
    def change(self) -> int | None:
        return None if self.base_price is None else self.price - self.base_price

    @property
    def change_rate_bp(self) -> int | None:
        return None if self.base_price is None else change_rate_bp(self.price, self.base_price)


def price_of(
    stock: StockRecord,
    *,
    quotes: QuoteStore,
    market_data: MarketData,
    freshness_ms: int,
    now: datetime,
) -> StockPrice:
    """The best price there is. Raises TossError when there is none at all. Not to be called inside a transaction."""
    tick = _last_tick(quotes, stock.stock_code)
    if tick is not None and tick.age_ms(now) <= freshness_ms:
        return _by_tick(stock, tick, now, stale=False)
    try:
        looked = market_data.price(stock.stock_code)
    except TossError as fault:
        if tick is None:
            raise
        log.info("price_from_last_tick", code=stock.stock_code, reason=fault.code)
        return _by_tick(stock, tick, now, stale=True)
    if looked.stale and tick is not None and tick.age_ms(now) < looked.age_ms:
        return _by_tick(stock, tick, now, stale=True)
    return _by_toss(stock, looked)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedStock:
    """A stock's place, from 1. ``name`` is None for a stock that our master data does not have, the price where no tick came."""

    rank: int
    stock_code: str
    name: str | None
    price: int | None
    change_rate_bp: int | None


def names_of(session: Session, codes: Sequence[str]) -> dict[str, str]:
    """The names of these stocks by code, in one statement."""
    rows = session.execute(select(STOCKS.c.code, STOCKS.c.name).where(STOCKS.c.code.in_(codes)))
    return {row.code: row.name for row in rows}


def ranked(codes: Sequence[str], names: dict[str, str], quotes: QuoteStore) -> list[RankedStock]:
    """Stocks in this order, with our own last prices."""
    ticks: dict[str, Tick] = {}
    try:
        ticks = quotes.last_ticks(codes)
    except MarketUnavailable:
        log.warning("market_unavailable_for_ranking")
    found = [(code, ticks.get(code)) for code in codes]
    return [
        RankedStock(
            rank=place,
            stock_code=code,
            name=names.get(code),
            price=tick.price if tick else None,
            change_rate_bp=tick.change_rate_bp if tick else None,
        )
        for place, (code, tick) in enumerate(found, start=1)
    ]


def _last_tick(quotes: QuoteStore, code: str) -> Tick | None:
    try:
        return quotes.last_tick(code)
    except MarketUnavailable:
        return None


def _by_tick(stock: StockRecord, tick: Tick, now: datetime, *, stale: bool) -> StockPrice:
    upper, lower = _limits(stock, tick.base)
    return StockPrice(
        stock_code=stock.stock_code,
        price=tick.price,
        base_price=tick.base,
        upper_limit=upper,
        lower_limit=lower,
        volume=tick.cumulative_volume,
        traded_at=tick.traded_at,
        source=Source.TICK,
        age_ms=tick.age_ms(now),
        stale=stale,
    )


def _by_toss(stock: StockRecord, looked: CachedResponse[PriceDetails]) -> StockPrice:
    told = looked.value
    upper, lower = _limits(stock, told.base)
    return StockPrice(
        stock_code=stock.stock_code,
        price=told.price,
        base_price=told.base,
        upper_limit=told.upper_limit or upper,
        lower_limit=told.lower_limit or lower,
        volume=told.volume,
        traded_at=told.traded_at,
        source=Source.TOSS,
        age_ms=looked.age_ms,
        stale=looked.stale,
        open=told.open,
        high=told.high,
        low=told.low,
        amount=told.amount,
        high_52w=told.high_52w,
        low_52w=told.low_52w,
        market_cap=told.market_cap,
    )


def _limits(stock: StockRecord, base: int | None) -> tuple[int | None, int | None]:
    """The day's limits by the rules of the exchange, upper and lower."""
    if base is None:
        return None, None
    limits = daily_price_range(base, stock.kind, stock.market)
    return limits.upper, limits.lower
