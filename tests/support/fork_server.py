"""Start `python -m MODULE` by forking a process that has imported the libraries.

Importing them takes longer than most of what a test has a process do. So one server per test
process imports them once, and forks for each process that a test starts. The child receives its
environment, arguments, folder and descriptors after the fork, and runs the module as `python -m`
does. `pytest --full` starts every process by `exec` instead.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from launcher.parent_death_signal import set_parent_death_signal

_MESSAGE_MAX_BYTES = 1 << 20
_POLL_S = 0.01

_LIBRARIES = (
    "aiohttp.web",
    "argon2",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "flask_cors",
    "flask_jwt_extended",
    "flask_limiter",
    "flask_migrate",
    "flask_smorest",
    "flask_sqlalchemy",
    "flask_swagger_ui",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "kombu.transport.redis",
    "pymysql",
    "redis.asyncio",
    "requests",
    "rich.console",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "structlog",
    "websockets.asyncio.client",
    "zxcvbn",
)
# Metrics choose their storage when they are created, so no module that creates one is imported
# here.
_MAKES_METRICS = ("trading.bootstrap", "trading.observability.metrics")


class ForkedProcess:
    """Started process, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, server: "ForkServer", pid: int) -> None:
        self._server = server
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while the process runs."""
        if self.returncode is None:
            self.returncode = self._server.call({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status. Raise TimeoutExpired after `timeout`
        seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(_POLL_S)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal unless the process is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Process that forks on demand. It ends with its owner, and its children end with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def start(
        self,
        module: str,
        *arguments: str,
        env: Mapping[str, str],
        cwd: Path,
        output: IO[bytes] | int,
        new_session: bool = False,
    ) -> ForkedProcess:
        """Start `python -m MODULE ARGUMENTS`, with stdout and stderr redirected to `output`."""
        request = {
            "arguments": [module, *arguments],
            "env": dict(env),
            "cwd": str(cwd),
            "session": new_session,
        }
        with Path(os.devnull).open("r+b", buffering=0) as null_device:
            target = null_device if output == subprocess.DEVNULL else output
            target = target if isinstance(target, int) else target.fileno()
            pid = self.call(request, [null_device.fileno(), target])
        return ForkedProcess(self, pid)

    def call(self, request: Mapping[str, object], descriptors: Sequence[int] = ()) -> Any:
        """Send a request and return the answer."""
        with self._lock:
            socket.send_fds(self._channel, [json.dumps(request).encode()], descriptors)
            return json.loads(self._channel.recv(_MESSAGE_MAX_BYTES))

    def stop(self) -> None:
        self._channel.close()
        self._process.wait()


_servers: list[ForkServer] = []


def fork_server() -> ForkServer:
    """Return this process's server, started at the first call."""
    if not _servers:
        _servers.append(ForkServer())
        atexit.register(_servers[0].stop)
    return _servers[0]


def _import_libraries() -> None:
    for name in _LIBRARIES:
        importlib.import_module(name)
    trading = importlib.import_module("trading")
    for module in pkgutil.walk_packages(trading.__path__, "trading."):
        if not module.name.startswith(_MAKES_METRICS):
            importlib.import_module(module.name)
    assert not sys.modules.keys() & {
        "trading.observability.metrics.instruments",
        "webapp",
        "workers",
    }
    # Children share these pages as long as the garbage collector does not write to them.
    gc.collect()
    gc.freeze()


def _serve(channel: socket.socket) -> list[str]:
    """Answer requests until the owner ends. In a child, return the module and its arguments."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE_MAX_BYTES, 2)
        if not message:
            sys.exit()
        request = json.loads(message)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                channel.close()
                return _become(request, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
        channel.send(json.dumps(answer).encode())


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> list[str]:
    """Apply environment, folder and descriptors. Return the module and its arguments."""
    server = os.getppid()
    set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != server:  # The server ended before the death signal was set.
        sys.exit(1)
    if request["session"]:
        os.setsid()
    null_device, output = descriptors
    for standard, target in ((0, null_device), (1, output), (2, output)):
        os.dup2(target, standard)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.path[0] = request["cwd"]
    sys.stdout.reconfigure(line_buffering="PYTHONUNBUFFERED" in os.environ)  # type: ignore[union-attr]
    arguments: list[str] = request["arguments"]
    return arguments


def _main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        _import_libraries()
        module, *arguments = _serve(channel)
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
