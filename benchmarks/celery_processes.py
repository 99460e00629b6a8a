"""Celery processes as the Procfile starts them. Their logs contain the duration of each task."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import running, wait_for
from trading.config.settings import Settings

POOL_CHILDREN = 2


@contextmanager
def worker(settings: Settings, log: Path) -> Iterator[None]:
    """Run a worker on all queues with two pool processes, and wait until it is ready."""
    command = [
        "worker",
        "-E",
        "-c",
        str(POOL_CHILDREN),
        "-l",
        "INFO",
        "--without-gossip",
        "--without-mingle",
    ]
    with _celery(command, settings, log, ready=" ready."):
        yield


@contextmanager
def beat(settings: Settings, log: Path) -> Iterator[None]:
    """Run beat with the periods of production."""
    command = ["beat", "-l", "INFO", "-s", str(log.with_suffix(".schedule")), "--pidfile="]
    with _celery(command, settings, log, ready="beat: Starting"):
        yield


@contextmanager
def _celery(arguments: list[str], settings: Settings, log: Path, *, ready: str) -> Iterator[None]:
    command = ["celery", "-A", "workers", *arguments]
    with running(command, settings, log, LOG_FORMAT="json", LOG_LEVEL="INFO") as process:
        wait_for(lambda: ready in log.read_text(errors="replace"), "Celery to start", process, log)
        yield
