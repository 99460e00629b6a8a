"""Write files that get their name only when they are complete."""

import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, cast

from sqlalchemy.engine import make_url

CHUNK_BYTES = 1024 * 1024
# About half the size of uncompressed data, as fast as a disk writes.
_LEVEL = 6
# RFC 1952: the file's name follows ten bytes, of which the fourth has the flags.
_FIXED_HEADER_BYTES = 10
_HEADER_WITH_NAME = b"\x08"


class BackupFailed(Exception):
    """A backup or a restore failed. The message says why and contains no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A verified backup: size on disk, schema revision, number of tables and rows.

    ``rows`` is None if only the database can count them.
    """

    size_bytes: int
    revision: str
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


def marker_of(uri: str) -> str:
    """Return the name stored in the header of each backup of the database at ``uri``.

    It identifies the database without showing its address.
    """
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        origin = str(Path(url.database or "").resolve())
    else:
        origin = f"{url.host}:{url.port or 3306}/{url.database}"
    return f"stocking-{sha256(origin.encode()).hexdigest()[:16]}"


def has_marker(file: Path, marker: str) -> bool:
    """Return True if the file is compressed and its header holds the marker."""
    expected = _FIXED_HEADER_BYTES + len(marker) + 1
    try:
        with file.open("rb") as raw:
            header = raw.read(expected)
    except OSError:
        return False
    named = header.startswith(b"\x1f\x8b\x08") and header[3:4] == _HEADER_WITH_NAME
    return named and header[_FIXED_HEADER_BYTES:] == marker.encode() + b"\0"


@contextmanager
def compress(part: Path, *, marker: str) -> Iterator[IO[bytes]]:
    """Yield a file that compresses what is written to it, with the marker in its header."""
    with (
        part.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_LEVEL, filename=marker) as stream,
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
