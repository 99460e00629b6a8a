"""The exchange's trading days, and the days on which it opens late.

The exchange is closed on weekends and on the days of the financial calendar XKRX of the
``holidays`` library: public holidays with their substitutes, elections, Labour Day, and 31 December
or the last weekday before it (KRX 업무규정 제4조, 제5조). An operator's ``DayChange`` overrides the
computed calendar, because the government adds holidays at short notice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

import holidays

# No dated table of the product (fees, sessions) begins earlier, and the library's lunar calendar
# ends with the last day.
FIRST_KNOWN_DAY = date(2023, 1, 1)
LAST_KNOWN_DAY = date(2100, 12, 31)

# A longer delay would move the closing auction into the night, and has never happened.
DELAY_MINUTES_MAX = 360
NOTE_LENGTH_MAX = 200

# Days of the university entrance test (대학수학능력시험), as the Ministry of Education announced
# them. Add later years here; an operator can also correct them as days that open 60 minutes late.
_ENTRANCE_TEST_DAYS = frozenset(
    {date(2023, 11, 16), date(2024, 11, 14), date(2025, 11, 13), date(2026, 11, 19)}
)

_SATURDAY = 5


class SessionShift(NamedTuple):
    """How many minutes later than usual a day opens and closes."""

    opening_minutes: int
    closing_minutes: int


NO_SHIFT = SessionShift(0, 0)
# 2025-11-13: 10:00–16:30 (edaily 2025-11-12, ajunews 2025-10-30).
_ENTRANCE_TEST = SessionShift(60, 60)
# 2026-01-02: opened at 10:00 after the opening ceremony, closed at 15:30 as usual
# (news1 2025-12-31, asiae 2025-12-18).
_FIRST_OF_THE_YEAR = SessionShift(60, 0)


@dataclass(frozen=True, slots=True)
class DayChange:
    """An operator's correction of one day, which overrides the computed calendar.

    ``delay_minutes`` (0 to 360) is how much later than usual the day opens; the close moves by the
    same amount, as on the day of the entrance test. 0 means usual hours, even where the computed
    calendar opens late. A closed day has no delay.
    """

    day: date
    closed: bool
    delay_minutes: int
    note: str

    def __post_init__(self) -> None:
        if not 0 <= self.delay_minutes <= DELAY_MINUTES_MAX or (self.closed and self.delay_minutes):
            raise ValueError(
                f"A day opens 0 to {DELAY_MINUTES_MAX} minutes late, and a closed one not at all."
            )


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """Why a day is closed or late (None on a usual day), whether an operator corrected it, and its
    delay.
    """

    reason: str | None
    corrected: bool
    late_minutes: int


class TradingDays:
    """The calendar with the operators' corrections.

    Days outside 2023 to 2100 are not trading days, because nothing is known about them.
    """

    def __init__(self, changes: Mapping[date, DayChange]) -> None:
        self._changes = dict(changes)
        self._first_by_year: dict[int, date | None] = {}

    def is_trading_day(self, day: date) -> bool:
        if not FIRST_KNOWN_DAY <= day <= LAST_KNOWN_DAY:
            return False
        change = self._changes.get(day)
        return closure(day) is None if change is None else not change.closed

    def shift_of(self, day: date) -> SessionShift:
        """Return how late a trading day is; no shift for a day without trading."""
        change = self._changes.get(day)
        if change is not None:
            return SessionShift(change.delay_minutes, change.delay_minutes)
        if day in _ENTRANCE_TEST_DAYS:
            return _ENTRANCE_TEST
        return _FIRST_OF_THE_YEAR if day == self._first_of(day.year) else NO_SHIFT

    def facts(self, day: date) -> CalendarDay:
        """Return why a day is closed or late, for a calendar page."""
        late = self.shift_of(day).opening_minutes
        change = self._changes.get(day)
        if change is not None:
            return CalendarDay(change.note or None, corrected=True, late_minutes=late)
        reason = closure(day)
        if reason is None and late:
            reason = "대학수학능력시험일" if day in _ENTRANCE_TEST_DAYS else "새해 첫 거래일"
        return CalendarDay(reason, corrected=False, late_minutes=late)

    def _first_of(self, year: int) -> date | None:
        if year not in self._first_by_year:
            days = (date(year, 1, 1) + timedelta(days=n) for n in range(31))
            self._first_by_year[year] = next(
                (day for day in days if self.is_trading_day(day)), None
            )
        return self._first_by_year[year]


def closure(day: date) -> str | None:
    """Return why the computed calendar closes a day, in Korean; None if it is open."""
    if day.weekday() >= _SATURDAY:
        return "주말"
    return _closures(day.year).get(day)


@lru_cache(maxsize=32)
def _closures(year: int) -> dict[date, str]:
    # Without a language the library uses the one of the environment.
    named = holidays.financial_holidays("XKRX", years=year, language="ko")
    return {day: name.replace("; ", ", ") for day, name in named.items()}
