"""MySQL and MariaDB: the SQL that their own dump program writes in one transaction, read again by their own client."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import URL, create_engine, pool, text
from sqlalchemy.exc import SQLAlchemyError

from trading.observability.logs.lines import visible
from trading.operations.backups.files import (
    PIECE_BYTES,
    Backup,
    BackupFailed,
    compressed,
    new_file,
    pieces,
)

# Each server's own program first; both know either server.
_DUMP = {True: ("mariadb-dump", "mysqldump"), False: ("mysqldump", "mariadb-dump")}
_CLIENT = {True: ("mariadb", "mysql"), False: ("mysql", "mariadb")}

# One transaction sees one state of all tables, and nobody waits for it. What only one of the programs knows is "loose" to the other.
_OPTIONS = (
    "--single-transaction",
    "--quick",
    "--no-tablespaces",
    "--hex-blob",
    "--skip-add-drop-table",
    "--default-character-set=utf8mb4",
    "--loose-set-gtid-purged=OFF",
    "--loose-column-statistics=0",
)
# MariaDB's dump begins with this, which older clients and MySQL's take for a fault.
_SANDBOX = re.compile(rb"\A/\*M?!999999\\- enable the sandbox mode \*/ ?\r?\n")
_IS_DUMP = re.compile(rb"\A(?:/\*.*\n)*-- (?:MySQL|MariaDB) dump ")
_END = b"\n-- Dump completed"
_TABLE = re.compile(rb"\nCREATE TABLE `([^`\n]+)`")
_REVISION = re.compile(rb"\nINSERT INTO `alembic_version` VALUES\s*\('([^'\n]{1,64})'\)")
# A piece's end is looked at again with the next one, as what is looked for may lie across. Values hold no line breaks: the dump spells them out.
_OVERLAP_BYTES = 4_096
_SSL = {"ssl_ca": "ssl-ca", "ssl_cert": "ssl-cert", "ssl_key": "ssl-key"}


@dataclass(frozen=True, slots=True)
class _Server:
    """What the server says of itself and of the database."""

    is_mariadb: bool
    tables: frozenset[str]


def create(url: URL, file: Path) -> Backup:
    """Dump the database into a compressed file, and read that back."""
    server = _look(url)
    program = _program(_DUMP[server.is_mariadb], to="back up")
    with new_file(file) as part:
        with _access(url) as access, compressed(part) as packed:
            _run(program, access, [*_OPTIONS, str(url.database)], into=packed)
        found = _looked_at(file, pieces(part))
        missing = server.tables - found.tables
        if missing:
            raise BackupFailed(f"The dump lacks tables: {', '.join(sorted(missing))}.")
        return Backup(
            size_bytes=part.stat().st_size, revision=found.revision, tables=len(found.tables)
        )


def restore(url: URL, file: Path) -> Backup:
    """Read a dump through, then have the client run it in the empty database."""
    server = _look(url)
    if server.tables:
        raise BackupFailed(
            f"The database {url.database} is not empty: a backup is restored into an empty one only."
        )
    program = _program(_CLIENT[server.is_mariadb], to="restore")
    found = _looked_at(file, pieces(file))
    with _access(url) as access:
        try:
            options = ["--default-character-set=utf8mb4", "--batch", str(url.database)]
            _run(program, access, options, source=pieces(file))
        except BackupFailed as failed:
            raise BackupFailed(
                f"{failed} The database is filled in part now: drop it, make it anew and try again."
            ) from None
    return Backup(size_bytes=file.stat().st_size, revision=found.revision, tables=len(found.tables))


def _look(url: URL) -> _Server:
    engine = create_engine(
        url, poolclass=pool.NullPool, connect_args={"connect_timeout": 5}, hide_parameters=True
    )
    tables = text(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
    )
    try:
        with engine.connect() as connection:
            version = str(connection.scalar(text("SELECT VERSION()")))
            return _Server("MariaDB" in version, frozenset(connection.scalars(tables)))
    except SQLAlchemyError as fault:
        raise BackupFailed(
            f"The database {url.database} on {url.host} can't be reached ({type(fault).__name__})."
        ) from None


def _program(names: tuple[str, str], *, to: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise BackupFailed(
            f"To {to} this database {names[0]} or {names[1]} must be installed (Debian: mariadb-client)."
        )
    return found


@contextmanager
def _access(url: URL) -> Iterator[int]:
    """An open file with what leads a program to the server: everybody sees a command line. It has no name, so nothing of it is left, whatever is killed."""
    options = {"user": url.username, "password": url.password}
    socket = url.query.get("unix_socket")
    options |= (
        {"socket": str(socket)}
        if socket
        else {"host": url.host, "port": str(url.port or 3306), "protocol": "tcp"}
    )
    options |= {name: str(url.query[key]) for key, name in _SSL.items() if key in url.query}
    with tempfile.TemporaryFile("w", encoding="utf-8") as file:
        file.write(
            "[client]\n"
            + "".join(f"{name}={_quoted(value)}\n" for name, value in options.items() if value)
        )
        file.flush()
        file.seek(0)
        yield file.fileno()


def _quoted(value: str) -> str:
    """As an option file spells it."""
    for sign, spelled in (
        ("\\", "\\\\"),
        ('"', '\\"'),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\t", "\\t"),
    ):
        value = value.replace(sign, spelled)
    return f'"{value}"'


def _run(
    program: str,
    access: int,
    arguments: list[str],
    *,
    into: IO[bytes] | None = None,
    source: Iterable[bytes] = (),
) -> None:
    """Run a program of the server's, with its output going into a file or its input coming from somewhere. Raises BackupFailed with its last word."""
    # What it complains of goes to a file, as nobody reads a pipe of it meanwhile.
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 - a program of the server's, with the settings' words only
            [program, f"--defaults-extra-file=/dev/fd/{access}", *arguments],
            pass_fds=[access],
            stdin=subprocess.DEVNULL if into else subprocess.PIPE,
            stdout=subprocess.PIPE if into else subprocess.DEVNULL,
            stderr=complaints,
        ) as process,
    ):
        try:
            # One that has ended says why below.
            with suppress(BrokenPipeError):
                _pump(process, into, source)
        except BaseException:
            process.kill()
            raise
        status = process.wait()
        complaints.seek(0)
        said = complaints.read().decode(errors="replace").strip().splitlines()
    if status != 0:
        raise BackupFailed(
            f"{Path(program).name} failed: {visible(said[-1]) if said else f'exit status {status}'}"
        )


def _pump(
    process: "subprocess.Popen[bytes]", into: IO[bytes] | None, source: Iterable[bytes]
) -> None:
    if process.stdout is not None and into is not None:
        while piece := process.stdout.read(PIECE_BYTES):
            into.write(piece)
    if process.stdin is not None:
        with process.stdin:
            process.stdin.writelines(_without_sandbox(source))


def _without_sandbox(source: Iterable[bytes]) -> Iterator[bytes]:
    for number, piece in enumerate(source):
        yield piece if number else _SANDBOX.sub(b"", piece)


@dataclass(frozen=True, slots=True)
class _Dump:
    revision: str | None
    tables: frozenset[str]


def _looked_at(file: Path, source: Iterable[bytes]) -> _Dump:
    """What a dump holds. Raises BackupFailed where it is none, or was not written to its end."""
    tables: set[str] = set()
    revision, seen = None, b""
    for number, piece in enumerate(source):
        if number == 0 and not _IS_DUMP.match(piece):
            raise BackupFailed(f"{file} is no backup of MySQL or MariaDB.")
        seen = seen[-_OVERLAP_BYTES:] + piece
        tables |= {name.decode() for name in _TABLE.findall(seen)}
        told = _REVISION.search(seen)
        revision = told[1].decode() if told else revision
    if _END not in seen[-_OVERLAP_BYTES:]:
        raise BackupFailed(f"{file} is no whole backup: its end is missing.")
    return _Dump(revision, frozenset(tables))
