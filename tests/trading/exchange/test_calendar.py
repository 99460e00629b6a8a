"""The exchange's calendar: closed weekdays, days that open late, and operators' corrections."""

from datetime import date, timedelta

import pytest

from trading.exchange.calendar import (
    FIRST_KNOWN_DAY,
    LAST_KNOWN_DAY,
    NO_SHIFT,
    CalendarDay,
    DayChange,
    SessionShift,
    TradingDays,
    closure,
)

CLOSED_2026 = (
    "01-01 02-16 02-17 02-18 03-02 05-01 05-05 05-25 06-03 07-17 08-17"
    " 09-24 09-25 10-05 10-09 12-25 12-31"
)
CLOSED_2027 = (
    "01-01 02-08 02-09 03-01 05-03 05-05 05-13 07-19 08-16 09-14 09-15"
    " 09-16 10-04 10-11 12-27 12-31"
)


def year(number: int) -> list[date]:
    first = date(number, 1, 1)
    return [first + timedelta(days=n) for n in range((date(number + 1, 1, 1) - first).days)]


@pytest.mark.parametrize(("number", "closed"), [(2026, CLOSED_2026), (2027, CLOSED_2027)])
def test_closed_weekdays_of_each_year(number: int, closed: str) -> None:
    """Substitutes, elections, Labour Day, Constitution Day since 2026, and the last day of the
    year.
    """
    days = TradingDays({})

    found = [day for day in year(number) if day.weekday() < 5 and not days.is_trading_day(day)]

    assert [day.isoformat() for day in found] == [f"{number}-{day}" for day in closed.split()]


def test_every_closure_has_a_korean_name() -> None:
    """Whatever the language of the machine."""
    names = {
        day: closure(day)
        for day in (date(2026, 2, 17), date(2026, 6, 3), date(2026, 12, 31), date(2026, 11, 21))
    }
    assert list(names.values()) == ["설날", "지방선거일", "연말휴장일", "주말"]
    assert closure(date(2025, 5, 5)) == "부처님오신날, 어린이날"
    assert closure(date(2026, 11, 20)) is None


def test_last_weekday_of_the_year_is_closed_when_its_last_day_is_on_a_weekend() -> None:
    """31 December 2023 was a Sunday, so the exchange closed on Friday the 29th."""
    days = TradingDays({})
    assert days.is_trading_day(date(2023, 12, 28))
    assert not days.is_trading_day(date(2023, 12, 29))


@pytest.mark.parametrize(
    "day", [date(2023, 11, 16), date(2024, 11, 14), date(2025, 11, 13), date(2026, 11, 19)]
)
def test_day_of_the_entrance_test_moves_by_an_hour(day: date) -> None:
    assert TradingDays({}).shift_of(day) == SessionShift(60, 60)
    assert TradingDays({}).facts(day) == CalendarDay(
        "대학수학능력시험일", corrected=False, late_minutes=60
    )


@pytest.mark.parametrize(
    "day",
    [date(2023, 1, 2), date(2024, 1, 2), date(2025, 1, 2), date(2026, 1, 2), date(2027, 1, 4)],
)
def test_first_day_of_the_year_opens_late_and_closes_as_usual(day: date) -> None:
    days = TradingDays({})
    assert days.shift_of(day) == SessionShift(60, 0)
    assert days.facts(day) == CalendarDay("새해 첫 거래일", corrected=False, late_minutes=60)
    assert days.shift_of(day + timedelta(days=1)) == NO_SHIFT


def test_correction_opens_a_holiday_and_closes_a_trading_day() -> None:
    election, friday, saturday = date(2026, 6, 3), date(2026, 11, 20), date(2026, 11, 21)
    days = TradingDays(
        {
            election: DayChange(election, closed=False, delay_minutes=0, note=""),
            friday: DayChange(friday, closed=True, delay_minutes=0, note="임시공휴일"),
            saturday: DayChange(saturday, closed=False, delay_minutes=0, note="모의 거래"),
        }
    )

    assert [days.is_trading_day(day) for day in (election, friday, saturday)] == [True, False, True]
    assert days.facts(election) == CalendarDay(None, corrected=True, late_minutes=0)
    assert days.facts(friday) == CalendarDay("임시공휴일", corrected=True, late_minutes=0)


def test_delay_of_a_correction_moves_the_whole_day() -> None:
    """On a day that is late anyway it replaces the computed delay."""
    first, test_day, usual = date(2026, 1, 2), date(2026, 11, 19), date(2027, 11, 18)
    days = TradingDays(
        {
            first: DayChange(first, closed=False, delay_minutes=0, note="개장식 없음"),
            test_day: DayChange(test_day, closed=False, delay_minutes=90, note="폭설"),
            usual: DayChange(usual, closed=False, delay_minutes=60, note="대학수학능력시험일"),
        }
    )

    assert [days.shift_of(day) for day in (first, test_day, usual)] == [
        NO_SHIFT,
        SessionShift(90, 90),
        SessionShift(60, 60),
    ]
    assert days.facts(usual) == CalendarDay("대학수학능력시험일", corrected=True, late_minutes=60)


def test_first_day_that_is_closed_by_an_operator_passes_its_late_opening_on() -> None:
    """The opening ceremony is held on the first trading day."""
    first = date(2026, 1, 2)
    days = TradingDays({first: DayChange(first, closed=True, delay_minutes=0, note="애도일")})
    assert days.shift_of(date(2026, 1, 5)) == SessionShift(60, 0)


@pytest.mark.parametrize(("closed", "delay"), [(False, -1), (False, 361), (True, 1)])
def test_impossible_correction_raises(closed: bool, delay: int) -> None:
    """An early opening, a delay into the night, or a closed day with a delay."""
    with pytest.raises(ValueError, match="360 minutes"):
        DayChange(date(2026, 11, 20), closed=closed, delay_minutes=delay, note="")


@pytest.mark.parametrize(
    "day", [FIRST_KNOWN_DAY - timedelta(days=1), LAST_KNOWN_DAY + timedelta(days=1), date.max]
)
def test_unknown_days_are_not_trading_days(day: date) -> None:
    """Even with a correction, because no sessions are known for them."""
    change = DayChange(day, closed=False, delay_minutes=0, note="")
    assert not TradingDays({day: change}).is_trading_day(day)
