"""`flask status`: the state of the installation as a screen or as JSON."""

import json
from datetime import datetime
from typing import Any

import click
from rich.console import Console

from trading.db.transactions import Database
from trading.exchange.time import KST
from trading.redis.client import connect, connect_broker
from webapp.cli.status_data import Inspection, Status
from webapp.cli.status_view import WIDTH, screen, summary
from webapp.context import get_core

# Timeout of one statement; a section that takes longer is shown as missing.
STATEMENT_S = 3


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="JSON output for programs.")
def status(*, as_json: bool) -> None:
    """Show whether all is well, then processes, due work, queues, feed, halts and the rest.

    The first line is OK, or there is one line for each problem with the page that says what to do.
    Exits 1 on a problem: an alert rule that is broken now, a server that does not answer, or
    pending migrations. No secrets are shown.
    """
    report = _inspect()
    if as_json:
        click.echo(json.dumps(_members(report), ensure_ascii=False, indent=2, default=_in_korea))
    else:
        console = Console(highlight=False)
        console.width = max(console.width, WIDTH)
        for line in summary(report):
            console.print(line, soft_wrap=True)
        console.print(screen(report))
    if report.problems:
        raise click.ClickException(" ".join(problem.text for problem in report.problems))


def _inspect() -> Status:
    core = get_core()
    settings = core.settings
    # A separate pool: the application's timeouts are too long for a status screen.
    database = Database(
        settings.database_uri.get_secret_value(), pool_size=1, timeout_s=STATEMENT_S
    )
    redis = connect(settings.redis_url.get_secret_value())
    broker = redis
    if settings.broker_url != settings.redis_url.get_secret_value():
        broker = connect_broker(settings.broker_url)
    # The application's own clock would wait longer for the database.
    clock = database.clock if core.clock is core.database.clock else core.clock
    try:
        return Inspection(settings, database, redis, broker, now=clock()).status()
    finally:
        database.close()
        redis.close()
        broker.close()


def _members(report: Status) -> dict[str, Any]:
    sections = {
        name: section.facts if section.missing is None else {"missing": section.missing}
        for name, section in report.sections.items()
    }
    problems = [
        {name: getattr(problem, name) for name in problem.__slots__} for problem in report.problems
    ]
    faults = [problem.text for problem in report.problems]
    return {"at": report.at, "faults": faults, "problems": problems, **sections}


def _in_korea(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(KST).isoformat()
    raise TypeError(f"{value!r} is no fact.")
