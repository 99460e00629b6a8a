"""Closes of an index: written again they are corrected, and due for the last days that are over."""

from datetime import UTC, date, datetime

import pytest

from tests.support.trading_harness import TradingHarness
from trading.exchange.hours import AlwaysOpen, DayChange, KrxHours, MarketHours
from trading.stocks.indices.queries import KOSPI, closes_due, index_closes
from trading.stocks.indices.record import record_index_closes

KRX = KrxHours({})
THURSDAY, FRIDAY, MONDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 23)


def record(harness: TradingHarness, closes: dict[date, int], code: str = KOSPI) -> int:
    return harness.do(
        lambda session: record_index_closes(session, code, closes, now=harness.clock())
    )


def due(harness: TradingHarness, at: str, hours: MarketHours = KRX) -> list[date]:
    now = datetime.fromisoformat(f"{at}+09:00").astimezone(UTC)
    return sorted(harness.core.read(closes_due, KOSPI, hours=hours, now=now))


def test_closes_are_written_and_corrected(harness: TradingHarness) -> None:
    """Each index has its own."""
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
def test_closes_are_due_when_the_day_is_over(
    harness: TradingHarness, at: str, days: list[date]
) -> None:
    """Those of the last two trading days, over weekends too; a market around the clock ends its day at midnight."""
    assert due(harness, at) == days
    assert due(harness, "2026-11-22T12:00:00", AlwaysOpen()) == [FRIDAY, date(2026, 11, 21)]


def test_what_is_known_is_not_due(harness: TradingHarness) -> None:
    """Nor is a day that an operator has closed."""
    record(harness, {FRIDAY: 400_000})
    assert due(harness, "2026-11-22T12:00:00") == [THURSDAY]
    record(harness, {THURSDAY: 400_000})
    assert due(harness, "2026-11-22T12:00:00") == []

    closed = KrxHours({FRIDAY: DayChange(FRIDAY, closed=True, delay_minutes=0, note="휴장")})
    assert due(harness, "2026-11-22T12:00:00", closed) == [date(2026, 11, 18)]


def test_nothing_is_due_where_no_calendar_is_known(harness: TradingHarness) -> None:
    assert due(harness, "2022-11-22T12:00:00") == []
