"""The whole system as an operator meets it: it comes up, trades, survives, stops and leaves nothing running."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from launcher.plan import ROOT
from launcher.ports import free_port
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until


def processes_of(var: Path) -> dict[int, str]:
    """Every process that was started for this state folder, found by its environment: pid and command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"STOCKING_VAR={var}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                )
    return found


def environment_of(var: Path) -> dict[str, str]:
    """Free ports, a state folder of its own, and nothing that would point at servers of somebody else."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # Hashing a password may be cheap here: what is tested is that the system runs.
    return {
        **inherited,
        "STOCKING_VAR": str(var),
        "API_PORT": str(free_port()),
        "FLOWER_PORT": str(free_port()),
        "GUNICORN_PORT": str(free_port()),
        "GATEWAY_PORT": str(free_port()),
        "PORTONE_PORT": str(free_port()),
        "VALKEY_PORT": str(free_port()),
        "ARGON2_TIME_COST": "1",
        "ARGON2_MEMORY_KIB": "1024",
    }


@contextlib.contextmanager
def launched(
    var: Path, *arguments: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The launcher and the file that it writes to. Whatever the test does, nothing of it is left at the end."""
    var.mkdir(parents=True, exist_ok=True)
    told = var.parent / "told"
    with (
        told.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "launcher", *arguments],
            cwd=ROOT,
            env={**environment_of(var), **variables},
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as launcher,
    ):
        try:
            yield launcher, told
        finally:
            launcher.kill()
    assert_nothing_left(var)


def assert_nothing_left(var: Path) -> None:
    wait_until(lambda: not processes_of(var), what=f"no process of {var} is left")


def wait_until_up(launcher: subprocess.Popen[bytes], told: Path) -> None:
    wait_until(
        lambda: "Demo sign-in" in told.read_text() or launcher.poll() is not None,
        what="everything is up",
    )
    assert launcher.poll() is None, told.read_text()


def demo_password(told: Path) -> str:
    found = re.search(r"demo@stocking\.example / (\S+)", told.read_text())
    assert found, told.read_text()
    return found[1]


def tells(url: str) -> bool:
    try:
        return "# TYPE stocking_" in requests.get(url, timeout=DEADLINE_S).text
    except requests.RequestException:
        return False


def every_celery_worker(var: Path) -> list[int]:
    """What ``pkill -f`` would find: every process whose command line names the worker, the main one and its pool."""
    found = [pid for pid, line in processes_of(var).items() if "celery -A workers worker" in line]
    assert len(found) > 1
    return found


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """A state folder with a space in its path, as a home directory may have one."""
    return tmp_path / "state folder" / "var"


def test_the_demo_trades_for_a_day_and_its_sums_are_right(var: Path) -> None:
    with launched(var, "--demo") as (launcher, told):
        status = launcher.wait(DEADLINE_S)
        text = told.read_text()
        assert status == 0, text
        assert "every sum is right and the audit is clean" in text
        assert "DIFFERS" not in text
        assert_nothing_left(var)


def test_it_survives_killed_workers_and_stops_on_ctrl_c(var: Path) -> None:
    with launched(var) as (launcher, told):
        wait_until_up(launcher, told)
        first_password = demo_password(told)
        addresses = re.findall(r"(http://\S+/metrics)  \(\w+\)", told.read_text())
        assert len(addresses) == 5
        for address in addresses:
            wait_until(lambda url=address: tells(url), what=f"an answer at {address}")
        for pid in every_celery_worker(var):
            os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: "ready." in told.read_text().partition("Ended by SIGKILL")[2],
            what="the worker is back",
        )
        assert launcher.poll() is None
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(DEADLINE_S) == 0, told.read_text()
        assert_nothing_left(var)

    with launched(var) as (launcher, told):
        wait_until_up(launcher, told)
        assert demo_password(told) == first_password
        launcher.kill()
        launcher.wait()
        assert_nothing_left(var)


def test_a_process_that_never_comes_up_stops_the_start_and_shows_its_log(var: Path) -> None:
    with launched(var, SANDBOX_ARGS="--no-such-option") as (launcher, told):
        assert launcher.wait(DEADLINE_S) == 1
        text = told.read_text()
        assert "The sandbox cannot be kept running." in text
        assert "no-such-option" in text
        assert_nothing_left(var)
