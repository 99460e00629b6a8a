"""Places in the stream rise, whatever the clock does."""

from hypothesis import given
from hypothesis import strategies as st

from relayer.ticks.sequence import TickSequence
from trading.marketdata.ticks import Position


@given(clock=st.lists(st.integers(1, 10)))
def test_places_rise_whatever_the_clock_does(clock: list[int]) -> None:
    sequence = TickSequence()

    places = [sequence.next(now_ms) for now_ms in clock]

    assert places == sorted(set(places))


def test_places_follow_the_clock_where_it_rises() -> None:
    sequence = TickSequence()

    assert [sequence.next(now_ms) for now_ms in (5, 5, 4, 7)] == [(5, 0), (5, 1), (5, 2), (7, 0)]


def test_a_millisecond_has_room_for_a_million() -> None:
    """The next one takes the following millisecond, since a place must fit 64 bits."""
    sequence = TickSequence()
    sequence.advance_to(Position(5, 999_999))

    assert sequence.next(5) == Position(6, 0)


def test_places_continue_behind_what_was_seen() -> None:
    sequence = TickSequence()
    sequence.advance_to(Position(100, 3))
    sequence.advance_to(Position(50, 0))

    assert sequence.next(60) == Position(100, 4)
