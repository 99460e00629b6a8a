"""A file that workers and beat touch while their loop turns: its age tells whoever watches over a process, at no cost, that it does its work."""

from pathlib import Path
from typing import Any

import structlog
from celery.signals import heartbeat_sent

from workers.application import SETTINGS

log = structlog.get_logger(__name__)


# A worker's heart beats every two seconds, while it is connected to the broker.
@heartbeat_sent.connect
def touch_liveness_file(**_signal: Any) -> None:
    """Touch the file that the settings name, if they name one."""
    if SETTINGS.sign_of_life_file is None:
        return
    try:
        Path(SETTINGS.sign_of_life_file).touch()
    except OSError as refused:
        # Then the watcher will say that something is wrong; the work goes on.
        log.warning("liveness_file_error", reason=refused.strerror)
