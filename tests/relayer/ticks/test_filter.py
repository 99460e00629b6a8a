"""Malformed messages are dropped and counted."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from relayer.ticks.filter import TickFilter
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
