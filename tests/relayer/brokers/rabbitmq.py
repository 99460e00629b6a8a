"""A private RabbitMQ that speaks STOMP over WebSockets: own folder, own ports, own port mapper, stopped by pid."""

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
_ROOT = Path("/usr/lib/rabbitmq")  # Where Debian's package puts it.
_SERVER = (
    _ROOT / "bin" / "rabbitmq-server"
)  # The program itself; the one on the PATH becomes another user first.

# The one word in a topic's name for which nobody may subscribe to it.
FORBIDDEN = "A999999"

# Our client names no login, so the default user is its own; and it names the virtual host by the address that it connects to, as browsers do.
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
    """The user, the virtual host and who may do what."""
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
    """What this machine lacks, None when it lacks nothing."""
    if not _SERVER.exists() or shutil.which("epmd") is None:
        return "RabbitMQ is not installed (Debian's package rabbitmq-server)."
    if not list(_ROOT.glob("lib/*/plugins/rabbitmq_web_stomp-*")):
        return "RabbitMQ is installed without its plugin rabbitmq_web_stomp."
    return None


class RabbitMQ:
    """One broker. ``url`` is where it takes WebSockets."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"ws://{LOOPBACK}:{self.port}/ws"
        self._folder = folder
        self._log = folder / "rabbitmq.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start port mapper and broker, and return when it accepts connections. RuntimeError when it has not after two minutes."""
        (self._folder / "enabled_plugins").write_text("[rabbitmq_web_stomp].\n")
        definitions = self._folder / "definitions.json"
        definitions.write_text(json.dumps(_definitions()))
        configuration = _CONFIGURATION.format(port=self.port, definitions=definitions)
        (self._folder / "rabbitmq.conf").write_text(configuration)
        mapper_port = str(free_port())
        # Erlang would leave a port mapper of its own behind, as a daemon that nobody knows the pid of.
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
        """End the broker, then the port mapper."""
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
            "HOME": str(self._folder),  # Erlang keeps its cookie there.
            "ERL_EPMD_PORT": mapper_port,
            "ERL_FLAGS": "-start_epmd false",
            "ERL_CRASH_DUMP": str(self._folder / "crash.dump"),
            "RABBITMQ_ALLOW_INPUT": "1",  # The script becomes the broker, so that the pid is the broker's.
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
