"""Files that have their name only when they are complete."""

import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

PIECE_BYTES = 1024 * 1024
# Half as large as without, at a speed that a disk keeps up with.
_LEVEL = 6


class BackupFailed(Exception):
    """The sentence says why, and shows no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was read through: its size on disk, the revision of its tables (None before the first migration), and how many tables and rows it has;
    ``rows`` is None where only the database could tell."""

    size_bytes: int
    revision: str | None
    tables: int
    rows: int | None = None


@contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """The name under which to write until it is complete; the file gets its own when the block ends well, and never takes another's.

    Nobody but this user may read it: it holds password hashes. What is left by a process that was killed ends in ``.part``.
    """
    if file.exists():
        raise BackupFailed(f"{file} is there already, and is not overwritten.")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".part", dir=file.parent)
    except OSError as refused:
        raise BackupFailed(f"{file} can't be written: {refused.strerror}.") from None
    os.close(handle)
    part = Path(name)
    try:
        yield part
        _flush(part)
        _give_name(part, file)
        _flush(file.parent)
    except OSError as refused:
        raise BackupFailed(f"{file} can't be written: {refused.strerror}.") from None
    finally:
        part.unlink(missing_ok=True)


def _give_name(part: Path, file: Path) -> None:
    try:
        # Unlike a rename it fails where somebody else has made that file meanwhile.
        file.hardlink_to(part)
    except FileExistsError:
        raise BackupFailed(f"{file} is there already, and is not overwritten.") from None
    except OSError:
        # A file system without hard links.
        part.rename(file)


def _flush(path: Path) -> None:
    """Have the disk itself keep it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def compressed(part: Path) -> Iterator[IO[bytes]]:
    """Where to write what is to be compressed."""
    with (
        part.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_LEVEL, filename="") as packed,
    ):
        yield cast("IO[bytes]", packed)


def pieces(file: Path) -> Iterator[bytes]:
    """What a compressed file holds, piece by piece. Raises BackupFailed where it is none, or not whole."""
    try:
        with gzip.open(file, "rb") as packed:
            while piece := packed.read(PIECE_BYTES):
                yield piece
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise BackupFailed(f"{file} is no whole backup: {fault}.") from None
    except OSError as refused:
        raise BackupFailed(f"{file} can't be read: {refused.strerror}.") from None
