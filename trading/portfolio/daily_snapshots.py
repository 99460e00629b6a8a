"""The days of an account's history and the instants at which they end.

A day ends when trading on it ends. Later ledger entries (in the evening, at a weekend or on a
holiday) belong to the next trading day.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from trading.exchange.hours import MarketHours
from trading.exchange.time import trade_date

# A transaction takes its time first and commits some seconds later. After this delay, no entry of
# the ended day can still be uncommitted.
RECORDED_AFTER = timedelta(minutes=10)

_ONE_DAY = timedelta(days=1)
_DAYS_SEARCHED_MAX = 366


class CompletedDay(NamedTuple):
    """A trading day in Korea and the instant (UTC) at which it ends.

    Ledger entries from that instant on belong to the next trading day.
    """

    day: date
    ended_at: datetime


def last_complete_day(hours: MarketHours, now: datetime) -> CompletedDay | None:
    """Return the newest day that can be recorded at ``now``, or None if there is none within a
    year.
    """
    today = trade_date(now)
    for days_back in range(_DAYS_SEARCHED_MAX):
        for ended in days_between(
            hours, today - days_back * _ONE_DAY, today - days_back * _ONE_DAY
        ):
            if ended.ended_at + RECORDED_AFTER <= now:
                return ended
    return None


def days_between(hours: MarketHours, first: date, last: date) -> Iterator[CompletedDay]:
    """Yield the trading days from ``first`` to ``last``, both included, oldest first."""
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        day = date.fromordinal(ordinal)
        ended_at = hours.trading_ends(day)
        if ended_at is not None:
            yield CompletedDay(day, ended_at)


def ledger_day(hours: MarketHours, at: datetime) -> date:
    """Return the trading day that a ledger entry at ``at`` belongs to.

    Raise LookupError if no trading day follows within a year.
    """
    today = trade_date(at)
    for ended in days_between(hours, today, today + _DAYS_SEARCHED_MAX * _ONE_DAY):
        if ended.ended_at > at:
            return ended.day
    raise LookupError(f"No trading day within a year after {at}.")
