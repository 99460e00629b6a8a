"""Health checks of all processes, over their public interfaces."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
from celery import Celery
from redis.exceptions import RedisError

from launcher.errors import LaunchError
from launcher.plan import API_PREFIX, Plan
from launcher.setup import beat_schedules, tail
from trading.config.settings import load

PROBE_TIMEOUT_S = 2.0
PING_TIMEOUT_S = 0.5
_PAUSE_S = 0.1


@dataclass(frozen=True)
class ProcessCheck:
    """Health check of one process. `passes` returns within a few seconds and never raises."""

    process: str
    passes: Callable[[], bool]


def checks_of(plan: Plan) -> list[ProcessCheck]:
    """Return a check for every process of the plan, the cheapest first.

    The front door logs each answer of 500 and above as an error, so no check causes one there.
    """
    ready = f"{plan.gunicorn_url}/readyz"
    checks = [
        ProcessCheck("beat", lambda: bool(beat_schedules(plan.var))),
        ProcessCheck("api", lambda: _answers_ok(ready)),
        ProcessCheck(
            "front_door",
            lambda: _answers_ok(ready) and _answers_ok(f"{plan.api_url}/healthz"),
        ),
        ProcessCheck(
            "relayer",
            lambda: _answers_ok(f"{plan.gunicorn_url}{API_PREFIX}/trading/realtime/daemon/health"),
        ),
        ProcessCheck("gateway", lambda: _answers_ok(f"{plan.gateway_url}/healthz")),
        ProcessCheck("flower", lambda: _answers_ok(f"{plan.flower_url}/healthcheck")),
        ProcessCheck("worker", _WorkerPing(load(plan.environment).broker_url)),
    ]
    if plan.sandbox_url:
        sandbox = f"{plan.sandbox_url}/healthz"
        checks.insert(0, ProcessCheck("sandbox", lambda: _answers_ok(sandbox)))
    return checks


def wait_until_healthy(
    checks: Sequence[ProcessCheck],
    *,
    deadline_s: float,
    logs: Path,
    stopping: threading.Event,
    announce: Callable[[str], None],
) -> bool:
    """Poll until every check has passed once, and announce each. Return False if `stopping` is set.

    Raise LaunchError at the deadline, with the name and the log's end of the first missing process.
    """
    started = time.monotonic()
    missing = list(checks)
    while missing and not stopping.is_set():
        for check in list(missing):
            if not stopping.is_set() and check.passes():
                missing.remove(check)
                announce(f"{check.process} is up after {time.monotonic() - started:.1f} s")
        if missing and time.monotonic() - started > deadline_s:
            name = missing[0].process
            log = logs / f"{name}.log"
            raise LaunchError(
                f"The {name} was not up within {deadline_s:g} s. The end of {log}:\n{tail(log)}"
            )
        stopping.wait(_PAUSE_S if missing else 0)
    return not stopping.is_set()


def _answers_ok(url: str) -> bool:
    try:
        return requests.get(url, timeout=PROBE_TIMEOUT_S).status_code == 200
    except requests.RequestException:
        return False


class _WorkerPing:
    """Celery's ping over the worker's broker."""

    def __init__(self, broker_url: str) -> None:
        self._celery = Celery(broker=broker_url, set_as_current=False)

    def __call__(self) -> bool:
        try:
            return bool(self._celery.control.ping(timeout=PING_TIMEOUT_S, limit=1))
        except (RedisError, OSError):
            return False
