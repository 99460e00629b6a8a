"""Back up the whole database while it is in use, and restore it into an empty one.

A backup is one compressed file that the database's own programs can read, too: the database file of
SQLite, or the SQL written by the dump program of MySQL or MariaDB. It gets its name only after it
was read back and verified. A database or a file without this product's tables, or at a revision
that the release does not have, is refused.
"""

from pathlib import Path

from sqlalchemy.engine import make_url

from trading.operations.backups import mysql, sqlite
from trading.operations.backups.files import Backup, BackupFailed, marker_of
from trading.operations.backups.release import Release

__all__ = ["Backup", "BackupFailed", "Release", "restore_backup", "write_backup"]


def write_backup(uri: str, file: Path, *, release: Release) -> Backup:
    """Write the current state to a new file. Raise BackupFailed and then leave no file."""
    url, marker = make_url(uri), marker_of(uri)
    if url.get_backend_name() == "sqlite":
        return sqlite.create(Path(url.database or ""), file, release=release, marker=marker)
    return mysql.create(url, file, release=release, marker=marker)


def restore_backup(uri: str, file: Path, *, release: Release) -> Backup:
    """Restore a backup into an empty database, and return the backup as read.

    Raise BackupFailed, before changing anything if the database is not empty, or the file is
    damaged or not a backup of this product.
    """
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        return sqlite.restore(Path(url.database or ""), file, release=release)
    return mysql.restore(url, file, release=release)
