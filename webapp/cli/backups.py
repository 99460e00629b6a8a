"""`flask backup` and `flask restore`: the whole database as one file."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click
from redis import RedisError

from trading.config.installation import state_folder
from trading.db.faults import sqlite_file
from trading.operations.backups import Backup, BackupFailed, restore_backup, write_backup
from trading.operations.backups.retention import is_scheduled_name, prune, scheduled_name
from webapp.cli.audit_output import print_audit
from webapp.cli.migrations import (
    current_revision,
    require_known,
    require_migrated,
    this_release,
)
from webapp.context import get_core

FILE = click.Path(path_type=Path, dir_okay=False)
FILE_OR_FOLDER = click.Path(path_type=Path)


@click.command("backup")
@click.argument("path", type=FILE_OR_FOLDER, required=False)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="Then remove all but the newest N backups of this database in the folder.",
)
def backup(path: Path | None, *, keep: int | None) -> None:
    """Write a consistent backup of the whole database to a new compressed file.

    PATH is the file, or an existing folder, in which the file is named by its time; the default is
    the folder backups in the state folder. The services may keep running. The file is read back
    before it gets its final name. --keep removes only files named by their time that this command
    wrote for the same database.
    """
    core = get_core()
    uri = core.settings.database_uri.get_secret_value()
    require_known(uri, require_migrated(uri))
    file = _backup_file(path, now=core.clock())
    if keep is not None and not is_scheduled_name(file.name):
        raise click.ClickException(
            f"--keep needs a folder: {file.name} is not named by its time, so it would never be"
            " removed."
        )
    release = this_release()
    started_at = time.monotonic()
    try:
        with _terminate_cleanly():
            written = write_backup(uri, file, release=release)
        click.echo(
            f"{file}: {_describe(written)}, in {time.monotonic() - started_at:.1f} s. "
            "It was read back and is complete."
        )
        if written.revision != release.newest:
            click.echo(
                f"The database is of an older release: revision {written.revision}, and this"
                f" release has {release.newest}."
            )
        for old in prune(file.parent, uri=uri, keep=keep) if keep else ():
            click.echo(f"{old} was removed.")
    except BackupFailed as failed:
        raise click.ClickException(str(failed)) from None


def _backup_file(path: Path | None, *, now: datetime) -> Path:
    """Return the file to write. Create the default folder for this user only."""
    if path is None:
        path = state_folder() / "backups"
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise click.ClickException(f"{path} cannot be created: {error.strerror}.") from None
    return path / scheduled_name(now) if path.is_dir() else path


@click.command("restore")
@click.argument("file", type=FILE)
def restore(file: Path) -> None:
    """Restore a backup FILE into an empty database and audit it.

    Exits 1 on a breach. A database that has any table is refused, and so is a file without this
    product's tables or at a revision that this release does not have.
    """
    core = get_core()
    uri = core.settings.database_uri.get_secret_value()
    if sqlite_file(uri) is None:
        current_revision(uri)  # Raises if the server cannot be used.
    release = this_release()
    started_at = time.monotonic()
    try:
        with _terminate_cleanly():
            read = restore_backup(uri, file, release=release)
    except BackupFailed as failed:
        raise click.ClickException(str(failed)) from None
    click.echo(f"{file}: {_describe(read)}, restored in {time.monotonic() - started_at:.1f} s.")
    _warn_of_redis()
    if read.revision != release.newest:
        click.echo(
            f"The backup is of an older release: revision {read.revision}, and this release has"
            f" {release.newest}. Run flask db upgrade, then flask audit."
        )
        return
    if print_audit(core):
        sys.exit(1)


def _describe(backup: Backup) -> str:
    rows = "" if backup.rows is None else f", {backup.rows:,} rows"
    size = f"{backup.size_bytes / 1_000:,.0f} kB"
    return f"{size}, revision {backup.revision}, {backup.tables} tables{rows}"


def _warn_of_redis() -> None:
    """Warn if Redis still holds stream positions and events from after the backup."""
    try:
        holds = get_core().redis.dbsize()
    except RedisError:
        return
    if holds:
        click.echo(
            "Redis still holds data from after the backup: empty it (FLUSHALL) before "
            "you start any process."
        )


@contextmanager
def _terminate_cleanly() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C inside the block, so that partial files are removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
