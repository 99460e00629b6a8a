"""When PortOne is asked again."""

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
def test_a_pause_is_bounded(looks: int, longest: timedelta, spread: int) -> None:
    """However often nothing was found, and whatever chance says: never at once, and never beyond the longest by more than a quarter."""
    assert (
        timedelta(seconds=3)
        < backoff_delay(looks, longest=longest, spread=spread)
        <= longest * 5 / 4
    )


@given(st.integers(0, 100), LONGEST)
def test_pauses_grow_and_are_spread(looks: int, longest: timedelta) -> None:
    """Each is at least as long as the one before; chance gives three quarters to five quarters of it."""
    usual = backoff_delay(looks, longest=longest, spread=JITTER_MAX // 2)
    assert usual <= backoff_delay(looks + 1, longest=longest, spread=JITTER_MAX // 2)
    assert backoff_delay(looks, longest=longest, spread=0) == usual * 3 / 4
    assert backoff_delay(looks, longest=longest, spread=JITTER_MAX) == usual * 5 / 4


def test_the_first_pauses_are_short() -> None:
    """Most payments are paid within minutes of being heard of."""
    shown = [
        backoff_delay(looks, longest=DELAY_MAX, spread=JITTER_MAX // 2).total_seconds()
        for looks in range(8)
    ]
    assert shown == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_credit_is_followed_up_for_half_a_year() -> None:
    """Each look once, then no more; a look that came late skips what it stands for."""
    at, seen = NOW, []
    while (at := next_follow_up(NOW, at)) is not None:
        seen.append(at - NOW)
    assert tuple(seen) == FOLLOW_UPS
    assert next_follow_up(NOW, NOW + timedelta(days=8)) == NOW + timedelta(days=14)
    assert next_follow_up(NOW, NOW + timedelta(days=180)) is None
