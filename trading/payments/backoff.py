"""When PortOne is asked again: soon after a notification, then at growing intervals."""

from datetime import datetime, timedelta

FIRST_DELAY_MS = 5_000
DELAY_MAX = timedelta(minutes=5)
# For payments past their expiry: virtual accounts, approvals and refunds may take days.
DELAY_MAX_LATE = timedelta(hours=1)
JITTER_MAX = 1_000

# A credited payment is checked for as long as card payments can be charged back. The payer controls
# where webhooks are sent, so their absence does not prove that nothing has changed.
FOLLOW_UPS = (
    timedelta(hours=1),
    *(timedelta(days=days) for days in (1, 3, 7, 14, 30, 60, 90, 120, 180)),
)


def backoff_delay(check_count: int, *, longest: timedelta, spread: int) -> timedelta:
    """Return the delay after ``check_count`` checks without news.

    The delay doubles each time up to ``longest``. ``spread``, a random number from 0 to
    JITTER_MAX, moves it by up to a quarter either way, so that checks that started together do
    not stay together.
    """
    usual = min(timedelta(milliseconds=FIRST_DELAY_MS << min(check_count, 20)), longest)
    return usual * (3 * JITTER_MAX + 2 * spread) // (4 * JITTER_MAX)


def next_follow_up(credited_at: datetime, now: datetime) -> datetime | None:
    """Return the next time to check a credited payment; None once it is old enough."""
    return next((at for span in FOLLOW_UPS if (at := credited_at + span) > now), None)
