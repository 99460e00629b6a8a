"""Which days an account's history has, and where each of them ends.

A day ends when trading on it is over. Whatever is booked afterwards, in the evening, at a weekend or on a holiday, belongs to the next trading day.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from trading.exchange.hours import MarketHours
from trading.exchange.time import trade_date

# Whoever books takes the time first and commits some seconds later. So long after the end of a day nothing of it is still under way.
RECORDED_AFTER = timedelta(minutes=10)

_ONE_DAY = timedelta(days=1)
_DAYS_LOOKED_AT = 366


class CompletedDay(NamedTuple):
    """A trading day in Korea and the instant (UTC) at which it ends: what is booked from then on belongs to the next."""

    day: date
    ended_at: datetime


def last_complete_day(hours: MarketHours, now: datetime) -> CompletedDay | None:
    """The newest day that can be recorded at ``now``; None where there was none within a year."""
    today = trade_date(now)
    for days_back in range(_DAYS_LOOKED_AT):
        for ended in days_between(
            hours, today - days_back * _ONE_DAY, today - days_back * _ONE_DAY
        ):
            if ended.ended_at + RECORDED_AFTER <= now:
                return ended
    return None


def days_between(hours: MarketHours, first: date, last: date) -> Iterator[CompletedDay]:
    """The trading days from ``first`` to ``last``, both included, oldest first."""
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        day = date.fromordinal(ordinal)
        ended_at = hours.trading_ends(day)
        if ended_at is not None:
            yield CompletedDay(day, ended_at)


def day_of(hours: MarketHours, at: datetime) -> date:
    """The day that something booked at ``at`` belongs to. LookupError when no trading day follows within a year."""
    today = trade_date(at)
    for ended in days_between(hours, today, today + _DAYS_LOOKED_AT * _ONE_DAY):
        if ended.ended_at > at:
            return ended.day
    raise LookupError(f"No trading day within a year after {at}.")
