"""Alembic's environment: `flask db …` runs it online or as SQL text."""

from typing import Any

import click
from alembic import context
from flask import current_app
from sqlalchemy import create_engine, pool
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from trading.bootstrap import Core
from trading.db.declarative import Base
from trading.db.faults import explain, message_of
from webapp.cli.migrations import (
    UnfitDatabase,
    current_revision,
    place_of,
    require_file,
    require_known,
)

# A migration must not block a running service: it gives up instead of waiting behind a long
# transaction.
LOCK_TIMEOUT_S = 4

_core: Core = current_app.extensions["stocking"]
_uri = _core.settings.database_uri.get_secret_value()
_on_sqlite = make_url(_uri).get_backend_name() == "sqlite"
_options: dict[str, Any] = {
    "target_metadata": Base.metadata,
    "render_as_batch": _on_sqlite,
    "transactional_ddl": _on_sqlite,
    "compare_type": True,
}


def _offline() -> None:
    # Only the dialect matters here; nothing connects.
    context.configure(
        dialect_name=make_url(_uri).get_backend_name(), literal_binds=True, **_options
    )
    with context.begin_transaction():
        context.run_migrations()


def _check() -> None:
    """Reject a database that cannot be migrated, within seconds and before anything is created."""
    command = click.get_current_context(silent=True)
    name = "upgrade" if command is None else command.info_name
    if name != "upgrade":
        require_file(_uri)
    revision = current_revision(_uri)
    if name != "stamp":
        require_known(_uri, revision)


def _say(*, step: Any, **_rest: Any) -> None:
    if not step.is_stamp:
        verb = "Upgraded to" if step.is_upgrade else "Downgraded from"
        click.echo(f"{verb} {', '.join(step.up_revision_ids)}.")


def _online() -> None:
    _check()
    # On SQLite the application's engine begins transactions properly, so a failed migration leaves
    # nothing. On MySQL each statement of a migration commits by itself, and that engine's read
    # timeout must not end a long ALTER TABLE.
    engine = _core.database.engine if _on_sqlite else create_engine(_uri, poolclass=pool.NullPool)
    with engine.connect() as connection:
        if not _on_sqlite:
            connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {LOCK_TIMEOUT_S}")
            connection.commit()
        context.configure(connection=connection, on_version_apply=_say, **_options)
        try:
            with context.begin_transaction():
                context.run_migrations()
        except DBAPIError as fault:
            if explain(fault, _uri) is None:
                raise UnfitDatabase(_mismatch(fault)) from fault
            raise


def _mismatch(fault: DBAPIError) -> str:
    """Return the sentence for a migration that the present tables do not permit."""
    revision = current_revision(_uri)
    begin = "for the first time" if revision is None else f"from revision {revision}"
    return (
        f"{place_of(_uri)} can't be migrated {begin} ({message_of(fault)}), as after an interrupted"
        " migration: restore the backup from before it, or start with an empty database."
    )


if context.is_offline_mode():
    _offline()
else:
    _online()
