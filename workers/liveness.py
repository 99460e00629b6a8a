"""Report workers and beat as running while their heartbeat goes on.

Each heartbeat also touches a file, for health checks by its age.
"""

import time
from pathlib import Path
from typing import Any

import structlog
from celery.signals import beat_init, heartbeat_sent, worker_ready

from trading.config.processes import ProcessKind
from trading.redis.running_processes import report_process
from workers.application import SETTINGS

log = structlog.get_logger(__name__)

_HEARTBEAT_MAX_S = 10.0
_last_heartbeat = [time.monotonic()]


# A worker sends a heartbeat every two seconds while it is connected to the broker.
@heartbeat_sent.connect
def touch_liveness_file(**_signal: Any) -> None:
    """Record a heartbeat, and touch the configured file, if any."""
    _last_heartbeat[0] = time.monotonic()
    if SETTINGS.liveness_file is None:
        return
    try:
        Path(SETTINGS.liveness_file).touch()
    except OSError as refused:
        # The health check will fail; the work goes on.
        log.warning("liveness_file_error", reason=refused.strerror)


@worker_ready.connect
def _report_worker(**_signal: Any) -> None:
    _report(ProcessKind.WORKER)


@beat_init.connect
def _report_beat(**_signal: Any) -> None:
    _report(ProcessKind.BEAT)


def _report(kind: ProcessKind) -> None:
    def works() -> bool:
        return time.monotonic() - _last_heartbeat[0] <= _HEARTBEAT_MAX_S

    report_process(kind, SETTINGS.redis_url.get_secret_value(), works=works)
