"""Keep one command running: `python -m launcher.supervisor [--grace SECONDS] -- COMMAND [ARGUMENT
…]`.

With `--variable NAME` instead of a command, the command is a shell line in that environment
variable. The line is then not part of the supervisor's own command line, so a `pkill -f` for the
command does not match the supervisor, which restarts it.

A command that ends by itself is restarted: at once after a long run, else with growing pauses. If
it fails repeatedly right after the first start, the supervisor gives up, because the settings are
probably wrong. The command runs in its own process group. When the leader ends, the rest of the
group is killed, so that no child of a killed gunicorn or Celery survives beside its successor.

SIGTERM and SIGINT are forwarded as one SIGTERM (Celery takes a second one as a request for a cold
shutdown, which may hang), followed by SIGKILL of the group after the grace time. SIGQUIT kills the
group at once. The supervisor also stops when its parent ends. Its exit status is 0 after a stop and
1 after giving up.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from launcher.parent_death_signal import set_parent_death_signal, with_parent_death_signal

DEFAULT_GRACE_S = 20.0  # Celery's warm shutdown takes several seconds on a busy machine.
# After this time a command counts as up: it is never given up, and its pauses start again.
STEADY_RUN_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
FAILED_STARTS_MAX = 3

_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_HANDLED_SIGNALS = (*_STOP_SIGNALS, signal.SIGQUIT, signal.SIGCHLD)


class _Signals:
    """Signals of this process, to wait for with a deadline. None is lost between waits."""

    def __init__(self) -> None:
        self._inbox, self._outbox = socket.socketpair()
        self._inbox.settimeout(0)
        self._outbox.settimeout(0)
        signal.set_wakeup_fd(self._outbox.fileno(), warn_on_full_buffer=False)
        for number in _HANDLED_SIGNALS:
            signal.signal(
                number, lambda *_: None
            )  # Any handler makes Python write to the wake-up socket.

    def wait(self, timeout_s: float | None) -> frozenset[int]:
        """Return the signals since the last wait, or an empty set after `timeout_s`."""
        ready, _, _ = select.select([self._inbox], [], [], timeout_s)
        return frozenset(self._inbox.recv(4096)) if ready else frozenset()


class Supervisor:
    """Runs a command repeatedly until a signal stops it. Times are in seconds."""

    def __init__(self, command: Sequence[str], *, grace_s: float = DEFAULT_GRACE_S) -> None:
        self._command = list(command)
        self._grace_s = grace_s
        self._signals = _Signals()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Run until a stop (return 0) or until the command keeps failing (return 1)."""
        pause_s, failed_starts, has_run_steadily = FIRST_PAUSE_S, 0, False
        while True:
            started = time.monotonic()
            code = self._run_once()
            if code is None:
                return 0
            if time.monotonic() - started >= STEADY_RUN_S:
                pause_s, has_run_steadily = FIRST_PAUSE_S, True
            else:
                failed_starts += 1
            if not has_run_steadily and failed_starts >= FAILED_STARTS_MAX:
                _log(
                    f"{_exit_text(code)}, the {FAILED_STARTS_MAX}rd time since the start. Giving "
                    "up."
                )
                return 1
            _log(f"{_exit_text(code)}. Starting it again in {pause_s:g} s.")
            if self._stop_requested_within(pause_s):
                return 0
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _run_once(self) -> int | None:
        """Run the command until it ends by itself. Return its exit code, or None after a stop
        signal.
        """
        self._child = child = subprocess.Popen(
            with_parent_death_signal(self._command), start_new_session=True
        )
        while True:
            received = self._signals.wait(None)
            if signal.SIGQUIT in received:
                self._kill_group()
                return None
            if received & _STOP_SIGNALS:
                self._stop()
                return None
            if (code := child.poll()) is not None:
                self._kill_group()
                return code

    def _stop_requested_within(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            if self._signals.wait(left) & {*_STOP_SIGNALS, signal.SIGQUIT}:
                return True
        return False

    def _stop(self) -> None:
        """Send SIGTERM to the leader, wait for the grace time, and kill the rest of the group."""
        assert self._child is not None  # noqa: S101 - called between a start and an end only
        self._child.terminate()
        deadline = time.monotonic() + self._grace_s
        while self._child.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                _log(f"Still running {self._grace_s:g} s after SIGTERM. Killing it.")
                break
            if signal.SIGQUIT in self._signals.wait(left):
                _log("Received SIGQUIT. Killing it.")
                break
        self._kill_group()

    def _kill_group(self) -> None:
        assert self._child is not None  # noqa: S101 - called after a start only
        # The group has already ended.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()


def _exit_text(code: int) -> str:
    if code < 0:
        return f"Ended by {signal.Signals(-code).name}"
    return f"Ended with exit status {code}"


def _log(message: str) -> None:
    """Print one line in the format of the command's own log. Ignore a closed output."""
    line = f"supervisor: {message}"
    if os.environ.get("LOG_FORMAT") == "json":
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        line = json.dumps(
            {"timestamp": now, "level": "warning", "event": "supervisor_message", "text": message}
        )
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and supervise the command. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m launcher.supervisor")
    parser.add_argument(
        "--grace", type=float, default=DEFAULT_GRACE_S, help="seconds between SIGTERM and SIGKILL"
    )
    parser.add_argument(
        "--variable",
        metavar="NAME",
        help="environment variable that holds the command as a shell's line",
    )
    parser.add_argument("command", nargs="*")
    options = parser.parse_args(arguments)
    if bool(options.variable) == bool(options.command):
        parser.error("give either a command or --variable")
    command = (
        ["/bin/sh", "-c", os.environ.pop(options.variable)] if options.variable else options.command
    )
    parent = os.getppid()
    set_parent_death_signal(signal.SIGTERM)
    supervisor = Supervisor(command, grace_s=options.grace)
    if os.getppid() != parent:  # The parent ended during the start.
        return 0
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
