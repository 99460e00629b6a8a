"""Runs a command that dies with the process that started it: ``python leash.py PARENT_PID SIGNAL COMMAND [ARGUMENT …]``.

It replaces itself by the command, so the pid stays the one that the parent knows. It is started by its path, in Python's
isolated mode and without site-packages, because it stands before every server and worker and must cost milliseconds.
Where the kernel has no such leash (anything but Linux) the command runs without one.
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
    """The command line that runs ``command`` and sends it ``on_death`` when the calling process is gone."""
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
    """Ask the kernel to send ``on_death`` to this process as soon as its parent is gone. It outlives an exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(on_death), 0, 0, 0)


def _main() -> None:
    parent, on_death, command = int(sys.argv[1]), signal.Signals(int(sys.argv[2])), sys.argv[3:]
    set_parent_death_signal(on_death)
    if os.getppid() != parent:  # It went away before the kernel knew of the leash.
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the command is what a leash is for
    except OSError as missing:
        sys.exit(f"{command[0]} cannot be started: {missing.strerror}.")


if __name__ == "__main__":
    _main()
