"""Migrations of this release, and the check that a database has the newest one."""

from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from trading.db.faults import place, sqlite_file
from trading.db.transactions import Database
from trading.operations.backups import Release
from trading.schema import Base

MIGRATIONS = Path(__file__).parents[2] / "migrations"
# Timeout of each statement, in seconds.
CHECK_TIMEOUT_S = 5

_MYSQL_NO_TABLE = 1146


class UnfitDatabase(Exception):
    """The database cannot be used; the message says why and what to do."""


def scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def newest_revision() -> str | None:
    """Return the newest revision of this release."""
    return scripts().get_current_head()


def this_release() -> Release:
    """Return the revisions and tables of this release, by which backups are recognized."""
    revisions = [script.revision for script in scripts().walk_revisions()]
    return Release(
        revisions=frozenset(revisions),
        newest=revisions[0],
        tables=frozenset(Base.metadata.tables),
    )


def is_known(revision: str) -> bool:
    """Return whether this release has the migration."""
    return any(script.revision == revision for script in scripts().walk_revisions())


def require_file(uri: str) -> None:
    """Raise UnfitDatabase if the SQLite file does not exist; opening it would create it."""
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise UnfitDatabase(
            f"The database file {file} does not exist: create it with flask db upgrade, or correct"
            " DATABASE_URI."
        )


def current_revision(uri: str) -> str | None:
    """Return the revision of the database; None before the first migration.

    Raises DatabaseUnavailable or a DBAPIError if a statement takes longer than CHECK_TIMEOUT_S or
    the database cannot be used.
    """
    database = Database(uri, pool_size=1, timeout_s=CHECK_TIMEOUT_S)
    try:
        return database.read(_revision)
    finally:
        database.close()


def require_migrated(uri: str) -> str:
    """Return the revision of a migrated database; raise UnfitDatabase for any other."""
    require_file(uri)
    revision = current_revision(uri)
    if revision is None:
        raise UnfitDatabase(f"{place_of(uri)} has none of this product's tables: {_UPGRADE}.")
    return revision


def require_newest(uri: str) -> None:
    """Raise UnfitDatabase unless the database is at the newest revision."""
    revision = require_migrated(uri)
    require_known(uri, revision)
    newest = newest_revision()
    if revision != newest:
        raise UnfitDatabase(
            f"{place_of(uri)} is at revision {revision} and this release needs {newest}:"
            f" {_UPGRADE}."
        )


def require_known(uri: str, revision: str | None) -> None:
    """Raise UnfitDatabase if the revision belongs to another release."""
    if revision is not None and not is_known(revision):
        raise UnfitDatabase(
            f"{place_of(uri)} is at revision {revision}, which this release does not have: use the"
            " release that migrated it."
        )


_UPGRADE = "run flask db upgrade"


def place_of(uri: str) -> str:
    """Return a description of where the database is."""
    url = make_url(uri)
    name = "" if sqlite_file(uri) else f" (database '{url.database}')"
    return f"{place(url)}{name}"


def short_place(uri: str) -> str:
    """Return where the database is, without user and password."""
    file, url = sqlite_file(uri), make_url(uri)
    if file is not None:
        return f"{file.resolve()} (SQLite)"
    return f"{url.database} on {url.host}:{url.port or 3306}"


def _revision(session: Session) -> str | None:
    try:
        found = session.scalar(text("SELECT version_num FROM alembic_version"))
    except DBAPIError as fault:
        number = (getattr(fault.orig, "args", ()) or (None,))[0]
        if number == _MYSQL_NO_TABLE or "no such table" in str(fault.orig):
            return None
        raise
    return None if found is None else str(found)
