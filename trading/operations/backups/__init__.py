"""Backups of the whole database while it is in use, and the way back into an empty one.

A backup is one compressed file that the database's own programs can read, too: on SQLite the database file, on MySQL and MariaDB the SQL of their dump
program. It has its name only once it was read back and found to be whole.
"""

from pathlib import Path

from sqlalchemy.engine import make_url

from trading.operations.backups import mysql, sqlite
from trading.operations.backups.files import Backup, BackupFailed

__all__ = ["Backup", "BackupFailed", "restore_backup", "write_backup"]


def write_backup(uri: str, file: Path) -> Backup:
    """Write the state of this moment to a new file. Raises BackupFailed, and then leaves no file of that name."""
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        return sqlite.create(Path(url.database or ""), file)
    return mysql.create(url, file)


def restore_backup(uri: str, file: Path) -> Backup:
    """Fill an empty database from a backup; the backup as it was read. Raises BackupFailed, before anything is changed where the database is not empty
    or the file not whole."""
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        return sqlite.restore(Path(url.database or ""), file)
    return mysql.restore(url, file)
