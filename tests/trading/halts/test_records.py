"""Tests of halt records."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from trading.halts.records import HaltRecord

HALTED_AT = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
MICROSECOND, MINUTE = timedelta(microseconds=1), timedelta(minutes=1)


@pytest.mark.parametrize(("lasts", "is_running"), [(MINUTE, False), (None, True)])
def test_halt_applies_from_its_start_until_just_before_its_end(
    lasts: timedelta | None, is_running: bool
) -> None:
    """A halt without an end is running and applies at any later time."""
    halt = HaltRecord(
        id=UUID(int=1),
        reason=None,
        halted_at=HALTED_AT,
        resumed_at=None if lasts is None else HALTED_AT + lasts,
    )
    active = [
        halt.is_active_at(HALTED_AT + after)
        for after in (-MICROSECOND, timedelta(), MINUTE - MICROSECOND, MINUTE)
    ]
    assert active == [False, True, True, is_running]
    assert halt.is_running is is_running
