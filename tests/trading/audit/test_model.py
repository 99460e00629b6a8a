"""Beginning of the nightly audit."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.audit.model import NIGHT, last_night
from trading.exchange.time import KST


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-11-20T04:00:00+09:00", "2026-11-20T04:00:00+09:00"),
        ("2026-11-20T03:59:59+09:00", "2026-11-19T04:00:00+09:00"),
        ("2026-11-20T23:59:59+09:00", "2026-11-20T04:00:00+09:00"),
        ("2026-11-19T18:59:59+00:00", "2026-11-19T04:00:00+09:00"),
        ("2026-11-19T19:00:00+00:00", "2026-11-20T04:00:00+09:00"),
    ],
)
def test_audit_begins_at_four_in_korea(now: str, night: str) -> None:
    assert last_night(datetime.fromisoformat(now)) == datetime.fromisoformat(night)


@given(st.integers(0, 2**32).map(lambda second: datetime.fromtimestamp(second, UTC)))
def test_last_night_is_within_the_last_day(now: datetime) -> None:
    night = last_night(now)

    assert timedelta(0) <= now - night < timedelta(days=1)
    assert night.astimezone(KST).time() == NIGHT
