"""The days of an account's history: every instant belongs to one, and each is written once nothing can be added to it."""

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
def test_an_instant_belongs_to_the_first_day_that_ends_after_it(
    hours: MarketHours, at: datetime
) -> None:
    """A trading day, whose end is after all of its sessions; no day that ends between them was left out."""
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
def test_the_latest_finished_day_is_over_and_the_next_is_not(
    hours: MarketHours, now: datetime
) -> None:
    """Between it and the day that something booked back then belongs to lies no other."""
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
def test_when_trading_ends(hours: MarketHours, day: date, end: datetime | None) -> None:
    """With the last print of the last session that ends orders, which was the closing auction before the after-market."""
    assert hours.trading_ends(day) == end


def test_without_a_trading_day_in_a_year_nothing_is_finished() -> None:
    """The calendar is not known before 2023, nor after 2100."""
    assert last_complete_day(KrxHours({}), datetime(2022, 6, 1, tzinfo=UTC)) is None
    with pytest.raises(LookupError):
        ledger_day(KrxHours({}), datetime(2101, 1, 2, tzinfo=UTC))
