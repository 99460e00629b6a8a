"""Daily closes of an index from Toss's REST API.

It reports today's price and the previous close; no call for older closes is known.
"""

from datetime import date, datetime, timedelta

from trading.exchange.calendar import FIRST_KNOWN_DAY
from trading.exchange.hours import MarketHours
from trading.exchange.sessions import LATE_PRINT, TradingSession
from trading.exchange.time import trade_date
from trading.stocks.toss.answers import IndexPrice
from trading.stocks.toss.client import Index
from trading.stocks.toss.market_data import CachedResponse, MarketData

# Upper bound of consecutive days without trading.
_CLOSED_DAYS_MAX = 31
_LAST_SESSIONS = frozenset({TradingSession.CLOSING_AUCTION, TradingSession.ALWAYS_OPEN})


def recent_closes(
    market_data: MarketData, index: Index, *, hours: MarketHours, now: datetime
) -> dict[date, int]:
    """Return the known closes (hundredths of a point) by trading day.

    Two after the close, else one. Raises TossError.
    """
    return closes_from_candles(market_data.index(index), hours=hours, now=now)


def closes_from_candles(
    response: CachedResponse[IndexPrice], *, hours: MarketHours, now: datetime
) -> dict[date, int]:
    """Return the previous close from the base price, and the day's close once the day is over.

    Empty if the day of the price is unknown. ``hours`` are those of the index's exchange.
    """
    price = response.value
    if price.traded_at is None:
        return {}
    day = trade_date(price.traded_at)
    if not FIRST_KNOWN_DAY + timedelta(days=_CLOSED_DAYS_MAX) <= day <= trade_date(
        now
    ) or not hours.is_trading_day(day):
        return {}
    closes = {}
    previous_day = next(
        (
            previous
            for back in range(1, _CLOSED_DAYS_MAX + 1)
            if hours.is_trading_day(previous := day - timedelta(days=back))
        ),
        None,
    )
    if price.base is not None and previous_day is not None:
        closes[previous_day] = price.base
    # The closing price arrives shortly after the closing auction; an earlier answer may hold the
    # one previous_day it.
    ends_at = (
        max(span.closes_at for span in hours.spans(day) if span.session in _LAST_SESSIONS)
        + LATE_PRINT
    )
    if now - timedelta(milliseconds=response.age_ms) >= ends_at:
        closes[day] = price.close
    return closes
