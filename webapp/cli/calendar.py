"""`flask calendar`: trading days and the operators' corrections."""

from datetime import date, datetime, timedelta

import click

from trading.exchange.calendar import (
    DELAY_MINUTES_MAX,
    FIRST_KNOWN_DAY,
    LAST_KNOWN_DAY,
    NOTE_LENGTH_MAX,
)
from trading.exchange.corrections import remove_day_change, set_day_change
from trading.exchange.hours import DayChange, KrxHours
from trading.exchange.market_hours_provider import REFRESH_AFTER, get_day_changes
from trading.exchange.time import KST, trade_date
from trading.operations.admin_action_model import DONE, UNCHANGED, ActionKind, Outcome
from trading.text import RefusedCharacter, clean_text
from webapp.context import get_core
from webapp.http.admin_log import run_commanded

_DAYS_SHOWN = 14
_DAYS_SHOWN_MAX = 366


class _Day(click.ParamType[date]):
    """A day in Korea, YYYY-MM-DD, within the known calendar."""

    name = "day"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        if isinstance(value, date):
            return value
        try:
            day = datetime.strptime(str(value), "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no offset
        except ValueError:
            self.fail(f"{str(value)[:20]!r} is no day of the form YYYY-MM-DD.", param, ctx)
        if not FIRST_KNOWN_DAY <= day <= LAST_KNOWN_DAY:
            self.fail(f"{day} is not between {FIRST_KNOWN_DAY} and {LAST_KNOWN_DAY}.", param, ctx)
        return day


class _Note(click.ParamType[str]):
    """One line of text, shown to users as the reason."""

    name = "text"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        try:
            text = clean_text(str(value), multiline=False)
        except RefusedCharacter as refused:
            self.fail(str(refused), param, ctx)
        if not 1 <= len(text) <= NOTE_LENGTH_MAX:
            self.fail(f"A note is one line of 1 to {NOTE_LENGTH_MAX} characters.", param, ctx)
        return text


_note = click.option("--note", type=_Note(), required=True, help="The reason shown to users.")


@click.group("calendar")
def calendar() -> None:
    """Show and correct trading days.

    Corrections override the computed calendar. Running processes apply them within half a minute.
    """


@calendar.command("show")
@click.option("--from", "first", type=_Day(), help="The first day; today when not given.")
@click.option(
    "--to", "last", type=_Day(), help=f"The last day; {_DAYS_SHOWN} days in all when not given."
)
def show(first: date | None, last: date | None) -> None:
    """Print days with their sessions in Korean time; * marks corrected days."""
    core = get_core()
    first = first or trade_date(core.clock())
    last = last or min(first + timedelta(days=_DAYS_SHOWN - 1), LAST_KNOWN_DAY)
    if not 0 <= (last - first).days < _DAYS_SHOWN_MAX:
        raise click.ClickException(f"From {first} to {last} are not 1 to {_DAYS_SHOWN_MAX} days.")
    hours = KrxHours(core.read(get_day_changes))
    for n in range((last - first).days + 1):
        click.echo(_line(hours, first + timedelta(days=n)))


@calendar.command("close")
@click.argument("day", type=_Day())
@_note
def close(day: date, note: str) -> None:
    """Close the market on DAY."""
    _save(DayChange(day, closed=True, delay_minutes=0, note=note))


@calendar.command("open")
@click.argument("day", type=_Day())
@_note
def open_day(day: date, note: str) -> None:
    """Open the market on DAY at the usual hours, even on a holiday or a day with a late opening."""
    _save(DayChange(day, closed=False, delay_minutes=0, note=note))


@calendar.command("late")
@click.argument("day", type=_Day())
@click.option(
    "--minutes",
    type=click.IntRange(1, DELAY_MINUTES_MAX),
    required=True,
    help="How much later than usual.",
)
@_note
def late(day: date, minutes: int, note: str) -> None:
    """Shift the sessions of DAY by some minutes."""
    _save(DayChange(day, closed=False, delay_minutes=minutes, note=note))


@calendar.command("forget")
@click.argument("day", type=_Day())
def forget(day: date) -> None:
    """Remove the correction of DAY."""
    removed = run_commanded(
        ActionKind.FORGET_DAY,
        lambda uow: remove_day_change(uow.session, day),
        outcome_of=lambda forgot: Outcome(DONE if forgot else UNCHANGED, target=str(day)),
    )
    if not removed:
        raise click.ClickException(f"No correction exists for {day}.")
    _print_day(day)


def _save(change: DayChange) -> None:
    now = get_core().clock()
    run_commanded(
        ActionKind.CHANGE_DAY,
        lambda uow: set_day_change(uow.session, change, now=now),
        outcome_of=lambda _changed: Outcome(target=str(change.day)),
        closed=change.closed,
        delay_minutes=change.delay_minutes,
        note=change.note,
    )
    _print_day(change.day)


def _print_day(day: date) -> None:
    core = get_core()
    click.echo(_line(KrxHours(core.read(get_day_changes)), day))
    click.echo(f"Running processes apply it within {REFRESH_AFTER.seconds} seconds.")
    if core.settings.hours_rule == "always":
        click.echo(
            "The settings keep this market open around the clock (MARKET_HOURS), whatever "
            "the calendar says."
        )


def _line(hours: KrxHours, day: date) -> str:
    facts = hours.facts(day)
    sessions = " ".join(
        (
            f"{span.session} "
            f"{span.opens_at.astimezone(KST):%H:%M}-{span.closes_at.astimezone(KST):%H:%M}"
        )
        for span in hours.spans(day)
    )
    mark = "*" if facts.corrected else " "
    reason = f"  {facts.reason}" if facts.reason else ""
    return f"{mark} {day} {day:%a}  {sessions or 'closed'}{reason}"
