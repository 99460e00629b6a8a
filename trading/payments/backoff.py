"""When PortOne is asked again: soon after somebody said that there is news, and ever more seldom while there is none."""

from datetime import datetime, timedelta

FIRST_DELAY_MS = 5_000
DELAY_MAX = timedelta(minutes=5)
# Of what goes on after the payment's own time: accounts that wait for money, approvals and refunds that take days.
DELAY_MAX_LATE = timedelta(hours=1)
JITTER_MAX = 1_000

# A credited payment is looked at again for as long as cards can be charged back. Whoever pays chooses where its webhooks go, so that they do
# not come is no proof that there is nothing to tell.
FOLLOW_UPS = (
    timedelta(hours=1),
    *(timedelta(days=days) for days in (1, 3, 7, 14, 30, 60, 90, 120, 180)),
)


def backoff_delay(check_count: int, *, longest: timedelta, spread: int) -> timedelta:
    """How long to wait after so many looks in vain: doubled each time up to ``longest``, and up to a quarter less or more by ``spread``,
    which is a random number from 0 to SPREAD_MAX, so that what began together does not go on together."""
    usual = min(timedelta(milliseconds=FIRST_DELAY_MS << min(check_count, 20)), longest)
    return usual * (3 * JITTER_MAX + 2 * spread) // (4 * JITTER_MAX)


def next_follow_up(credited_at: datetime, now: datetime) -> datetime | None:
    """When a credited payment is looked at next; None once it is old enough."""
    return next((at for span in FOLLOW_UPS if (at := credited_at + span) > now), None)
