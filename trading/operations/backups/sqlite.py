"""SQLite: a copy of the database file by SQLite's own backup, which sees one state and lets others write meanwhile."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

from trading.operations.backups.files import (
    PIECE_BYTES,
    Backup,
    BackupFailed,
    compressed,
    new_file,
    pieces,
)

MAGIC = b"SQLite format 3\0"
_BUSY_TIMEOUT_S = 10


def create(database: Path, file: Path) -> Backup:
    """Copy the database, look at the copy, compress it, and read the compressed file back."""
    if not database.exists():
        raise BackupFailed(f"There is no database {database}.")
    with new_file(file) as part, _scratch(file.parent) as folder:
        copy = folder / "copy.db"
        try:
            with (
                closing(_connect(database, mode="ro")) as source,
                closing(_connect(copy, mode="rwc")) as target,
            ):
                # All pages in one step are one reading transaction: in the mode that we use writers go on, and none of their pages gets in.
                source.backup(target)
            found = _looked_at(copy)
        except sqlite3.Error as fault:
            raise BackupFailed(f"SQLite can't copy {database}: {fault}.") from None
        digest = sha256()
        with copy.open("rb") as octets, compressed(part) as packed:
            while piece := octets.read(PIECE_BYTES):
                digest.update(piece)
                packed.write(piece)
        if _digest(part) != digest.digest():
            raise BackupFailed(f"{file} does not hold what was written to it.")
        return Backup(
            size_bytes=part.stat().st_size, revision=found[0], tables=found[1], rows=found[2]
        )


def restore(database: Path, file: Path) -> Backup:
    """Unpack a backup beside the database, look at it, and copy it into the empty database in one transaction."""
    if database.exists() and _tables_of(database):
        raise BackupFailed(
            f"The database {database} is not empty: a backup is restored into an empty one only."
        )
    with _scratch(database.parent) as folder:
        copy = folder / "copy.db"
        with copy.open("wb") as octets:
            for number, piece in enumerate(pieces(file)):
                if number == 0 and not piece.startswith(MAGIC):
                    raise BackupFailed(f"{file} is no backup of SQLite.")
                octets.write(piece)
        if not copy.stat().st_size:
            raise BackupFailed(f"{file} is empty.")
        try:
            revision, tables, rows = _looked_at(copy)
            with (
                closing(_connect(copy, mode="ro")) as source,
                closing(_connect(database, mode="rwc")) as target,
            ):
                source.backup(target)
        except sqlite3.Error as fault:
            raise BackupFailed(f"SQLite can't restore {file}: {fault}.") from None
    return Backup(size_bytes=file.stat().st_size, revision=revision, tables=tables, rows=rows)


@contextmanager
def _scratch(beside: Path) -> Iterator[Path]:
    """A folder of our own on the same disk; a database is as large there as where it comes from."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=".backup-", dir=beside))
    except OSError as refused:
        raise BackupFailed(f"Nothing can be written in {beside}: {refused.strerror}.") from None
    try:
        yield folder
    except OSError as refused:
        raise BackupFailed(f"Nothing can be written in {beside}: {refused.strerror}.") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _connect(database: Path, *, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{database.resolve().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_TIMEOUT_S
    )


def _looked_at(database: Path) -> tuple[str | None, int, int]:
    """The revision, tables and rows of a database file. Raises BackupFailed where its pages don't fit together, and sqlite3.Error."""
    with closing(_connect(database, mode="rw")) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise BackupFailed(f"The database is damaged: {verdict}.")
        tables = _names(connection)
        rows = sum(_rows(connection, name) for name in tables)
        revision = None
        if "alembic_version" in tables:
            (revision,) = connection.execute(
                "SELECT version_num FROM alembic_version"
            ).fetchone() or (None,)
        return revision, len(tables), rows


def _rows(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    (count,) = connection.execute(f'SELECT COUNT(*) FROM "{quoted}"').fetchone()  # noqa: S608 - a name that the file itself tells, quoted
    return int(count)


def _tables_of(database: Path) -> list[str]:
    try:
        with closing(_connect(database, mode="ro")) as connection:
            return _names(connection)
    except sqlite3.Error as fault:
        raise BackupFailed(f"{database} is no database of SQLite: {fault}.") from None


def _names(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return [name for (name,) in found]


def _digest(file: Path) -> bytes:
    digest = sha256()
    for piece in pieces(file):
        digest.update(piece)
    return digest.digest()
