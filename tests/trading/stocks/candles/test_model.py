"""Candles of a trade, and aggregated candles compared with a naive implementation."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.exchange.hours import AlwaysOpen, KrxHours
from trading.exchange.time import KST
from trading.stocks.candles.model import (
    STORED_INTERVALS,
    TOTAL_MAX,
    Candle,
    CandleInterval,
    aggregate_candles,
    candle_starts,
    new_candle,
)

FRIDAY = datetime(2026, 11, 20, tzinfo=KST)
KRX = KrxHours({})

instants = st.integers(0, 75 * 365 * 86_400).map(
    lambda s: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=s)
)


def at(clock: str, day: datetime = FRIDAY) -> datetime:
    """Return a time of a day in KST."""
    hour, minute, second = map(int, clock.split(":"))
    return day + timedelta(hours=hour, minutes=minute, seconds=second)


@pytest.mark.parametrize(
    ("interval", "start", "end"),
    [
        ("min:1", "2026-11-20 13:47", "2026-11-20 13:48"),
        ("min:5", "2026-11-20 13:45", "2026-11-20 13:50"),
        ("min:30", "2026-11-20 13:30", "2026-11-20 14:00"),
        ("day:1", "2026-11-20 00:00", "2026-11-21 00:00"),
        ("week:1", "2026-11-16 00:00", "2026-11-23 00:00"),
        ("month:1", "2026-11-01 00:00", "2026-12-01 00:00"),
    ],
)
def test_interval_bounds_in_korean_time(interval: str, start: str, end: str) -> None:
    """A day starts at midnight KST, a week on Monday, a month on its first day."""
    span = CandleInterval(interval)
    begins, ends = (datetime.fromisoformat(text).replace(tzinfo=KST) for text in (start, end))
    assert span.start(at("13:47:11")) == begins
    assert span.end(begins) == ends
    assert span.start(begins).tzinfo is UTC


@given(instants, st.sampled_from(CandleInterval))
def test_intervals_are_contiguous(instant: datetime, interval: CandleInterval) -> None:
    """Stored candles never overlap the bounds of a longer interval."""
    start = interval.start(instant)
    end = interval.end(start)
    assert start <= instant < end
    assert interval.start(start) == start
    assert interval.start(end) == end
    assert interval.end(interval.start(start - timedelta(microseconds=1))) == start
    stored = interval.stored
    assert stored in STORED_INTERVALS
    assert start <= stored.start(instant) < stored.end(stored.start(instant)) <= end
    assert 1 <= (end - start) / (stored.end(start) - start) <= interval.parts_max


@pytest.mark.parametrize(
    ("clock", "exchange", "counts"),
    [
        ("08:10:00", "NXT", False),
        ("08:59:59", "KRX", False),
        ("09:00:00", "KRX", True),
        ("15:19:59", None, True),
        ("11:00:00", "nxt", False),
        ("15:25:00", "KRX", True),
        ("15:30:29", "KRX", True),
        ("15:31:00", "KRX", False),
        ("17:00:00", "KRX", False),
    ],
)
def test_day_candle_includes_the_regular_session_of_krx(
    clock: str, exchange: str | None, counts: bool
) -> None:
    """Including both auctions and the late closing print; the minute includes every trade."""
    starts = dict(candle_starts(at(clock), exchange=exchange, hours=KRX))
    assert starts.pop(CandleInterval.MINUTE) == at(clock).replace(second=0)
    assert starts == ({CandleInterval.DAY: FRIDAY} if counts else {})


def test_closed_day_has_minutes_only() -> None:
    """An always open market has a day candle every day."""
    saturday = at("11:00:00", FRIDAY + timedelta(days=1))
    assert [interval for interval, _ in candle_starts(saturday, exchange="KRX", hours=KRX)] == [
        "min:1"
    ]
    assert [
        interval for interval, _ in candle_starts(saturday, exchange="KRX", hours=AlwaysOpen())
    ] == ["min:1", "day:1"]


@pytest.mark.parametrize("year", [1, 1970, 2022, 2101, 9999])
@pytest.mark.parametrize("hours", [KRX, AlwaysOpen()])
def test_time_outside_the_calendar_has_no_candle(year: int, hours: KrxHours) -> None:
    """The last second of the year 9999 cannot be converted to KST."""
    assert (
        list(
            candle_starts(
                datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC), exchange=None, hours=hours
            )
        )
        == []
    )


trades = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 9), st.integers(0, 5)).map(
        lambda drawn: (at("10:00:00") + timedelta(seconds=20 * drawn[0]), drawn[1], drawn[2])
    ),
    min_size=1,
    max_size=40,
)


def expected_candles(
    spans: CandleInterval, prints: list[tuple[datetime, int, int]]
) -> list[Candle]:
    """Return candles by definition, newest first."""
    candles = []
    for start in sorted({spans.start(traded_at) for traded_at, _, _ in prints}, reverse=True):
        # The sort is stable: of equal times, the first trade stays first.
        inside = sorted(
            ((traded_at, n, price, volume) for n, (traded_at, price, volume) in enumerate(prints)),
            key=lambda one: one[0],
        )
        inside = [one for one in inside if spans.start(one[0]) == start]
        prices = [price for _, _, price, _ in inside]
        candles.append(
            Candle(
                starts_at=start,
                open=prices[0],
                high=max(prices),
                low=min(prices),
                close=prices[-1],
                volume=sum(volume for *_, volume in inside),
                amount=sum(price * volume for *_, price, volume in inside),
                opened_at=inside[0][0],
                closed_at=inside[-1][0],
                position=max(n for _, n, _, _ in inside),
            )
        )
    return candles


def built_candles(
    interval: CandleInterval, prints: list[tuple[datetime, int, int]]
) -> list[Candle]:
    """Return candles built trade by trade."""
    candles: dict[datetime, Candle] = {}
    for position, (traded_at, price, volume) in enumerate(prints):
        start = interval.start(traded_at)
        if start in candles:
            candles[start].add(price=price, volume=volume, traded_at=traded_at, position=position)
        else:
            candles[start] = new_candle(
                start, price=price, volume=volume, traded_at=traded_at, position=position
            )
    return sorted(candles.values(), key=lambda candle: candle.starts_at, reverse=True)


@given(trades, st.sampled_from(CandleInterval))
def test_candles_match_the_definition_for_any_trade_order(
    prints: list[tuple[datetime, int, int]], interval: CandleInterval
) -> None:
    """Both built trade by trade and aggregated from stored candles."""
    assert built_candles(interval, prints) == expected_candles(interval, prints)
    assert list(
        aggregate_candles(built_candles(interval.stored, prints), interval)
    ) == expected_candles(interval, prints)


def test_totals_are_capped() -> None:
    huge = {"price": 10**9, "volume": 10**15, "traded_at": FRIDAY}
    candle = new_candle(FRIDAY, **huge, position=1)
    for position in range(2, 1_100):
        candle.add(**huge, position=position)
    assert (candle.volume, candle.amount) == (TOTAL_MAX, TOTAL_MAX)
    (year,) = aggregate_candles([candle, candle], CandleInterval.MONTH)
    assert (year.volume, year.amount) == (TOTAL_MAX, TOTAL_MAX)
