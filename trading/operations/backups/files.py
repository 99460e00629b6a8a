"""Write files that get their name only when they are complete."""

import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

CHUNK_BYTES = 1024 * 1024
# About half the size of uncompressed data, as fast as a disk writes.
_LEVEL = 6


class BackupFailed(Exception):
    """A backup or a restore failed. The message says why and contains no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A verified backup: size on disk, schema revision, number of tables and rows.

    ``revision`` is None before the first migration; ``rows`` is None if only the database can count
    them.
    """

    size_bytes: int
    revision: str | None
    tables: int
    rows: int | None = None


@contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """Yield a temporary file, and rename it to ``file`` when the block ends without an error.

    An existing file is never replaced. Only the current user may read the file, because it contains
    password hashes. A killed process leaves a file that ends in ``.part``.
    """
    if file.exists():
        raise BackupFailed(f"{file} already exists and is not overwritten.")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".part", dir=file.parent)
    except OSError as error:
        raise BackupFailed(f"{file} cannot be written: {error.strerror}.") from None
    os.close(handle)
    part = Path(name)
    try:
        yield part
        _flush(part)
        _rename_new(part, file)
        _flush(file.parent)
    except OSError as error:
        raise BackupFailed(f"{file} cannot be written: {error.strerror}.") from None
    finally:
        part.unlink(missing_ok=True)


def _rename_new(part: Path, file: Path) -> None:
    try:
        # Unlike a rename, this fails if the file was created by another process meanwhile.
        file.hardlink_to(part)
    except FileExistsError:
        raise BackupFailed(f"{file} already exists and is not overwritten.") from None
    except OSError:
        # The file system has no hard links.
        part.rename(file)


def _flush(path: Path) -> None:
    """Force the file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def compress(part: Path) -> Iterator[IO[bytes]]:
    """Yield a file that compresses what is written to it."""
    with (
        part.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_LEVEL, filename="") as stream,
    ):
        yield cast("IO[bytes]", stream)


def read_chunks(file: Path) -> Iterator[bytes]:
    """Yield the content of a compressed file in chunks. Raise BackupFailed if it is damaged."""
    try:
        with gzip.open(file, "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BackupFailed(f"{file} is not a complete backup: {error}.") from None
    except OSError as error:
        raise BackupFailed(f"{file} cannot be read: {error.strerror}.") from None
