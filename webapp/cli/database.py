"""`flask database`: documentation of the schema and grants for database users."""

import re

import click
from sqlalchemy import text

from trading.db.declarative import Base
from trading.operations.schema_page import schema_page
from trading.unit_of_work import UnitOfWork
from webapp.cli.migrations import require_newest
from webapp.context import get_core

_USER = re.compile(r"[A-Za-z0-9_]{1,32}", re.ASCII)
_ROWS = "SELECT, INSERT, UPDATE, DELETE"
_ROWS_TO_STAY = "SELECT, INSERT"


@click.group("database")
def database() -> None:
    """Describe the schema and grant access to it."""


@database.command("describe")
def describe() -> None:
    """Print docs/database.md, generated from the models."""
    click.echo(schema_page(), nl=False)


@database.command("grant")
@click.argument("user")
def grant(user: str) -> None:
    """Grant the database user USER access to rows, without rights to change tables.

    Append-only tables can be read and inserted into only. Run it as the owner of the tables after
    every migration, on MySQL or MariaDB. Existing grants are not revoked.
    """
    if not _USER.fullmatch(user):
        raise click.ClickException("A user's name is 1 to 32 letters, digits and underscores.")
    core = get_core()
    if core.database.engine.dialect.name == "sqlite":
        raise click.ClickException("SQLite has no users.")
    require_newest(core.settings.database_uri.get_secret_value())
    tables = Base.metadata.sorted_tables
    rights = [
        f"GRANT {_ROWS_TO_STAY if table.info.get('append_only') else _ROWS} ON {table.name}"
        for table in tables
    ]
    # Commands check the migration revision before they use the tables.
    rights.append("GRANT SELECT ON alembic_version")

    def grant_all(uow: UnitOfWork) -> None:
        for each in rights:
            uow.session.execute(text(f"{each} TO '{user}'@'%'"))

    core.run(grant_all)
    click.echo(f"{user} may work with the rows of {len(tables)} tables.")
