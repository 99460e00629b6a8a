"""Malformed, duplicate and late messages are dropped and counted."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from relayer.ticks.filter import LOWER_TOTALS_MAX, TickFilter
from relayer.ticks.sequence import TickSequence
from trading.marketdata.ticks import Tick
from trading.marketdata.topics import trade_topic

TOPIC = trade_topic("A005930")
NOON = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


class FilterHarness:
    """A filter with a clock that the test sets."""

    def __init__(self) -> None:
        self.now = NOON
        self.tick_filter = TickFilter(TickSequence(), clock=lambda: self.now)

    def accept(
        self, cumulative_volume: int | None, *, dt: str = "2026-11-20T03:00:00Z", **more: object
    ) -> Tick | None:
        body = {
            "code": "A005930",
            "dt": dt,
            "close": 70_000,
            "volume": 1,
            "cumulativeVolume": cumulative_volume,
            **more,
        }
        return self.tick_filter.accept(TOPIC, json.dumps(body).encode())


def test_a_trade_becomes_a_tick_with_arrival_time_and_position() -> None:
    harness = FilterHarness()

    first, second = harness.accept(100), harness.accept(101)

    assert first is not None
    assert second is not None
    assert (first.code, first.price, first.received_at) == ("A005930", 70_000, NOON)
    assert first.position < second.position
    assert (harness.tick_filter.ticks_total, harness.tick_filter.last_tick_at) == (2, NOON)


def test_malformed_messages_are_counted_and_logged_once_a_minute() -> None:
    harness = FilterHarness()

    with capture_logs() as lines:
        for _ in range(5):
            assert harness.tick_filter.accept(TOPIC, b"not json") is None
        harness.now += timedelta(minutes=1)
        assert harness.tick_filter.accept("/topic/unknown", b"{}") is None

    assert harness.tick_filter.malformed_total == 6
    assert [line["event"] for line in lines] == ["tick_malformed"] * 2


_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=50)
    | st.just([])
    | st.just({})
)


@given(
    record=st.dictionaries(
        st.sampled_from(["code", "currency", "tradeType", "exchange", "session", "extra"]), _values
    ),
    dt=st.datetimes(timezones=st.timezones()).map(datetime.isoformat) | _values,
    numbers=st.fixed_dictionaries(
        {name: st.integers(1, 10**12) | _values for name in ("close", "volume", "cumulativeVolume")}
    ),
)
def test_any_body_is_accepted_or_counted_as_malformed(
    record: dict[str, object], dt: object, numbers: dict[str, object]
) -> None:
    harness = FilterHarness()

    tick = harness.tick_filter.accept(TOPIC, json.dumps({"dt": dt, **record, **numbers}).encode())

    assert (harness.tick_filter.ticks_total, harness.tick_filter.malformed_total) == (
        (1, 0) if tick is not None else (0, 1)
    )


@pytest.mark.parametrize(
    "dt", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "2026-11-20T03:00:00", "noon"]
)
def test_an_impossible_time_is_malformed(dt: str) -> None:
    assert FilterHarness().accept(100, dt=dt) is None


def test_a_repeated_day_total_is_a_duplicate() -> None:
    """As after a reconnect."""
    harness = FilterHarness()
    harness.accept(100)

    assert harness.accept(100) is None
    assert harness.accept(99) is None
    assert harness.accept(101) is not None
    assert harness.tick_filter.repeated_total == 2


def test_day_totals_are_separate_by_day_and_exchange() -> None:
    harness = FilterHarness()
    harness.accept(100, exchange="KRX")

    assert harness.accept(7, exchange="NXT") is not None
    assert harness.accept(5, exchange="KRX", dt="2026-11-20T15:00:00Z") is not None


def test_a_trade_without_a_total_is_accepted() -> None:
    harness = FilterHarness()

    assert [harness.accept(None) is not None for _ in range(2)] == [True, True]


@pytest.mark.parametrize(
    "dt", ["2026-11-20T03:00:00Z", "2026-11-20T14:59:59Z", "2030-01-01T00:00:00Z"]
)
def test_a_total_that_stays_lower_is_accepted(dt: str) -> None:
    """One absurd total, even with an absurd time, must not block a stock for the day."""
    harness = FilterHarness()
    harness.accept(10**14, dt=dt)
    harness.now += timedelta(seconds=1)

    taken = [
        harness.accept(100 + n, dt="2026-11-20T03:00:01Z") is not None
        for n in range(LOWER_TOTALS_MAX + 1)
    ]

    assert taken == [False] * (LOWER_TOTALS_MAX - 1) + [True, True]


def test_repeated_old_trades_are_never_accepted() -> None:
    """Their totals stay lower too, but their times are old: the price must not move back."""
    harness = FilterHarness()
    harness.accept(1_000)

    assert not any(
        harness.accept(500 + n, dt="2026-11-20T02:59:59Z") for n in range(10 * LOWER_TOTALS_MAX)
    )
    assert not any(harness.accept(500 + n) for n in range(10 * LOWER_TOTALS_MAX))
    assert harness.tick_filter.repeated_total == 20 * LOWER_TOTALS_MAX
    assert harness.accept(1_001) is not None


def test_repeated_trades_of_the_previous_day_are_dropped() -> None:
    """In the morning their totals exceed those of the new day."""
    harness = FilterHarness()
    harness.accept(10, dt="2026-11-19T23:00:00Z")

    assert not any(
        harness.accept(10**6 + n, dt="2026-11-19T06:30:00Z") for n in range(LOWER_TOTALS_MAX - 1)
    )
    assert harness.accept(11, dt="2026-11-19T23:00:01Z") is not None


def test_a_feed_that_returns_to_an_earlier_day_is_followed() -> None:
    """As when a replay of several days restarts."""
    harness = FilterHarness()
    harness.accept(1_000)

    taken = [
        harness.accept(5 + n, dt="2026-11-18T03:00:00Z") is not None
        for n in range(LOWER_TOTALS_MAX + 1)
    ]

    assert taken == [False] * (LOWER_TOTALS_MAX - 1) + [True, True]


def test_forget_drops_the_totals_of_a_destination() -> None:
    harness = FilterHarness()
    harness.accept(100)

    harness.tick_filter.forget(trade_topic("A000660"))
    assert harness.accept(100) is None
    harness.tick_filter.forget(TOPIC)
    assert harness.accept(100) is not None
