"""Lock of a state folder: two launchers would share a database, queue and logs."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from launcher.errors import LaunchError


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock during the block. Raise LaunchError with the holder's pid if it is
    held.

    The kernel releases the lock when its holder ends in any way. The file only contains the pid.
    """
    path = folder / "launcher.pid"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode().strip() or "unknown"
            raise LaunchError(
                f"StocKing already runs from {folder} (pid {holder}): stop it with Ctrl-C in its "
                "terminal or with "
                f"'kill {holder}', or set STOCKING_VAR to another folder for a second one."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
