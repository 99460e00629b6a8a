"""Delays between checks at PortOne."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from trading.payments.backoff import (
    DELAY_MAX,
    DELAY_MAX_LATE,
    FOLLOW_UPS,
    JITTER_MAX,
    backoff_delay,
    next_follow_up,
)

NOW = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
LONGEST = st.sampled_from((DELAY_MAX, DELAY_MAX_LATE))


@given(st.integers(0, 10_000), LONGEST, st.integers(0, JITTER_MAX))
def test_delay_is_never_zero_and_at_most_a_quarter_above_longest(
    check_count: int, longest: timedelta, spread: int
) -> None:
    assert (
        timedelta(seconds=3)
        < backoff_delay(check_count, longest=longest, spread=spread)
        <= longest * 5 / 4
    )


@given(st.integers(0, 100), LONGEST)
def test_delays_grow_and_are_spread(check_count: int, longest: timedelta) -> None:
    """No delay is shorter than the previous one; the random part gives 3/4 to 5/4 of it."""
    middle = backoff_delay(check_count, longest=longest, spread=JITTER_MAX // 2)
    assert middle <= backoff_delay(check_count + 1, longest=longest, spread=JITTER_MAX // 2)
    assert backoff_delay(check_count, longest=longest, spread=0) == middle * 3 / 4
    assert backoff_delay(check_count, longest=longest, spread=JITTER_MAX) == middle * 5 / 4


def test_first_delays_are_short() -> None:
    """Most payments are paid within minutes."""
    delays = [
        backoff_delay(check_count, longest=DELAY_MAX, spread=JITTER_MAX // 2).total_seconds()
        for check_count in range(8)
    ]
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300]


def test_credited_payment_is_followed_up_for_half_a_year() -> None:
    """Each follow-up happens once; a late one skips those it passed."""
    at, seen = NOW, []
    while (at := next_follow_up(NOW, at)) is not None:
        seen.append(at - NOW)
    assert tuple(seen) == FOLLOW_UPS
    assert next_follow_up(NOW, NOW + timedelta(days=8)) == NOW + timedelta(days=14)
    assert next_follow_up(NOW, NOW + timedelta(days=180)) is None
