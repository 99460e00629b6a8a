"""Register the `flask` commands for operators; `flask db` is Flask-Migrate's."""

import sys
from functools import partial
from pathlib import Path

import click
from flask import Flask
from flask_migrate import Migrate

from trading.db.declarative import Base
from trading.operations.admin_action_model import ActionKind, Outcome
from trading.stocks.import_listing import import_stocks
from trading.stocks.listing import ListedStock, MalformedListing, read_listing, seed_listing
from webapp.cli import stock_trading
from webapp.cli.accounts import users
from webapp.cli.admin_log import admin_log
from webapp.cli.audit_output import print_audit
from webapp.cli.backups import backup, restore
from webapp.cli.calendar import calendar
from webapp.cli.database import database
from webapp.cli.faults import guard_commands
from webapp.cli.indices import index
from webapp.cli.migrations import MIGRATIONS
from webapp.cli.payments import payments
from webapp.cli.status import status
from webapp.cli.stock_aliases import aliases
from webapp.cli.write_offs import write_off
from webapp.context import get_core
from webapp.http.admin_log import run_commanded


def install(app: Flask) -> None:
    # Flask-Migrate reads only the metadata of its "database" argument.
    Migrate(app, Base, directory=str(MIGRATIONS))
    app.cli.add_command(seed)
    app.cli.add_command(stocks)
    app.cli.add_command(users)
    app.cli.add_command(audit_books)
    app.cli.add_command(admin_log)
    app.cli.add_command(calendar)
    app.cli.add_command(payments)
    app.cli.add_command(index)
    app.cli.add_command(database)
    app.cli.add_command(status)
    app.cli.add_command(backup)
    app.cli.add_command(restore)
    guard_commands(app.cli.commands)


@click.command("seed")
def seed() -> None:
    """Load about forty well-known stocks into the master data. May be repeated."""
    click.echo(f"Seeded {_import(ActionKind.SEED_STOCKS, seed_listing())} stocks.")


@click.group()
def stocks() -> None:
    """Manage the master data of stocks."""


stocks.add_command(aliases)
for command in stock_trading.COMMANDS:
    stocks.add_command(command)
stocks.add_command(write_off)


@stocks.command("import")
@click.argument("file", type=click.Path(path_type=Path))
def stocks_import(file: Path) -> None:
    """Load a KRX listing from a CSV FILE, in UTF-8 or CP949. May be repeated."""
    try:
        listing = read_listing(file)
    except (MalformedListing, OSError) as fault:
        raise click.ClickException(f"{file}: {fault}") from None
    click.echo(f"Imported {_import(ActionKind.IMPORT_STOCKS, listing, file=file.name)} stocks.")


def _import(kind: ActionKind, listing: list[ListedStock], *, file: str | None = None) -> int:
    return run_commanded(
        kind,
        partial(import_stocks, listing=listing),
        outcome_of=lambda count: Outcome(details={"stocks": count}),
        file=file,
    )


@click.command("audit")
def audit_books() -> None:
    """Check and print every invariant; exits 1 on a breach."""
    if print_audit(get_core()):
        sys.exit(1)
