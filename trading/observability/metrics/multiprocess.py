"""Metrics shared by several processes: each writes its own file in a folder in memory.

Whichever process is scraped adds up all files. The library keeps one set of files per process id
forever, although processes are recycled. Here a file belongs to a *slot* instead, which the
successor of a process takes over: it continues the counters, and there are never more files than
there were processes at one time. Two living processes never share a slot.
"""

import atexit
import fcntl
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import prometheus_client.multiprocess
import structlog
from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

log = structlog.get_logger(__name__)

Slot = Callable[[], int | str]

_PREFIX = "stocking-metrics-"
# Read by the library whenever a process opens its file.
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108 - creates a private subfolder
# A new folder is not locked immediately.
_LOCKED_WITHIN_S = 60.0


def create_folder(memory: Path = MEMORY) -> None:
    """Create a folder for this process and its forks, and remove those of dead processes.

    If that fails, each process counts on its own.
    """
    os.environ.pop(_VARIABLE, None)
    try:
        parent = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
        remove_stale_files(parent)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        # All processes that inherit the descriptor hold the lock, as long as one of them lives.
        fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as refused:
        log.warning("metrics_sharing_failed", reason=refused.strerror)
        return
    os.environ[_VARIABLE] = str(folder)
    atexit.register(_remove, folder, os.getpid())


def enable(slot: Slot) -> None:
    """Count in the shared folder from now on. ``slot`` returns the slot of the calling process."""
    if _VARIABLE in os.environ:
        values.ValueClass = values.MultiProcessValue(process_identifier=slot)  # type: ignore[no-untyped-call]


def clear_in_progress(slot: int | str) -> None:
    """Clear in-progress gauges of a dead process. Call before its successor counts."""
    if _VARIABLE in os.environ:
        mark_process_dead(slot, os.environ[_VARIABLE])  # type: ignore[no-untyped-call]


class _ReadableValues(MmapedDict):
    """Reads the values of a file; none if it has no content yet, was just removed or is damaged."""

    @staticmethod
    def read_all_values_from_file(filename: str) -> list[tuple[str, float, float, int]]:
        file = Path(filename)
        try:
            if file.stat().st_size == 0:
                return []  # Its process has just created it, or was killed then.
            return list(MmapedDict.read_all_values_from_file(file))  # type: ignore[no-untyped-call]
        except FileNotFoundError:
            return []
        except (RuntimeError, ValueError, struct.error) as damage:
            log.warning("metrics_file_damaged", file=file.name, reason=str(damage))
            return []


# With the library's own reader (0.26), one such file fails every scrape of all processes:
# https://github.com/prometheus/client_python/issues/1199
prometheus_client.multiprocess.MmapedDict = _ReadableValues  # type: ignore[attr-defined]


def shared_collector() -> MultiProcessCollector | None:
    """Return a collector over all processes that share the folder; None if there is none."""
    return MultiProcessCollector(None) if _VARIABLE in os.environ else None  # type: ignore[no-untyped-call]


def remove_stale_files(parent: Path) -> None:
    """Remove the folders in ``parent`` that no living process uses."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            found = folder.lstat()
            if found.st_uid != os.getuid() or time.time() - found.st_mtime < _LOCKED_WITHIN_S:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)
        except OSError:
            # In use, or being removed by another process.
            continue


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
