"""Candles: the trades of a span of time as its first, highest, lowest and last price, by the exchange's clock.

A minute has every trade that was printed in it. A day has those of KRX's regular session, opening and closing auction included, as the exchange publishes it:
so its close is the official one, and neither Nextrade's prints nor those of the evening market move it.

Trades come in the order of the tick stream, which is not always that in which they were made. The order among the trades of a candle is
their trade time, and their position in the stream where that is the same, as the feed tells whole seconds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from itertools import groupby

from trading.exchange.calendar import FIRST_KNOWN_DAY, LAST_KNOWN_DAY
from trading.exchange.hours import MarketHours, Session, is_nextrade
from trading.exchange.time import KST, trade_date

# What a sum of shares or won stops at: a feed that reports nonsense must not overflow the column and stop the candles of all stocks.
TOTAL_MAX = 10**18

_REGULAR = frozenset({Session.REGULAR, Session.CLOSING_AUCTION, Session.ALWAYS_OPEN})


class CandleInterval(StrEnum):
    """The span of a candle, in Toss's words. Weeks begin on Monday."""

    MINUTE = "min:1"
    FIVE_MINUTES = "min:5"
    HALF_HOUR = "min:30"
    DAY = "day:1"
    WEEK = "week:1"
    MONTH = "month:1"

    @property
    def stored(self) -> "CandleInterval":
        """The interval of the stored candles that one of this interval is put together from."""
        return CandleInterval.MINUTE if self in _MINUTES else CandleInterval.DAY

    @property
    def parts_max(self) -> int:
        """The most stored candles that one of this interval is put together from."""
        return _MINUTES.get(self) or _DAYS_MAX[self]

    def start(self, at: datetime) -> datetime:
        """The beginning (UTC) of the candle that an aware instant lies in."""
        if self in _MINUTES:
            at = at.astimezone(UTC)
            # Korea's offset is whole hours, so its clock shows the same minutes.
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
        """Where the candle that begins at ``start`` ends, which is where the next one begins."""
        if self in _MINUTES:
            return start + timedelta(minutes=_MINUTES[self])
        return self.start(start + timedelta(days=_DAYS_MAX[self]))


_MINUTES = {CandleInterval.MINUTE: 1, CandleInterval.FIVE_MINUTES: 5, CandleInterval.HALF_HOUR: 30}
_DAYS_MAX = {CandleInterval.DAY: 1, CandleInterval.WEEK: 7, CandleInterval.MONTH: 31}
STORED_INTERVALS = (CandleInterval.MINUTE, CandleInterval.DAY)


@dataclass(slots=True, kw_only=True)
class Candle:
    """The trades of one stock and span so far. Prices and ``amount`` are won, ``volume`` shares; ``position`` is the newest trade's in the stream."""

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
        """Count a trade that came later in the stream than all so far."""
        if traded_at < self.opened_at:
            self.open, self.opened_at = price, traded_at
        if traded_at >= self.closed_at:
            self.close, self.closed_at = price, traded_at
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.volume = min(self.volume + volume, TOTAL_MAX)
        self.amount = min(self.amount + price * volume, TOTAL_MAX)
        self.position = position


def first_of(
    starts_at: datetime, *, price: int, volume: int, traded_at: datetime, position: int
) -> Candle:
    """A candle of one trade."""
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


def candles_met(
    traded_at: datetime, *, exchange: str | None, hours: MarketHours
) -> Iterator[tuple[CandleInterval, datetime]]:
    """The stored candles that a trade belongs to, each by its interval and beginning; none for a time that no calendar knows."""
    if not FIRST_KNOWN_DAY.year <= traded_at.year <= LAST_KNOWN_DAY.year:
        return
    yield CandleInterval.MINUTE, CandleInterval.MINUTE.start(traded_at)
    # The regular session is the same for all kinds of stocks.
    if (
        not is_nextrade(exchange)
        and hours.filling_session(traded_at, exchange=exchange, kind="STOCK") in _REGULAR
    ):
        yield CandleInterval.DAY, CandleInterval.DAY.start(traded_at)


def gathered(candles: Iterable[Candle], interval: CandleInterval) -> Iterator[Candle]:
    """Candles of a longer interval from the stored ones of one stock, the newest first as these are."""
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
