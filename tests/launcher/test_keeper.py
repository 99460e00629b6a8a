"""The keeper: what it keeps runs again, what it ends is gone, children and grandchildren included."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until

# Writes its own pid and that of a child into FILE, as a gunicorn or a Celery would have children, and waits for signals.
FAMILY = """
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
signal.pause()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FAMILY


@contextlib.contextmanager
def keeper(
    *command: str, grace_s: float = 5.0, output: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    kept = subprocess.Popen(
        [sys.executable, "-m", "launcher.supervisor", "--grace", str(grace_s), "--", *command],
        cwd=ROOT,
        stdout=output,
        text=True,
    )
    try:
        yield kept
    finally:
        if kept.poll() is None:
            kept.send_signal(signal.SIGQUIT)
        kept.communicate()


def families(file: Path) -> list[list[int]]:
    """The pids that FAMILY has written so far, a list a start."""
    return (
        [[int(pid) for pid in line.split()] for line in file.read_text().splitlines()]
        if file.exists()
        else []
    )


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and waits to be collected does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_for_family(file: Path, number: int) -> list[int]:
    wait_until(lambda: len(families(file)) >= number, what=f"start number {number}")
    return families(file)[number - 1]


def assert_gone(pids: list[int]) -> None:
    wait_until(lambda: not any(is_alive(pid) for pid in pids), what=f"{pids} are gone")


def test_a_killed_command_is_started_again_and_its_orphans_are_taken_down(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with keeper(sys.executable, "-c", FAMILY, str(file)):
        first = wait_for_family(file, 1)
        os.kill(first[0], signal.SIGKILL)
        second = wait_for_family(file, 2)
        assert_gone(first)
        assert all(is_alive(pid) for pid in second)
    assert_gone(second)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_takes_the_whole_group_down_and_ends_with_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "pids"
    with keeper(sys.executable, "-c", FAMILY, str(file)) as kept:
        family = wait_for_family(file, 1)
        kept.send_signal(number)
        assert kept.wait(DEADLINE_S) == 0
    assert_gone(family)


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace_time(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with keeper(sys.executable, "-c", STUBBORN, str(file), grace_s=0.3) as kept:
        family = wait_for_family(file, 1)
        kept.terminate()
        assert kept.wait(DEADLINE_S) == 0
    assert_gone(family)


def test_sigquit_does_not_wait_for_the_grace_time(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with keeper(sys.executable, "-c", STUBBORN, str(file), grace_s=100) as kept:
        family = wait_for_family(file, 1)
        kept.terminate()
        kept.send_signal(signal.SIGQUIT)
        assert kept.wait(DEADLINE_S) == 0
    assert_gone(family)


def test_nothing_survives_the_death_of_who_started_the_keeper(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    starter = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'launcher.supervisor', '--', *sys.argv[1:]])"
    with subprocess.Popen(
        [sys.executable, "-c", starter, sys.executable, "-c", FAMILY, str(file)], cwd=ROOT
    ) as parent_of_keeper:
        family = wait_for_family(file, 1)
        parent_of_keeper.kill()
    assert_gone(family)


def test_nothing_survives_the_death_of_the_keeper_but_what_the_command_itself_left(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pids"
    with keeper(sys.executable, "-c", FAMILY, str(file)) as kept:
        leader, child = wait_for_family(file, 1)
        kept.kill()
        assert_gone([leader])
    os.kill(child, signal.SIGKILL)


def test_a_command_that_never_stays_up_is_given_up_with_1(tmp_path: Path) -> None:
    with keeper("/bin/sh", "-c", "echo the reason; exit 7", output=subprocess.PIPE) as kept:
        told, _ = kept.communicate(timeout=DEADLINE_S)
    assert kept.returncode == 1
    assert told.count("the reason") == 3
    assert "Ended with exit status 7. Starting it again in 0.5 s." in told
    assert "Giving up." in told


def test_a_command_that_does_not_exist_is_named() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "launcher.supervisor", "--", "no-such-program"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as kept:
        told, _ = kept.communicate(timeout=DEADLINE_S)
    assert "no-such-program cannot be started: No such file or directory." in told


def test_a_command_from_a_variable_is_not_in_the_keepers_command_line(tmp_path: Path) -> None:
    """Who kills by name what is kept must not hit the keeper; and what is kept does not inherit the variable."""
    file = tmp_path / "environment"
    line = f"echo kept-${{KEPT_TEST-without}} > '{file}'; exec sleep 60"
    kept = subprocess.Popen(
        [sys.executable, "-m", "launcher.supervisor", "--variable", "KEPT_TEST"],
        cwd=ROOT,
        env={**os.environ, "KEPT_TEST": line},
    )
    try:
        wait_until(lambda: file.exists() and file.read_text(), what="the command ran")

        assert file.read_text() == "kept-without\n"
        assert b"sleep" not in Path(f"/proc/{kept.pid}/cmdline").read_bytes()
    finally:
        kept.send_signal(signal.SIGQUIT)
        kept.wait()
