"""What records say of themselves."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from trading.halts.records import HaltRecord

HALTED_AT = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
MICROSECOND, MINUTE = timedelta(microseconds=1), timedelta(minutes=1)


@pytest.mark.parametrize(("lasts", "is_running"), [(MINUTE, False), (None, True)])
def test_a_halt_holds_from_its_first_instant_until_it_is_lifted(
    lasts: timedelta | None, is_running: bool
) -> None:
    """Not a moment before; at the instant of its end trading goes on, and while it runs it has none."""
    halt = HaltRecord(
        id=UUID(int=1),
        reason=None,
        halted_at=HALTED_AT,
        resumed_at=None if lasts is None else HALTED_AT + lasts,
    )
    held = [
        halt.holds(HALTED_AT + after)
        for after in (-MICROSECOND, timedelta(), MINUTE - MICROSECOND, MINUTE)
    ]
    assert held == [False, True, True, is_running]
    assert halt.is_running is is_running
