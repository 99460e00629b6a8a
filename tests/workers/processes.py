"""Real Celery processes for tests, each with its own log."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Self

from tests.support.servers import Process, start_python, wait_until
from trading.config.settings import Settings

STOP_S = 15.0


def environment_of(settings: Settings, **more: str) -> dict[str, str]:
    """Return this process's environment plus the values behind the settings."""
    return {
        **os.environ,
        "DATABASE_URI": settings.database_uri.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "LOG_FORMAT": "json",
        "LOG_LEVEL": settings.log_level,
        "TICK_FRESHNESS_MS": str(settings.tick_freshness_ms),
        "WAKE_GRACE_MS": str(settings.wake_grace_ms),
        "SWEEP_PERIOD_S": str(settings.sweep_period_s),
        "STAGE_BATCH_SIZE": str(settings.stage_batch_size),
        "MATCHER_SHARDS": str(settings.matcher_shards),
        "MATCH_PERIOD_MS": str(settings.match_period_ms),
        "ALERT_PERIOD_MS": str(settings.alert_period_ms),
        "AUDIT_PERIOD_S": str(settings.audit_period_s),
        **more,
    }


class CeleryProcess:
    """``celery -A workers …`` with at most two pool children; killed at the end of the block."""

    def __init__(
        self, command: list[str], log: Path, environment: dict[str, str], *, ready: str
    ) -> None:
        self.log = log
        self._ready = ready
        self._command = ["-m", "celery", "-A", "workers", *command]
        self._environment = environment
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def children(self) -> list[int]:
        """Return the pids of the pool's children."""
        return [
            int(pid)
            for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        ]

    def start(self) -> None:
        """Start and wait until it works."""
        begun = len(self.output) if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = start_python(
                self._command, environment=self._environment, output=output
            )
        wait_until(
            lambda: self._ready in self.output[begun:] or self._process.poll() is not None,
            what=f"{self._ready!r} in {self.log}",
        )
        assert self._process.poll() is None, self.output

    def kill(self) -> None:
        """Kill the process and its children with SIGKILL."""
        if self._process is None or self._process.poll() is not None:
            return
        pids = [self.pid, *self.children]
        for pid in pids:
            _kill(pid)
        self._process.wait(STOP_S)
        wait_until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids),
            what="the children's end",
        )

    def stop(self) -> None:
        """Stop the process cleanly unless it has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # It ended with its parent.
        os.kill(pid, signal.SIGKILL)


def worker(
    log: Path,
    settings: Settings,
    *options: str,
    queues: str | None = None,
    children: int = 2,
    **environment: str,
) -> CeleryProcess:
    """Return a worker on all queues, or on the comma-separated ``queues``."""
    command = [
        "worker",
        "-c",
        str(children),
        "-l",
        "INFO",
        "-n",
        f"{log.stem}@test",
        "--without-gossip",
        "--without-mingle",
        *options,
    ]
    return CeleryProcess(
        command if queues is None else [*command, "-Q", queues],
        log,
        environment_of(settings, **environment),
        ready=" ready.",
    )


def beat(log: Path, settings: Settings, **environment: str) -> CeleryProcess:
    """Return a beat process, which sends the periodic tasks."""
    command = ["beat", "-l", "INFO", "-s", str(log.with_suffix(".schedule")), "--pidfile="]
    return CeleryProcess(
        command, log, environment_of(settings, **environment), ready="beat: Starting"
    )
