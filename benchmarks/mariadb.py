"""A private MariaDB server for benchmarks and tests: own folder, own socket, own port on loopback, gone afterwards."""

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pymysql

from launcher.ending import end
from launcher.leash import leashed
from launcher.ports import LOOPBACK, free_port

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05
_SYSTEM_FOLDERS = (
    Path("/usr/sbin"),
    Path("/usr/local/sbin"),
    Path("/usr/libexec"),
)  # Seldom on a normal user's PATH.


class MariaDBError(Exception):
    """The server is not installed, did not start or did not stop; the message says which and names its log."""


def _program(name: str) -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, _SYSTEM_FOLDERS)])
    return shutil.which(name, path=path)


def is_installed() -> bool:
    """Whether this machine has the server and the program that lays out its system tables."""
    return _program("mariadbd") is not None and _program("mariadb-install-db") is not None


class MariaDB:
    """One server in a temporary folder, removed on stop. Its user ``root`` has no password and is reachable from here only.

    ``innodb_flush_log_at_trx_commit`` is InnoDB's own: 1 makes every commit durable, 0 flushes once a second.
    """

    def __init__(
        self, *, innodb_flush_log_at_trx_commit: int = 1, max_connections: int = 200
    ) -> None:
        self.port = free_port()
        self._flush = innodb_flush_log_at_trx_commit
        self._max_connections = max_connections
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it is stopped."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Lay out a fresh data folder, start the server and return when it accepts connections.

        MariaDBError when it is not installed, ends, or accepts nothing for 60 s.
        """
        if self._process is not None:
            raise MariaDBError(f"MariaDB already runs with pid {self._process.pid}.")
        if not is_installed():
            raise MariaDBError(
                "MariaDB is not installed: neither mariadbd nor mariadb-install-db may be missing."
            )
        self._folder = folder = Path(tempfile.mkdtemp(prefix="stocking-mariadb-"))
        try:
            self._lay_out(folder)
            self._run(folder)
        except BaseException:
            self.stop()
            raise

    def start_again(self) -> None:
        """Start a server that was ended by ``end``, with the data that it had; MariaDBError as in ``start``."""
        if self._folder is None or self._process is not None:
            raise MariaDBError("MariaDB was not ended, so it can't be started again.")
        self._run(self._folder)

    def _lay_out(self, folder: Path) -> None:
        log = folder / "mariadb.log"
        with log.open("ab") as output:
            installed = subprocess.run(
                self._install_command(folder), stdout=output, stderr=output, check=False
            )
        if installed.returncode != 0:
            raise MariaDBError(f"mariadb-install-db failed:\n{_tail(log)}")

    def _run(self, folder: Path) -> None:
        log = folder / "mariadb.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                leashed(self._server_command(folder)),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise MariaDBError(f"MariaDB did not start:\n{_tail(log)}")
            time.sleep(_POLL_S)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the server by its pid, paused or not, and keep its folder: in order, or with SIGKILL as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            end(process, number, timeout_s=STOP_TIMEOUT_S)

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing is answered, as in a stall of the machine."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise MariaDBError("MariaDB is stopped.")
        self._process.send_signal(number)

    def stop(self) -> None:
        """End the server and remove its folder. Stopping a stopped one does nothing."""
        self.end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def create_database(self, name: str) -> str:
        """Create an empty database and return its SQLAlchemy URI. ValueError unless the name is a plain identifier."""
        if not name.isidentifier():
            raise ValueError(f"{name!r} is not a plain name for a database.")
        self._execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        return f"mysql+pymysql://root@{LOOPBACK}:{self.port}/{name}?charset=utf8mb4"

    def drop_database(self, name: str) -> None:
        """Remove a database of this server with all that is in it."""
        if not name.isidentifier():
            raise ValueError(f"{name!r} is not a plain name for a database.")
        self._execute(f"DROP DATABASE IF EXISTS `{name}`")

    def _execute(self, statement: str) -> None:
        connection = pymysql.connect(host=LOOPBACK, port=self.port, user="root")
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def _accepts(self) -> bool:
        try:
            pymysql.connect(host=LOOPBACK, port=self.port, user="root", connect_timeout=2).close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _install_command(self, folder: Path) -> list[str]:
        return [
            str(_program("mariadb-install-db")),
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            # As below: two that are laid out at the same time would delete each other's temporary tables.
            f"--tmpdir={folder}",
            f"--user={getpass.getuser()}",
            "--auth-root-authentication-method=normal",
            "--skip-name-resolve",
            "--skip-test-db",
            "--innodb-flush-log-at-trx-commit=0",
        ]

    def _server_command(self, folder: Path) -> list[str]:
        return [
            str(_program("mariadbd")),
            "--no-defaults",
            f"--user={getpass.getuser()}",
            f"--datadir={folder / 'data'}",
            # A server that starts deletes temporary tables from this folder, and must not find another's.
            f"--tmpdir={folder}",
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            f"--port={self.port}",
            f"--bind-address={LOOPBACK}",
            f"--max-connections={self._max_connections}",
            f"--innodb-flush-log-at-trx-commit={self._flush}",
            "--innodb-buffer-pool-size=256M",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            "--skip-name-resolve",
            "--skip-log-bin",
        ]

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


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
