"""Recorded index closes, and closes that are due."""

from datetime import UTC, date, datetime

import pytest

from tests.support.trading_harness import TradingHarness
from trading.exchange.hours import AlwaysOpen, DayChange, KrxHours, MarketHours
from trading.stocks.indices.queries import KOSPI, closes_due, index_closes
from trading.stocks.indices.record import record_index_closes

KRX = KrxHours({})
THURSDAY, FRIDAY, MONDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 23)


def record(harness: TradingHarness, closes: dict[date, int], code: str = KOSPI) -> int:
    return harness.core.run(record_index_closes, code, closes)


def due(harness: TradingHarness, at: str, hours: MarketHours = KRX) -> list[date]:
    now = datetime.fromisoformat(f"{at}+09:00").astimezone(UTC)
    return sorted(harness.core.read(closes_due, KOSPI, hours=hours, now=now))


def test_closes_are_recorded_and_replaced(harness: TradingHarness) -> None:
    """Separately per index."""
    assert record(harness, {FRIDAY: 400_000, THURSDAY: 390_000}) == 2
    assert record(harness, {FRIDAY: 400_001}) == 1
    assert record(harness, {}) == 0
    assert record(harness, {FRIDAY: 90_000}, "KOSDAQ") == 1

    found = harness.core.read(index_closes, KOSPI)

    assert list(found.items()) == [(THURSDAY, 390_000), (FRIDAY, 400_001)]
    assert harness.core.read(index_closes, KOSPI, since=FRIDAY, until=FRIDAY) == {FRIDAY: 400_001}


@pytest.mark.parametrize(
    ("at", "days"),
    [
        ("2026-11-20T15:40:00", [date(2026, 11, 18), THURSDAY]),
        ("2026-11-20T20:30:00", [THURSDAY, FRIDAY]),
        ("2026-11-22T12:00:00", [THURSDAY, FRIDAY]),
        ("2026-11-23T08:00:00", [THURSDAY, FRIDAY]),
        ("2026-11-23T20:30:00", [FRIDAY, MONDAY]),
    ],
)
def test_closes_of_the_last_two_finished_days_are_due(
    harness: TradingHarness, at: str, days: list[date]
) -> None:
    """Also over weekends; an always open market finishes its day at midnight."""
    assert due(harness, at) == days
    assert due(harness, "2026-11-22T12:00:00", AlwaysOpen()) == [FRIDAY, date(2026, 11, 21)]


def test_recorded_closes_are_not_due(harness: TradingHarness) -> None:
    """Nor those of a day that an operator closed."""
    record(harness, {FRIDAY: 400_000})
    assert due(harness, "2026-11-22T12:00:00") == [THURSDAY]
    record(harness, {THURSDAY: 400_000})
    assert due(harness, "2026-11-22T12:00:00") == []

    closed = KrxHours({FRIDAY: DayChange(FRIDAY, closed=True, delay_minutes=0, note="휴장")})
    assert due(harness, "2026-11-22T12:00:00", closed) == [date(2026, 11, 18)]


def test_no_close_is_due_outside_the_calendar(harness: TradingHarness) -> None:
    assert due(harness, "2022-11-22T12:00:00") == []
