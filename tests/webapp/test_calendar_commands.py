"""`flask calendar`."""

from datetime import date

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup

from tests.webapp.client import Api
from trading.exchange.hours import DayChange
from trading.exchange.market_hours_provider import get_day_changes

FRIDAY = date(2026, 11, 20)
USUAL_HOURS = (
    "PRE_MARKET 08:00-08:50 OPENING_AUCTION 08:30-09:00 REGULAR 09:00-15:20 "
    "CLOSING_AUCTION 15:20-15:30"
    " AFTER_MARKET 16:00-20:00"
)
# Ninety minutes late: no pre-market, and the evening ends as usual.
LATE_HOURS = (
    "OPENING_AUCTION 10:00-10:30 REGULAR 10:30-16:50 CLOSING_AUCTION 16:50-17:00 AFTER_MARKET "
    "17:30-20:00"
)


def _calendar(api: Api, *arguments: str) -> Result:
    """Run a `flask calendar` command on the API's application."""
    return CliRunner().invoke(FlaskGroup(create_app=lambda: api.app), ["calendar", *arguments])


def _stored_changes(api: Api) -> dict[date, DayChange]:
    return api.harness.core.read(get_day_changes)


def test_show_prints_the_next_two_weeks(sqlite_api: Api) -> None:
    lines = _calendar(sqlite_api, "show").output.splitlines()

    assert len(lines) == 14
    assert lines[0] == f"  2026-11-20 Fri  {USUAL_HOURS}"
    assert lines[1] == "  2026-11-21 Sat  closed  주말"


def test_show_prints_any_period(sqlite_api: Api) -> None:
    """Both days are included, also in the past, up to a year."""
    result = _calendar(sqlite_api, "show", "--from", "2026-06-02", "--to", "2026-06-03")

    assert result.output.splitlines()[1] == "  2026-06-03 Wed  closed  지방선거일"
    assert len(result.output.splitlines()) == 2
    assert (
        len(
            _calendar(
                sqlite_api, "show", "--from", "2026-01-01", "--to", "2027-01-01"
            ).output.splitlines()
        )
        == 366
    )


@pytest.mark.parametrize(
    ("command", "change", "line"),
    [
        (
            ["close", "2026-11-20", "--note", "임시공휴일"],
            DayChange(FRIDAY, closed=True, delay_minutes=0, note="임시공휴일"),
            "* 2026-11-20 Fri  closed  임시공휴일",
        ),
        (
            ["late", "2026-11-20", "--minutes", "90", "--note", "폭설"],
            DayChange(FRIDAY, closed=False, delay_minutes=90, note="폭설"),
            f"* 2026-11-20 Fri  {LATE_HOURS}  폭설",
        ),
        (
            ["open", "2026-12-25", "--note", " 특별 개장 "],
            DayChange(date(2026, 12, 25), closed=False, delay_minutes=0, note="특별 개장"),
            f"* 2026-12-25 Fri  {USUAL_HOURS}  특별 개장",
        ),
    ],
)
def test_correction_is_stored_shown_and_removed(
    api: Api, command: list[str], change: DayChange, line: str
) -> None:
    result = _calendar(api, *command)

    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[:2] == [line, "Running processes apply it within 30 seconds."]
    assert _stored_changes(api) == {change.day: change}
    assert _calendar(api, "forget", change.day.isoformat()).exit_code == 0
    assert _stored_changes(api) == {}


def test_later_correction_replaces_the_earlier_one(api: Api) -> None:
    _calendar(api, "close", "2026-11-20", "--note", "하나")
    _calendar(api, "open", "2026-11-20", "--note", "둘")

    assert _stored_changes(api) == {
        FRIDAY: DayChange(FRIDAY, closed=False, delay_minutes=0, note="둘")
    }


def test_correction_warns_when_the_market_never_closes(sqlite_api: Api) -> None:
    result = _calendar(sqlite_api, "close", "2026-11-20", "--note", "휴장")
    assert "MARKET_HOURS" in result.output.splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        ["close", "2026-11-20"],
        ["close", "tomorrow", "--note", "x"],
        ["close", "2026-02-30", "--note", "x"],
        ["close", "2022-12-31", "--note", "x"],
        ["close", "2101-01-01", "--note", "x"],
        ["close", "2026-11-20", "--note", " "],
        ["close", "2026-11-20", "--note", "가" * 201],
        ["close", "2026-11-20", "--note", "two\nlines"],
        ["late", "2026-11-20", "--note", "x"],
        ["late", "2026-11-20", "--minutes", "0", "--note", "x"],
        ["late", "2026-11-20", "--minutes", "361", "--note", "x"],
        ["forget", "x"],
        ["forget", "2026-11-20"],
        ["show", "--from", "x"],
        ["show", "--from", "2026-11-20", "--to", "2026-11-19"],
        ["show", "--from", "2026-01-01", "--to", "2027-01-02"],
    ],
    ids=" ".join,
)
def test_invalid_correction_is_refused(sqlite_api: Api, command: list[str]) -> None:
    """One sentence, a non-zero exit code, nothing stored."""
    result = _calendar(sqlite_api, *command)

    assert result.exit_code in (1, 2)
    assert "Error" in result.output
    assert isinstance(result.exception, SystemExit)
    assert _stored_changes(sqlite_api) == {}
