"""Celery's processes as the Procfile starts them, on a benchmark's own servers, ended by their pid when the block ends."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launcher.leash import leashed
from launcher.plan import ROOT
from trading.settings import Settings

POOL_CHILDREN = 2
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05


@contextmanager
def worker(settings: Settings, log: Path) -> Iterator[None]:
    """A worker on all queues with two pool children, ready to work."""
    command = ["worker", "-E", "-c", str(POOL_CHILDREN), "-l", "INFO", "--without-gossip", "--without-mingle"]
    with _celery(command, settings, log, ready=" ready."):
        yield


@contextmanager
def beat(settings: Settings, log: Path) -> Iterator[None]:
    """The one that wakes the periodic tasks, at their periods of production."""
    command = ["beat", "-l", "INFO", "-s", str(log.with_suffix(".schedule")), "--pidfile="]
    with _celery(command, settings, log, ready="beat: Starting"):
        yield


@contextmanager
def _celery(arguments: list[str], settings: Settings, log: Path, *, ready: str) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            leashed([sys.executable, "-m", "celery", "-A", "workers", *arguments]),
            cwd=ROOT,
            env=os.environ | _environment(settings),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while ready not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"Celery did not start:\n{log.read_text(errors='replace')}")
            time.sleep(_POLL_S)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URI": settings.database_uri.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "MARKET_HOURS": settings.hours_rule,
        "TICK_FRESHNESS_MS": str(settings.tick_freshness_ms),
        "MATCH_PERIOD_MS": str(settings.match_period_ms),
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
    }
