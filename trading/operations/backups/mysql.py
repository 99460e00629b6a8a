"""Backups of MySQL and MariaDB, by their own dump program and client."""

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
    CHUNK_BYTES,
    Backup,
    BackupFailed,
    compress,
    new_file,
    read_chunks,
)
from trading.operations.backups.release import Release

# Each server's own program first; both programs work with both servers.
_DUMP = {True: ("mariadb-dump", "mysqldump"), False: ("mysqldump", "mariadb-dump")}
_CLIENT = {True: ("mariadb", "mysql"), False: ("mysql", "mariadb")}

# One transaction reads one state of all tables and blocks no writer. "loose" marks options that
# only one of the programs knows.
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
# MariaDB's dump begins with this line, which older clients and MySQL's reject.
_SANDBOX = re.compile(rb"\A/\*M?!999999\\- enable the sandbox mode \*/ ?\r?\n")
_IS_DUMP = re.compile(rb"\A(?:/\*.*\n)*-- (?:MySQL|MariaDB) dump ")
_END = b"\n-- Dump completed"
_TABLE = re.compile(rb"\nCREATE TABLE `([^`\n]+)`")
_REVISION = re.compile(rb"\nINSERT INTO `alembic_version` VALUES\s*\('([^'\n]{1,64})'\)")
# The end of each chunk is searched again with the next one, because a match may span both. Values
# contain no line breaks: the dump escapes them.
_OVERLAP_BYTES = 4_096
_SSL = {"ssl_ca": "ssl-ca", "ssl_cert": "ssl-cert", "ssl_key": "ssl-key"}


@dataclass(frozen=True, slots=True)
class _Server:
    """The kind of server and the tables of the database."""

    is_mariadb: bool
    tables: frozenset[str]


def create(url: URL, file: Path, *, release: Release, marker: str) -> Backup:
    """Dump the database into a compressed file, and verify the file by reading it back."""
    server = _inspect(url)
    release.require_tables(server.tables, source=f"The database {url.database} on {url.host}")
    program = _program(_DUMP[server.is_mariadb], to="back up")
    with new_file(file) as part:
        with _option_file(url) as options_fd, compress(part, marker=marker) as stream:
            _run(program, options_fd, [*_OPTIONS, str(url.database)], into=stream)
        dump = _verify(file, read_chunks(part))
        missing = server.tables - dump.tables
        if missing:
            raise BackupFailed(f"The dump lacks tables: {', '.join(sorted(missing))}.")
        revision = release.require_schema(
            dump.revision, dump.tables, source=f"The database {url.database} on {url.host}"
        )
        return Backup(size_bytes=part.stat().st_size, revision=revision, tables=len(dump.tables))


def restore(url: URL, file: Path, *, release: Release) -> Backup:
    """Verify a dump, then have the client run it in the empty database."""
    server = _inspect(url)
    if server.tables:
        raise BackupFailed(
            f"The database {url.database} is not empty: "
            "a backup is restored into an empty one only."
        )
    program = _program(_CLIENT[server.is_mariadb], to="restore")
    dump = _verify(file, read_chunks(file))
    revision = release.require_schema(dump.revision, dump.tables, source=str(file))
    with _option_file(url) as options_fd:
        try:
            options = ["--default-character-set=utf8mb4", "--batch", str(url.database)]
            _run(program, options_fd, options, source=read_chunks(file))
        except BackupFailed as failed:
            raise BackupFailed(
                f"{failed} The database is now partly filled: drop it, create it again and retry."
            ) from None
    return Backup(size_bytes=file.stat().st_size, revision=revision, tables=len(dump.tables))


def _inspect(url: URL) -> _Server:
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
    except SQLAlchemyError as error:
        raise BackupFailed(
            f"The database {url.database} on {url.host} cannot be reached ({type(error).__name__})."
        ) from None


def _program(names: tuple[str, str], *, to: str) -> str:
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        raise BackupFailed(
            f"To {to} this database {names[0]} or {names[1]} must be installed "
            "(Debian: mariadb-client)."
        )
    return program


@contextmanager
def _option_file(url: URL) -> Iterator[int]:
    """Yield an open option file with the login, because command lines are visible to all users.

    The file has no name, so nothing remains of it even if the process is killed.
    """
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
    """Quote a value for an option file."""
    for character, escaped in (
        ("\\", "\\\\"),
        ('"', '\\"'),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\t", "\\t"),
    ):
        value = value.replace(character, escaped)
    return f'"{value}"'


def _run(
    program: str,
    options_fd: int,
    arguments: list[str],
    *,
    into: IO[bytes] | None = None,
    source: Iterable[bytes] = (),
) -> None:
    """Run a program with its output to a file or its input from an iterable.

    Raise BackupFailed with the last line of its error output.
    """
    # The error output goes to a file, because nobody would read a pipe meanwhile.
    with (
        tempfile.TemporaryFile() as error_output,
        subprocess.Popen(  # noqa: S603 - the server's program with settings as arguments
            [program, f"--defaults-extra-file=/dev/fd/{options_fd}", *arguments],
            pass_fds=[options_fd],
            stdin=subprocess.DEVNULL if into else subprocess.PIPE,
            stdout=subprocess.PIPE if into else subprocess.DEVNULL,
            stderr=error_output,
        ) as process,
    ):
        try:
            # The exit status below explains why the program ended.
            with suppress(BrokenPipeError):
                _pump(process, into, source)
        except BaseException:
            process.kill()
            raise
        status = process.wait()
        error_output.seek(0)
        messages = error_output.read().decode(errors="replace").strip().splitlines()
    if status != 0:
        reason = visible(messages[-1]) if messages else f"exit status {status}"
        raise BackupFailed(f"{Path(program).name} failed: {reason}")


def _pump(
    process: "subprocess.Popen[bytes]", into: IO[bytes] | None, source: Iterable[bytes]
) -> None:
    if process.stdout is not None and into is not None:
        while chunk := process.stdout.read(CHUNK_BYTES):
            into.write(chunk)
    if process.stdin is not None:
        with process.stdin:
            process.stdin.writelines(_without_sandbox(source))


def _without_sandbox(source: Iterable[bytes]) -> Iterator[bytes]:
    for number, chunk in enumerate(source):
        yield chunk if number else _SANDBOX.sub(b"", chunk)


@dataclass(frozen=True, slots=True)
class _Dump:
    revision: str | None
    tables: frozenset[str]


def _verify(file: Path, source: Iterable[bytes]) -> _Dump:
    """Read a dump's revision and tables. Raise BackupFailed if it is not a complete dump."""
    tables: set[str] = set()
    revision, window = None, b""
    for number, chunk in enumerate(source):
        if number == 0 and not _IS_DUMP.match(chunk):
            raise BackupFailed(f"{file} is not a backup of MySQL or MariaDB.")
        window = window[-_OVERLAP_BYTES:] + chunk
        tables |= {name.decode() for name in _TABLE.findall(window)}
        match = _REVISION.search(window)
        revision = match[1].decode() if match else revision
    if _END not in window[-_OVERLAP_BYTES:]:
        raise BackupFailed(f"{file} is not a complete backup: its end is missing.")
    return _Dump(revision, frozenset(tables))
