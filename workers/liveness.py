"""Touch a liveness file on every heartbeat, for file-age health checks of workers and beat."""

from pathlib import Path
from typing import Any

import structlog
from celery.signals import heartbeat_sent

from workers.application import SETTINGS

log = structlog.get_logger(__name__)


# A worker sends a heartbeat every two seconds while it is connected to the broker.
@heartbeat_sent.connect
def touch_liveness_file(**_signal: Any) -> None:
    """Touch the configured file, if any."""
    if SETTINGS.liveness_file is None:
        return
    try:
        Path(SETTINGS.liveness_file).touch()
    except OSError as refused:
        # The health check will fail; the work goes on.
        log.warning("liveness_file_error", reason=refused.strerror)
