"""`flask backup` and `flask restore`: the whole database as one file."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from redis import RedisError

from trading.db.faults import sqlite_file
from trading.operations.backups import Backup, BackupFailed, restore_backup, write_backup
from webapp.cli.audit_output import print_audit
from webapp.cli.migrations import current_revision, newest_revision, require_migrated
from webapp.context import get_core

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("backup")
@click.argument("file", type=FILE)
def backup(file: Path) -> None:
    """Write a consistent backup of the whole database to a new compressed FILE.

    The services may keep running. The file is read back before it gets its final name.
    """
    uri = get_core().settings.database_uri.get_secret_value()
    require_migrated(uri)
    started_at = time.monotonic()
    try:
        with _terminate_cleanly():
            backup_file = write_backup(uri, file)
    except BackupFailed as failed:
        raise click.ClickException(str(failed)) from None
    click.echo(
        f"{file}: {_describe(backup_file)}, in {time.monotonic() - started_at:.1f} s. It "
        f"was read back "
        f"and is complete."
    )


@click.command("restore")
@click.argument("file", type=FILE)
def restore(file: Path) -> None:
    """Restore a backup FILE into an empty database and audit it.

    Exits 1 on a breach. A database that has any table is refused.
    """
    core = get_core()
    uri = core.settings.database_uri.get_secret_value()
    if sqlite_file(uri) is None:
        current_revision(uri)  # Raises if the server cannot be used.
    started_at = time.monotonic()
    try:
        with _terminate_cleanly():
            read = restore_backup(uri, file)
    except BackupFailed as failed:
        raise click.ClickException(str(failed)) from None
    click.echo(f"{file}: {_describe(read)}, restored in {time.monotonic() - started_at:.1f} s.")
    _warn_of_redis()
    if read.revision != newest_revision():
        click.echo("The backup is of another release. Run flask db upgrade, then flask audit.")
        return
    if print_audit(core):
        sys.exit(1)


def _describe(backup: Backup) -> str:
    rows = "" if backup.rows is None else f", {backup.rows:,} rows"
    size = f"{backup.size_bytes / 1_000_000:,.1f} MB"
    return f"{size}, revision {backup.revision or 'none'}, {backup.tables} tables{rows}"


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
