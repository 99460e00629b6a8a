"""Backups of SQLite, by its online backup, which reads one state and does not block writers."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from trading.operations.backups.files import (
    CHUNK_BYTES,
    Backup,
    BackupFailed,
    compress,
    new_file,
    read_chunks,
)
from trading.operations.backups.release import Release

MAGIC = b"SQLite format 3\0"
_BUSY_TIMEOUT_S = 10


class _Content(NamedTuple):
    revision: str
    tables: int
    rows: int


def create(database: Path, file: Path, *, release: Release, marker: str) -> Backup:
    """Copy the database, check the copy, compress it, and verify the compressed file."""
    if not database.exists():
        raise BackupFailed(f"There is no database {database}.")
    with new_file(file) as part, _scratch(file.parent) as folder:
        copy = folder / "copy.db"
        try:
            with (
                closing(_connect(database, mode="ro")) as source,
                closing(_connect(copy, mode="rwc")) as target,
            ):
                # All pages in one step are one read transaction: in WAL mode writers continue, and
                # their pages are not copied.
                source.backup(target)
            content = _verify(copy, release, source=f"The database {database}")
        except sqlite3.Error as error:
            raise BackupFailed(f"SQLite cannot copy {database}: {error}.") from None
        digest = sha256()
        with copy.open("rb") as raw, compress(part, marker=marker) as stream:
            while chunk := raw.read(CHUNK_BYTES):
                digest.update(chunk)
                stream.write(chunk)
        if _digest(part) != digest.digest():
            raise BackupFailed(f"{file} does not contain what was written to it.")
        return Backup(
            size_bytes=part.stat().st_size,
            revision=content.revision,
            tables=content.tables,
            rows=content.rows,
        )


def restore(database: Path, file: Path, *, release: Release) -> Backup:
    """Unpack a backup beside the database, check it, and copy it in one transaction."""
    if database.exists() and _tables_of(database):
        raise BackupFailed(
            f"The database {database} is not empty: a backup is restored into an empty one only."
        )
    with _scratch(database.parent) as folder:
        copy = folder / "copy.db"
        with copy.open("wb") as raw:
            for number, chunk in enumerate(read_chunks(file)):
                if number == 0 and not chunk.startswith(MAGIC):
                    raise BackupFailed(f"{file} is not a backup of SQLite.")
                raw.write(chunk)
        if not copy.stat().st_size:
            raise BackupFailed(f"{file} is empty.")
        try:
            content = _verify(copy, release, source=str(file))
            with (
                closing(_connect(copy, mode="ro")) as source,
                closing(_connect(database, mode="rwc")) as target,
            ):
                source.backup(target)
        except sqlite3.Error as error:
            raise BackupFailed(f"SQLite cannot restore {file}: {error}.") from None
    return Backup(
        size_bytes=file.stat().st_size,
        revision=content.revision,
        tables=content.tables,
        rows=content.rows,
    )


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder on the same disk, where there is room for a copy of the database."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=".backup-", dir=parent))
    except OSError as error:
        raise BackupFailed(f"{parent} is not writable: {error.strerror}.") from None
    try:
        yield folder
    except OSError as error:
        raise BackupFailed(f"{parent} is not writable: {error.strerror}.") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _connect(database: Path, *, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{database.resolve().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_TIMEOUT_S
    )


def _verify(database: Path, release: Release, *, source: str) -> _Content:
    """Return the revision and the numbers of tables and rows of a database file.

    Raise BackupFailed if its pages are inconsistent or it is not a database of this product, and
    sqlite3.Error.
    """
    with closing(_connect(database, mode="rw")) as connection:
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise BackupFailed(f"The database is damaged: {result}.")
        tables = _names(connection)
        rows = sum(_rows(connection, name) for name in tables)
        revision = None
        if "alembic_version" in tables:
            (revision,) = connection.execute(
                "SELECT version_num FROM alembic_version"
            ).fetchone() or (None,)
        return _Content(release.require_schema(revision, tables, source=source), len(tables), rows)


def _rows(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    (count,) = connection.execute(f'SELECT COUNT(*) FROM "{quoted}"').fetchone()  # noqa: S608 - a name from the file, quoted
    return int(count)


def _tables_of(database: Path) -> list[str]:
    try:
        with closing(_connect(database, mode="ro")) as connection:
            return _names(connection)
    except sqlite3.Error as error:
        raise BackupFailed(f"{database} is not an SQLite database: {error}.") from None


def _names(connection: sqlite3.Connection) -> list[str]:
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return [name for (name,) in tables]


def _digest(file: Path) -> bytes:
    digest = sha256()
    for chunk in read_chunks(file):
        digest.update(chunk)
    return digest.digest()
