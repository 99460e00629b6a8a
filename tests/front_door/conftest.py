"""A front door with the processes behind it, on free ports."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from launcher.ports import LOOPBACK, free_port
from tests.push_gateway.harness import SECRET
from tests.support.servers import (
    Process,
    Valkey,
    front_door_command,
    front_door_variables,
    start_gunicorn,
    start_program,
    start_python,
    wait_until,
)
from tests.system.stack import children_of

THREADS = 2


@dataclass
class Stack:
    """Caddy on ``port``, one gunicorn worker of two threads on ``api_port``, and a push gateway."""

    port: int
    api_port: int
    gateway_port: int
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def answers(self) -> bool:
        """Return True if the API answers through the front door."""
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/healthz", timeout=30).status_code == 200
        return False

    def api_pids(self) -> list[int]:
        """Return the pids of gunicorn and its workers."""
        pid = self.processes["api"].pid
        return [pid, *children_of(pid)]

    def until_it_answers(self) -> None:
        wait_until(self.answers, what="the front door answers", deadline_s=60)


@contextmanager
def stack(
    database_uri: str, redis_url: str, home: Path, *, gateway: bool = True, **variables: str
) -> Iterator[Stack]:
    """Run the stack until the block ends, with `variables` in the environment of all processes."""
    running = Stack(free_port(), free_port(), free_port())
    shared = {"JWT_SECRET_KEY": SECRET, "RATE_LIMITS": "0", **variables}
    environment = {"PATH": os.environ["PATH"], "REDIS_URL": redis_url, **shared}
    door = front_door_variables(
        running.port, api_port=running.api_port, gateway_port=running.gateway_port, home=home
    )
    with ExitStack() as ending, closing((home / "door.log").open("ab")) as log:
        door_process = start_program(
            front_door_command(), environment=environment | door, output=log
        )
        running.processes["front_door"] = door_process
        running.processes["api"] = start_gunicorn(
            running.api_port,
            database_uri=database_uri,
            redis_url=redis_url,
            **{"WORKERS": "1", "THREADS": str(THREADS), **shared},
        )
        if gateway:
            running.processes["gateway"] = start_python(
                ("-m", "push_gateway"),
                environment=environment | {"GATEWAY_PORT": str(running.gateway_port)},
            )
        for process in running.processes.values():
            ending.callback(process.wait)
            ending.callback(process.kill)
        running.until_it_answers()
        yield running


@pytest.fixture(scope="module")
def door(
    migrated_sqlite: str, valkey_server: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack shared by the tests of a module that leave it intact."""
    home = tmp_path_factory.mktemp("front_door")
    with stack(migrated_sqlite, valkey_server.url, home) as running:
        yield running
