"""Keeps one command running: ``python -m launcher.supervisor [--grace SECONDS] -- COMMAND [ARGUMENT …]``, or ``… --variable NAME``.

With ``--variable`` the command is a line for the shell in that environment variable. Then it does not stand in the keeper's own
command line, and a ``pkill -f`` that is meant for the kept process spares its keeper, who starts it again.

A command that ends on its own is started again, at once after a long run and with growing pauses when it keeps ending. One
that never stays up in the keeper's first seconds is given up, because then its settings are wrong and not its luck. The
command gets a process group of its own; whenever its leader is gone the rest of the group is killed, so that no child of a
killed gunicorn or Celery lives on beside its successor.

SIGTERM and SIGINT pass on as one SIGTERM (Celery takes a second one for impatience and may hang over it) and become a
SIGKILL of the group after the grace time. SIGQUIT kills the group at once. The keeper does the same when its own parent
dies. It ends with 0 when it was told to stop and with 1 when it gave up.
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

DEFAULT_GRACE_S = 4.0  # Below the five seconds after which honcho kills what still runs.
STEADY_S = 10.0  # Who has run for this long is up: from then on it is never given up and its pauses begin anew.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
FALSE_STARTS = 3

_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_WATCHED = (*_STOP_SIGNALS, signal.SIGQUIT, signal.SIGCHLD)


class _Signals:
    """The signals of this process as something to wait for with a deadline, none lost between two waits."""

    def __init__(self) -> None:
        self._inbox, self._outbox = socket.socketpair()
        self._inbox.settimeout(0)
        self._outbox.settimeout(0)
        signal.set_wakeup_fd(self._outbox.fileno(), warn_on_full_buffer=False)
        for number in _WATCHED:
            signal.signal(
                number, lambda *_: None
            )  # A handler of any kind makes Python write to the wake-up socket.

    def wait(self, timeout_s: float | None) -> frozenset[int]:
        """The signals that have come since the last wait; empty when none comes within ``timeout_s``."""
        ready, _, _ = select.select([self._inbox], [], [], timeout_s)
        return frozenset(self._inbox.recv(4096)) if ready else frozenset()


class Supervisor:
    """Runs ``command`` over and over until it is told to stop. Times are seconds."""

    def __init__(self, command: Sequence[str], *, grace_s: float = DEFAULT_GRACE_S) -> None:
        self._command = list(command)
        self._grace_s = grace_s
        self._signals = _Signals()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """The keeper's exit status: 0 told to stop, 1 given up."""
        pause_s, false_starts, proven = FIRST_PAUSE_S, 0, False
        while True:
            started = time.monotonic()
            code = self._run_once()
            if code is None:
                return 0
            if time.monotonic() - started >= STEADY_S:
                pause_s, proven = FIRST_PAUSE_S, True
            else:
                false_starts += 1
            if not proven and false_starts >= FALSE_STARTS:
                _say(f"{_ending(code)}, the {FALSE_STARTS}rd time since the start. Giving up.")
                return 1
            _say(f"{_ending(code)}. Starting it again in {pause_s:g} s.")
            if self._told_to_stop_within(pause_s):
                return 0
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _run_once(self) -> int | None:
        """Run the command until it ends on its own: its return code. None when the keeper was told to stop."""
        self._child = child = subprocess.Popen(
            with_parent_death_signal(self._command), start_new_session=True
        )
        while True:
            got = self._signals.wait(None)
            if signal.SIGQUIT in got:
                self._kill_group()
                return None
            if got & _STOP_SIGNALS:
                self._stop()
                return None
            if (code := child.poll()) is not None:
                self._kill_group()
                return code

    def _told_to_stop_within(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            if self._signals.wait(left) & {*_STOP_SIGNALS, signal.SIGQUIT}:
                return True
        return False

    def _stop(self) -> None:
        """One SIGTERM to the leader, then SIGKILL to whatever is left of the group when it is gone or out of time."""
        assert self._child is not None  # noqa: S101 - called between a start and an end only
        self._child.terminate()
        deadline = time.monotonic() + self._grace_s
        while self._child.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                _say(f"Still running {self._grace_s:g} s after SIGTERM. Killing it.")
                break
            if signal.SIGQUIT in self._signals.wait(left):
                _say("Told not to wait. Killing it.")
                break
        self._kill_group()

    def _kill_group(self) -> None:
        assert self._child is not None  # noqa: S101 - called after a start only
        with contextlib.suppress(ProcessLookupError, PermissionError):  # Nobody is left in it.
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()


def _ending(code: int) -> str:
    if code < 0:
        return f"Ended by {signal.Signals(-code).name}"
    return f"Ended with exit status {code}"


def _say(sentence: str) -> None:
    """One line among the command's own, in their shape. With its reader gone a keeper has work left to do, and no complaints."""
    line = f"keeper: {sentence}"
    if os.environ.get("LOG_FORMAT") == "json":
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        line = json.dumps(
            {"timestamp": now, "level": "warning", "event": "supervisor_message", "text": sentence}
        )
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and keep its command; the process's exit status."""
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
    keeper = Supervisor(command, grace_s=options.grace)
    if os.getppid() != parent:  # It went away while this was starting.
        return 0
    return keeper.run()


if __name__ == "__main__":
    sys.exit(main())
