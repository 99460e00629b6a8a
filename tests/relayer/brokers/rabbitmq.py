"""A private RabbitMQ with STOMP over WebSocket: own folder, ports and port mapper."""

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from launcher.parent_death_signal import with_parent_death_signal
from launcher.ports import LOOPBACK, free_port
from tests.support.deadlines import DEADLINE_S

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.1
_ROOT = Path("/usr/lib/rabbitmq")  # The path of Debian's package.
_SERVER = (
    _ROOT / "bin" / "rabbitmq-server"
)  # The program itself: the one on the PATH switches the user first.

# Users may not subscribe to topic names that contain this.
FORBIDDEN = "A999999"

# The client sends no login, so it gets the default user; like browsers it names the virtual host
# after the address that it connects to.
_CONFIGURATION = f"""\
listeners.tcp = none
stomp.listeners.tcp = none
stomp.default_user = guest
stomp.default_pass = guest
web_stomp.tcp.ip = {LOOPBACK}
web_stomp.tcp.port = {{port}}
load_definitions = {{definitions}}
"""


def _definitions() -> dict[str, list[dict[str, str]]]:
    """Return the user, the virtual host and the permissions."""
    salt = os.urandom(4)
    whose = {"user": "guest", "vhost": LOOPBACK}
    return {
        "users": [
            {
                "name": "guest",
                "password_hash": base64.b64encode(
                    salt + hashlib.sha256(salt + b"guest").digest()
                ).decode(),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "",
            }
        ],
        "vhosts": [{"name": LOOPBACK}],
        "permissions": [{**whose, "configure": ".*", "write": ".*", "read": ".*"}],
        "topic_permissions": [
            {**whose, "exchange": "amq.topic", "write": ".*", "read": f"^(?!.*{FORBIDDEN})"}
        ],
    }


def missing() -> str | None:
    """Return what this machine lacks, or None."""
    if not _SERVER.exists() or shutil.which("epmd") is None:
        return "RabbitMQ is not installed (Debian's package rabbitmq-server)."
    if not list(_ROOT.glob("lib/*/plugins/rabbitmq_web_stomp-*")):
        return "RabbitMQ is installed without its plugin rabbitmq_web_stomp."
    return None


class RabbitMQ:
    """One broker. ``url`` accepts WebSockets."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"ws://{LOOPBACK}:{self.port}/ws"
        self._folder = folder
        self._log = folder / "rabbitmq.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start port mapper and broker.

        Raises RuntimeError if it accepts nothing within two minutes.
        """
        (self._folder / "enabled_plugins").write_text("[rabbitmq_web_stomp].\n")
        definitions = self._folder / "definitions.json"
        definitions.write_text(json.dumps(_definitions()))
        configuration = _CONFIGURATION.format(port=self.port, definitions=definitions)
        (self._folder / "rabbitmq.conf").write_text(configuration)
        mapper_port = str(free_port())
        # Otherwise Erlang starts a port mapper as a daemon whose pid is unknown.
        self._run(["epmd", "-port", mapper_port, "-address", LOOPBACK])
        self._run([str(_SERVER), "-noinput"], **self._environment(mapper_port))
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._accepts():
            if (
                any(process.poll() is not None for process in self._processes)
                or time.monotonic() > deadline
            ):
                self.stop()
                raise RuntimeError(
                    f"RabbitMQ did not start:\n{self._log.read_text(errors='replace')[-2_000:]}"
                )
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Stop the broker, then the port mapper."""
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _environment(self, mapper_port: str) -> dict[str, str]:
        return {
            "HOME": str(self._folder),  # Erlang stores its cookie there.
            "ERL_EPMD_PORT": mapper_port,
            "ERL_FLAGS": "-start_epmd false",
            "ERL_CRASH_DUMP": str(self._folder / "crash.dump"),
            # The script executes the broker, so its pid is the broker's.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "no-such-file"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_NODENAME": f"stocking-{os.getpid()}@localhost",
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
        }

    def _run(self, command: list[str], **environment: str) -> None:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                with_parent_death_signal(command),
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self._processes.append(process)

    def _accepts(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), timeout=DEADLINE_S).close()
        except OSError:
            return False
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
