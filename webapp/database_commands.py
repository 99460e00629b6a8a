"""``flask database``: the database's own page."""

import click

from trading.database.schema_page import schema_page


@click.group("database")
def database() -> None:
    """The database's tables."""


@database.command("describe")
def describe() -> None:
    """Print docs/database.md, from the models."""
    click.echo(schema_page(), nl=False)
