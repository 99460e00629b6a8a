"""Candles: first, highest, lowest and last price of a time span, by the exchange's clock.

A minute candle contains every trade printed in it. A day candle contains the trades of KRX's
regular session with both auctions, as published by KRX, so its close is the official one; trades on
Nextrade and in the after-hours market do not change it.

Ticks arrive in stream order, which may differ from trade order. Trades in a candle are ordered by
trade time, then by stream position, because the feed reports whole seconds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from itertools import groupby

from trading.exchange.calendar import FIRST_KNOWN_DAY, LAST_KNOWN_DAY
from trading.exchange.hours import MarketHours, TradingSession, is_nextrade
from trading.exchange.time import KST, trade_date

# Cap of volume and amount, so that absurd feed data cannot overflow the column and stop all
# candles.
TOTAL_MAX = 10**18

_REGULAR = frozenset(
    {TradingSession.REGULAR, TradingSession.CLOSING_AUCTION, TradingSession.ALWAYS_OPEN}
)


class CandleInterval(StrEnum):
    """Interval of a candle, with Toss's names. Weeks begin on Monday."""

    MINUTE = "min:1"
    FIVE_MINUTES = "min:5"
    HALF_HOUR = "min:30"
    DAY = "day:1"
    WEEK = "week:1"
    MONTH = "month:1"

    @property
    def stored(self) -> "CandleInterval":
        """The stored interval from which candles of this interval are aggregated."""
        return CandleInterval.MINUTE if self in _MINUTES else CandleInterval.DAY

    @property
    def parts_max(self) -> int:
        """Maximum number of stored candles in one candle of this interval."""
        return _MINUTES.get(self) or _DAYS_MAX[self]

    def start(self, at: datetime) -> datetime:
        """Return the start (UTC) of the candle that contains an aware time."""
        if self in _MINUTES:
            at = at.astimezone(UTC)
            # Korea's UTC offset is in whole hours, so the minutes are equal.
            return at.replace(
                minute=at.minute - at.minute % _MINUTES[self], second=0, microsecond=0
            )
        day = trade_date(at)
        if self is CandleInterval.WEEK:
            day -= timedelta(days=day.weekday())
        elif self is CandleInterval.MONTH:
            day = day.replace(day=1)
        return datetime.combine(day, time(), KST).astimezone(UTC)

    def end(self, start: datetime) -> datetime:
        """Return the end of the candle that starts at ``start``."""
        if self in _MINUTES:
            return start + timedelta(minutes=_MINUTES[self])
        return self.start(start + timedelta(days=_DAYS_MAX[self]))


_MINUTES = {CandleInterval.MINUTE: 1, CandleInterval.FIVE_MINUTES: 5, CandleInterval.HALF_HOUR: 30}
_DAYS_MAX = {CandleInterval.DAY: 1, CandleInterval.WEEK: 7, CandleInterval.MONTH: 31}
STORED_INTERVALS = (CandleInterval.MINUTE, CandleInterval.DAY)


@dataclass(slots=True, kw_only=True)
class Candle:
    """Trades of one stock in one span. Prices and ``amount`` in won, ``volume`` in shares.

    ``position`` is the stream position of the newest tick.
    """

    starts_at: datetime
    open: int
    high: int
    low: int
    close: int
    volume: int
    amount: int
    opened_at: datetime
    closed_at: datetime
    position: int

    def add(self, *, price: int, volume: int, traded_at: datetime, position: int) -> None:
        """Add a trade that follows all previous ones in the stream."""
        if traded_at < self.opened_at:
            self.open, self.opened_at = price, traded_at
        if traded_at >= self.closed_at:
            self.close, self.closed_at = price, traded_at
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.volume = min(self.volume + volume, TOTAL_MAX)
        self.amount = min(self.amount + price * volume, TOTAL_MAX)
        self.position = position


def new_candle(
    starts_at: datetime, *, price: int, volume: int, traded_at: datetime, position: int
) -> Candle:
    """Return a candle of one trade."""
    return Candle(
        starts_at=starts_at,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=min(volume, TOTAL_MAX),
        amount=min(price * volume, TOTAL_MAX),
        opened_at=traded_at,
        closed_at=traded_at,
        position=position,
    )


def candle_starts(
    traded_at: datetime, *, exchange: str | None, hours: MarketHours
) -> Iterator[tuple[CandleInterval, datetime]]:
    """Yield interval and start of the stored candles that a trade belongs to.

    None for a time outside the known calendar.
    """
    if not FIRST_KNOWN_DAY.year <= traded_at.year <= LAST_KNOWN_DAY.year:
        return
    yield CandleInterval.MINUTE, CandleInterval.MINUTE.start(traded_at)
    # The regular session is the same for all kinds of stocks.
    if (
        not is_nextrade(exchange)
        and hours.filling_session(traded_at, exchange=exchange, kind="STOCK") in _REGULAR
    ):
        yield CandleInterval.DAY, CandleInterval.DAY.start(traded_at)


def aggregate_candles(candles: Iterable[Candle], interval: CandleInterval) -> Iterator[Candle]:
    """Aggregate stored candles of one stock, newest first, to a longer interval."""
    for starts_at, parts in groupby(candles, key=lambda candle: interval.start(candle.starts_at)):
        newest, *older = parts
        oldest = older[-1] if older else newest
        all_parts = (newest, *older)
        yield Candle(
            starts_at=starts_at,
            open=oldest.open,
            high=max(part.high for part in all_parts),
            low=min(part.low for part in all_parts),
            close=newest.close,
            volume=min(sum(part.volume for part in all_parts), TOTAL_MAX),
            amount=min(sum(part.amount for part in all_parts), TOTAL_MAX),
            opened_at=oldest.opened_at,
            closed_at=newest.closed_at,
            position=max(part.position for part in all_parts),
        )
