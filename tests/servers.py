"""Private servers for tests: the one place that says which there are and what happens when one is missing.

``Valkey`` and ``MariaDB`` are context managers with ``start``, ``stop``, ``pid`` and a free port of their own; ``Valkey`` can
also be paused, and comes back on its port after a stop.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from benchmarks.mariadb import MariaDB, is_installed
from launcher.leash import leashed
from launcher.plan import ROOT
from launcher.valkey import Valkey

__all__ = [
    "MariaDB",
    "Valkey",
    "clock_off_by",
    "require_chromium",
    "require_dump",
    "require_mariadb",
    "require_promtool",
    "start_gunicorn",
    "wait_until",
]

_POLL_S = 0.02


def require_mariadb() -> None:
    """Skip the test on a machine without MariaDB; fail it there when CI is set, where nothing may be left out."""
    if not is_installed():
        _do_without("MariaDB is not installed (mariadbd and mariadb-install-db).")


def require_dump() -> str:
    """The path of the program that dumps a database of MariaDB or MySQL; without it the same."""
    program = shutil.which("mariadb-dump") or shutil.which("mysqldump")
    if program is None:
        _do_without("MariaDB's dump program is not installed (mariadb-dump).")
    return program


def require_chromium() -> tuple[str, str]:
    """The paths of the browser and of its driver; without them the same as for MariaDB."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        _do_without("Chromium is not installed (chromium and chromedriver).")
    return browser, driver


def clock_off_by(seconds: int) -> dict[str, str]:
    """Variables that put a process's clock on, or back, by so many seconds; its monotonic clocks go on as they do. Without libfaketime the same as
    for MariaDB."""
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
    if library is None:
        _do_without("libfaketime is not installed (faketime).")
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+d}s", "DONT_FAKE_MONOTONIC": "1"}


def require_promtool() -> str:
    """The path of Prometheus' own program for rules; without it the same as for MariaDB."""
    program = shutil.which("promtool")
    if program is None:
        _do_without("promtool is not installed (Prometheus).")
    return program


def start_gunicorn(
    port: int, *, database_uri: str, redis_url: str, **variables: str
) -> "subprocess.Popen[bytes]":
    """The API as production serves it, with nothing else in its environment. It may not be up yet; whoever starts it ends it."""
    environment = {
        "DATABASE_URI": database_uri,
        "REDIS_URL": redis_url,
        "API_PORT": str(port),
        **variables,
    }
    return subprocess.Popen(
        leashed([sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"]),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def wait_until(condition: Callable[[], object], *, what: str, deadline_s: float = 10.0) -> None:
    """Return as soon as ``condition()`` is true; fail the test, naming ``what``, when it is not within ``deadline_s``."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"Not within {deadline_s:g} s: {what}")
        time.sleep(_POLL_S)
