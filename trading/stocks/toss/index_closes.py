"""An index's daily closes, as far as Toss's REST API tells them: it has today's price and yesterday's close, and no history that we know of."""

from datetime import date, datetime, timedelta

from trading.exchange.calendar import FIRST_KNOWN_DAY
from trading.exchange.hours import MarketHours
from trading.exchange.sessions import LATE_PRINT, Session
from trading.exchange.time import trade_date
from trading.stocks.toss.answers import IndexPrice
from trading.stocks.toss.client import Index
from trading.stocks.toss.market_data import CachedResponse, MarketData

# The exchange is never closed for longer.
_CLOSED_DAYS_MAX = 31
_ENDS_THE_DAY = frozenset({Session.CLOSING_AUCTION, Session.ALWAYS_OPEN})


def recent_closes(
    market_data: MarketData, index: Index, *, hours: MarketHours, now: datetime
) -> dict[date, int]:
    """The closes (hundredths of a point) that can be told now, by trading day: two after the close, else one. Raises TossError."""
    return closes_from_candles(market_data.index(index), hours=hours, now=now)


def closes_from_candles(
    looked: CachedResponse[IndexPrice], *, hours: MarketHours, now: datetime
) -> dict[date, int]:
    """The closes that an index's price tells: of the trading day before it by its base, and of its own day once that is over.

    None where it is not known of which day the price is. ``hours`` are those of the exchange that the index is of.
    """
    told = looked.value
    if told.traded_at is None:
        return {}
    day = trade_date(told.traded_at)
    if not FIRST_KNOWN_DAY + timedelta(days=_CLOSED_DAYS_MAX) <= day <= trade_date(
        now
    ) or not hours.is_trading_day(day):
        return {}
    closes = {}
    before = next(
        (
            one
            for back in range(1, _CLOSED_DAYS_MAX + 1)
            if hours.is_trading_day(one := day - timedelta(days=back))
        ),
        None,
    )
    if told.base is not None and before is not None:
        closes[before] = told.base
    # The closing auction's price arrives a little after its end; what Toss told before then may be the one before it.
    over_at = (
        max(span.closes_at for span in hours.spans(day) if span.session in _ENDS_THE_DAY)
        + LATE_PRINT
    )
    if now - timedelta(milliseconds=looked.age_ms) >= over_at:
        closes[day] = told.close
    return closes
