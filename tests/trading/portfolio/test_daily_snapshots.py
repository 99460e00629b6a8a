"""Days of an account's history, each recorded when no entry can be added any more."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given

from tests.trading.exchange.test_hours import MARKETS, instants
from trading.exchange.hours import AlwaysOpen, DayChange, KrxHours, MarketHours
from trading.exchange.time import trade_date
from trading.portfolio.daily_snapshots import (
    RECORDED_AFTER,
    days_between,
    last_complete_day,
    ledger_day,
)

WEEK = timedelta(days=7)


@given(hours=MARKETS, at=instants())
def test_instant_belongs_to_the_first_day_that_ends_after_it(
    hours: MarketHours, at: datetime
) -> None:
    day = ledger_day(hours, at)
    end = hours.trading_ends(day)
    assert end is not None
    assert end > at
    assert hours.is_trading_day(day)
    assert all(
        one.ended_at <= at
        for one in days_between(hours, trade_date(at) - WEEK, day - timedelta(days=1))
    )


@given(hours=MARKETS, now=instants())
def test_last_complete_day_is_over_and_the_next_is_not(hours: MarketHours, now: datetime) -> None:
    """No other trading day lies between it and the day of an entry made back then."""
    latest = last_complete_day(hours, now)
    assert latest is not None
    assert latest.ended_at + RECORDED_AFTER <= now
    following = [
        one.day for one in days_between(hours, latest.day, ledger_day(hours, now - RECORDED_AFTER))
    ]
    assert following == [latest.day, ledger_day(hours, now - RECORDED_AFTER)]


@pytest.mark.parametrize(
    ("hours", "day", "end"),
    [
        (KrxHours({}), date(2026, 11, 20), datetime(2026, 11, 20, 11, 1, tzinfo=UTC)),
        (KrxHours({}), date(2026, 11, 21), None),
        (KrxHours({}), date(2026, 12, 25), None),
        (KrxHours({}), date(2022, 12, 30), None),
        (KrxHours({}), date(2025, 11, 13), datetime(2025, 11, 13, 7, 31, tzinfo=UTC)),
        (
            KrxHours({date(2026, 11, 20): DayChange(date(2026, 11, 20), True, 0, "")}),
            date(2026, 11, 20),
            None,
        ),
        (AlwaysOpen(), date(2026, 11, 21), datetime(2026, 11, 21, 15, tzinfo=UTC)),
    ],
    ids=["usual", "weekend", "holiday", "unknown", "entrance test", "corrected", "always open"],
)
def test_end_of_trading(hours: MarketHours, day: date, end: datetime | None) -> None:
    """Trading ends with the last print of the last session in which orders expire."""
    assert hours.trading_ends(day) == end


def test_no_day_is_complete_without_a_trading_day_in_a_year() -> None:
    """The calendar is unknown before 2023 and after 2100."""
    assert last_complete_day(KrxHours({}), datetime(2022, 6, 1, tzinfo=UTC)) is None
    with pytest.raises(LookupError):
        ledger_day(KrxHours({}), datetime(2101, 1, 2, tzinfo=UTC))
