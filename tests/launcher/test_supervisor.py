"""The supervisor restarts its command and ends whole process groups."""

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

# Writes its own pid and its child's pid into FILE and waits for signals, like gunicorn or Celery
# with children.
FAMILY = """
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
signal.pause()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FAMILY


@contextlib.contextmanager
def supervisor(
    *command: str, grace_s: float = 5.0, output: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher.supervisor", "--grace", str(grace_s), "--", *command],
        cwd=ROOT,
        stdout=output,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)
        process.communicate()


def families(file: Path) -> list[list[int]]:
    """Return the pids that FAMILY has written, one list per start."""
    return (
        [[int(pid) for pid in line.split()] for line in file.read_text().splitlines()]
        if file.exists()
        else []
    )


def is_alive(pid: int) -> bool:
    """Return True if the process runs and is not a zombie."""
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


def test_killed_command_is_restarted_and_its_orphans_are_killed(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with supervisor(sys.executable, "-c", FAMILY, str(file)):
        first = wait_for_family(file, 1)
        os.kill(first[0], signal.SIGKILL)
        second = wait_for_family(file, 2)
        assert_gone(first)
        assert all(is_alive(pid) for pid in second)
    assert_gone(second)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_ends_the_whole_group_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "pids"
    with supervisor(sys.executable, "-c", FAMILY, str(file)) as process:
        family = wait_for_family(file, 1)
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 0
    assert_gone(family)


def test_command_that_ignores_sigterm_is_killed_after_the_grace_time(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with supervisor(sys.executable, "-c", STUBBORN, str(file), grace_s=0.3) as process:
        family = wait_for_family(file, 1)
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    assert_gone(family)


def test_sigquit_kills_without_the_grace_time(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with supervisor(sys.executable, "-c", STUBBORN, str(file), grace_s=100) as process:
        family = wait_for_family(file, 1)
        process.terminate()
        process.send_signal(signal.SIGQUIT)
        assert process.wait(DEADLINE_S) == 0
    assert_gone(family)


def test_supervisor_and_command_end_with_their_parent(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    starter = (
        "import subprocess, sys; "
        "subprocess.run([sys.executable, '-m', 'launcher.supervisor', '--', *sys.argv[1:]])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", starter, sys.executable, "-c", FAMILY, str(file)], cwd=ROOT
    ) as parent:
        family = wait_for_family(file, 1)
        parent.kill()
    assert_gone(family)


def test_command_ends_with_a_killed_supervisor(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pids"
    with supervisor(sys.executable, "-c", FAMILY, str(file)) as process:
        leader, child = wait_for_family(file, 1)
        process.kill()
        assert_gone([leader])
    os.kill(child, signal.SIGKILL)


def test_command_that_keeps_failing_is_given_up_with_status_1(tmp_path: Path) -> None:
    with supervisor("/bin/sh", "-c", "echo the reason; exit 7", output=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert output.count("the reason") == 3
    assert "Ended with exit status 7. Starting it again in 0.5 s." in output
    assert "Giving up." in output


def test_missing_command_is_named() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "launcher.supervisor", "--", "no-such-program"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert "no-such-program cannot be started: No such file or directory." in output


def test_command_in_a_variable_is_not_in_the_command_line_of_the_supervisor(tmp_path: Path) -> None:
    """`pkill -f` for the command must not match the supervisor, and the command does not inherit
    the variable.
    """
    file = tmp_path / "environment"
    line = f"echo kept-${{KEPT_TEST-without}} > '{file}'; exec sleep 60"
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher.supervisor", "--variable", "KEPT_TEST"],
        cwd=ROOT,
        env={**os.environ, "KEPT_TEST": line},
    )
    try:
        wait_until(lambda: file.exists() and file.read_text(), what="the command ran")

        assert file.read_text() == "kept-without\n"
        assert b"sleep" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()
