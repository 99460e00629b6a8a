"""Stream positions rise, whatever the clock does."""

from hypothesis import given
from hypothesis import strategies as st

from relayer.ticks.sequence import TickSequence
from trading.marketdata.ticks import Position


@given(clock=st.lists(st.integers(1, 10)))
def test_positions_rise_whatever_the_clock_does(clock: list[int]) -> None:
    sequence = TickSequence()

    places = [sequence.next(now_ms) for now_ms in clock]

    assert places == sorted(set(places))


def test_positions_follow_a_rising_clock() -> None:
    sequence = TickSequence()

    assert [sequence.next(now_ms) for now_ms in (5, 5, 4, 7)] == [(5, 0), (5, 1), (5, 2), (7, 0)]


def test_a_millisecond_has_a_million_positions() -> None:
    """The next one uses the following millisecond, since a position must fit 64 bits."""
    sequence = TickSequence()
    sequence.advance_to(Position(5, 999_999))

    assert sequence.next(5) == Position(6, 0)


def test_advance_to_continues_after_a_position() -> None:
    sequence = TickSequence()
    sequence.advance_to(Position(100, 3))
    sequence.advance_to(Position(50, 0))

    assert sequence.next(60) == Position(100, 4)
