"""Counting in processes that share their work: each writes a file of its own, in one folder in memory, and whichever is asked adds them all up.

The library's files are one set a process id and stay for ever, and processes are recycled. So a process has a *slot* instead, which is its successor's
when it is gone: that goes on counting where it ended, and there are never more files than there were processes at one time. What two living
processes do not share is a slot.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from prometheus_client import values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

log = structlog.get_logger(__name__)

Slot = Callable[[], int | str]

_PREFIX = "stocking-metrics-"
# The library reads it whenever a process opens its file.
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108 - a name of its own is made in it
# A folder that is being made is not locked yet.
_MADE_WITHIN_S = 60.0


def create_folder(memory: Path = MEMORY) -> None:
    """Make a folder for this process and all that it will fork, and remove what dead ones have left. Without a place for it each counts for itself."""
    os.environ.pop(_VARIABLE, None)
    try:
        place = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
        remove_stale_files(place)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        # Held by all that inherit the descriptor, and so for as long as one of them lives.
        fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as refused:
        log.warning("metrics_sharing_failed", reason=refused.strerror)
        return
    os.environ[_VARIABLE] = str(folder)
    atexit.register(_remove, folder, os.getpid())


def enable(slot: Slot) -> None:
    """Count in the folder from now on. ``slot`` tells, whenever it is asked, that of the process which asks."""
    if _VARIABLE in os.environ:
        values.ValueClass = values.MultiProcessValue(process_identifier=slot)  # type: ignore[no-untyped-call]


def clear_in_progress(slot: int | str) -> None:
    """Forget what was under way in a process that is gone. Called before its successor counts."""
    if _VARIABLE in os.environ:
        mark_process_dead(slot, os.environ[_VARIABLE])  # type: ignore[no-untyped-call]


def is_enabled() -> MultiProcessCollector | None:
    """What all processes that share the folder have counted; None where each counts for itself."""
    return MultiProcessCollector(None) if _VARIABLE in os.environ else None  # type: ignore[no-untyped-call]


def remove_stale_files(place: Path) -> None:
    """Remove the folders in this place in which nobody lives any more."""
    for folder in place.glob(f"{_PREFIX}*"):
        try:
            found = folder.lstat()
            if found.st_uid != os.getuid() or time.time() - found.st_mtime < _MADE_WITHIN_S:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)
        except OSError:
            # Somebody lives in it, or somebody else removes it.
            continue


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
