"""Run a command that is killed when its parent ends: `parent_death_signal.py PARENT_PID SIGNAL
COMMAND`.

This process replaces itself with the command, so the pid stays the same. It is started by its path,
in isolated mode and without site-packages, because it precedes every server and worker and must
cost milliseconds only. Linux provides the signal (PR_SET_PDEATHSIG); elsewhere the command runs
without it.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def with_parent_death_signal(
    command: list[str], *, on_death: signal.Signals = signal.SIGKILL
) -> list[str]:
    """Return a command line that runs `command` and sends it `on_death` when this process ends."""
    return [
        sys.executable,
        "-I",
        "-S",
        str(Path(__file__).resolve()),
        str(os.getpid()),
        str(int(on_death)),
        *command,
    ]


def set_parent_death_signal(on_death: signal.Signals) -> None:
    """Ask the kernel to send `on_death` to this process when its parent ends. The setting survives
    exec.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(on_death), 0, 0, 0)


def _main() -> None:
    parent, on_death, command = int(sys.argv[1]), signal.Signals(int(sys.argv[2])), sys.argv[3:]
    set_parent_death_signal(on_death)
    if os.getppid() != parent:  # The parent ended before the signal was set.
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the command is what a leash is for
    except OSError as missing:
        sys.exit(f"{command[0]} cannot be started: {missing.strerror}.")


if __name__ == "__main__":
    _main()
