"""A private database server for benchmarks and tests: a folder, a socket and a port of its own."""

import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import pymysql

from launcher.parent_death_signal import with_parent_death_signal
from launcher.ports import LOOPBACK, free_port
from launcher.terminate import end

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05


class DatabaseServerError(Exception):
    """The server is not installed, did not start or did not stop; the message quotes its log."""


class DatabaseServer(ABC):
    """One server in a temporary folder that is removed on stop.

    Its user ``root`` has no password and is reachable from this machine only.
    ``innodb_flush_log_at_trx_commit`` is InnoDB's own: 1 makes every commit durable, 0 flushes
    once a second. ``options`` are further options of the server.
    """

    name: ClassVar[str]
    collation: ClassVar[str]

    def __init__(
        self,
        *,
        innodb_flush_log_at_trx_commit: int = 1,
        max_connections: int = 200,
        options: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self._durable = innodb_flush_log_at_trx_commit == 1
        self._options = [
            f"--innodb-flush-log-at-trx-commit={innodb_flush_log_at_trx_commit}",
            f"--max-connections={max_connections}",
            *options,
        ]
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """Return what this machine lacks to run the server, as a sentence; None if nothing."""

    @abstractmethod
    def _initialize(self, folder: Path) -> None:
        """Create the data folder ``data`` in ``folder``."""

    @abstractmethod
    def _server_command(self) -> list[str]:
        """Return the program and the options that only this kind of server has."""

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it is stopped."""
        return self._process.pid if self._process else None

    def log(self) -> str:
        """Return the server's error log since ``start``. The server must not be stopped."""
        return self._log_of(self._started_folder()).read_text(errors="replace")

    def start(self) -> None:
        """Create a fresh data folder, start the server and return when it accepts connections.

        Raises DatabaseServerError if it is not installed, ends, or accepts nothing within 60 s.
        """
        if self._process is not None:
            raise DatabaseServerError(f"{self.name} already runs with pid {self._process.pid}.")
        if missing := self.missing():
            raise DatabaseServerError(missing)
        self._folder = folder = Path(tempfile.mkdtemp(prefix=f"stocking-{self.name.lower()}-"))
        try:
            self._initialize(folder)
            self._run(folder)
        except BaseException:
            self.stop()
            raise

    def start_again(self) -> None:
        """Start a server that ``end`` ended, with its data; DatabaseServerError as in ``start``."""
        if self._process is not None:
            raise DatabaseServerError(f"{self.name} was not ended, so it can't be started again.")
        self._run(self._started_folder())

    def _run(self, folder: Path) -> None:
        log = self._log_of(folder)
        command = [
            *self._server_command(),
            f"--datadir={folder / 'data'}",
            # A server that starts deletes temporary tables in this folder: never share it.
            f"--tmpdir={folder}",
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            f"--port={self.port}",
            f"--bind-address={LOOPBACK}",
            "--character-set-server=utf8mb4",
            f"--collation-server={self.collation}",
            *self._options,
        ]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                with_parent_death_signal(command),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DatabaseServerError(f"{self.name} did not start:\n{tail(log)}")
            time.sleep(_POLL_S)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the server, paused or not, and keep its folder; SIGKILL ends it as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            end(process, number, timeout_s=STOP_TIMEOUT_S)

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused server."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise DatabaseServerError(f"{self.name} is stopped.")
        self._process.send_signal(number)

    def stop(self) -> None:
        """End the server at once and remove its folder. Stopping a stopped one does nothing."""
        # Nothing in the folder is read again, so an orderly shutdown would only take time.
        self.end(signal.SIGKILL)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def create_database(self, name: str) -> str:
        """Create an empty database and return its SQLAlchemy URI.

        Raises ValueError unless the name is a plain identifier.
        """
        self.execute(
            f"CREATE DATABASE {_quoted(name)} CHARACTER SET utf8mb4 COLLATE {self.collation}"
        )
        return f"mysql+pymysql://root@{LOOPBACK}:{self.port}/{name}?charset=utf8mb4"

    def drop_database(self, name: str) -> None:
        """Remove a database of this server with all that is in it."""
        self.execute(f"DROP DATABASE IF EXISTS {_quoted(name)}")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, run as ``root`` on a new connection."""
        connection = pymysql.connect(host=LOOPBACK, port=self.port, user="root", autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def execute(self, *statements: str) -> None:
        """Run statements as ``root`` on a new connection, each in its own transaction."""
        connection = pymysql.connect(host=LOOPBACK, port=self.port, user="root", autocommit=True)
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def _accepts(self) -> bool:
        try:
            pymysql.connect(host=LOOPBACK, port=self.port, user="root", connect_timeout=2).close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _started_folder(self) -> Path:
        if self._folder is None:
            raise DatabaseServerError(f"{self.name} was not started.")
        return self._folder

    def _log_of(self, folder: Path) -> Path:
        return folder / f"{self.name.lower()}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _quoted(name: str) -> str:
    if not name.isidentifier():
        raise ValueError(f"{name!r} is not a plain name for a database.")
    return f"`{name}`"


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
