"""`flask index`: daily closes of the benchmark index."""

from datetime import date, timedelta
from functools import partial
from pathlib import Path

import click

from trading.operations.admin_action_model import ActionKind, Outcome
from trading.stocks.indices.listing import MalformedIndexFile, read_index_closes
from trading.stocks.indices.queries import KOSPI, index_closes
from trading.stocks.indices.record import record_index_closes
from webapp.context import get_core
from webapp.http.admin_log import run_commanded

_CLOSES_SHOWN = 10
_MISSING_SHOWN = 20


@click.group("index")
def index() -> None:
    """Manage the daily closes of KOSPI, the benchmark of performance figures."""


@index.command("import")
@click.argument("file", type=click.Path(path_type=Path))
def import_closes(file: Path) -> None:
    """Load closes from a CSV FILE in UTF-8 with the columns Date and Close.

    May be repeated. A file with an error is rejected as a whole.
    """
    try:
        closes = read_index_closes(file)
    except (MalformedIndexFile, OSError) as fault:
        raise click.ClickException(f"{file}: {fault}") from None
    count = run_commanded(
        ActionKind.IMPORT_INDEX,
        partial(record_index_closes, index_code=KOSPI, closes=closes),
        outcome_of=lambda count: Outcome(target=KOSPI, details={"closes": count}),
        file=file.name,
    )
    click.echo(f"Imported {count} closes of {KOSPI}, {min(closes)} to {max(closes)}.")


@index.command("show")
def show() -> None:
    """Print the latest closes and the exchange days without one."""
    core = get_core()
    closes = core.read(index_closes, KOSPI)
    if not closes:
        raise click.ClickException(f"No close of {KOSPI} is known.")
    days = list(closes)
    for day in days[-_CLOSES_SHOWN:]:
        points, hundredths = divmod(closes[day], 100)
        click.echo(f"{day} {day:%a}  {points:,}.{hundredths:02}")
    click.echo(f"{len(days)} closes of {KOSPI}, {days[0]} to {days[-1]}.")
    missing = _missing(days[0], days[-1], closes)
    if missing:
        named = ", ".join(map(str, missing[:_MISSING_SHOWN]))
        more = "" if len(missing) <= _MISSING_SHOWN else " and others"
        click.echo(f"{len(missing)} trading days have none: {named}{more}.")


def _missing(first: date, last: date, closes: dict[date, int]) -> list[date]:
    calendar = get_core().exchange_hours.now()
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if day not in closes and calendar.is_trading_day(day)]
