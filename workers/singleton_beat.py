"""Beat's scheduler: one of several beats sends; the others are standbys.

Two beats that send for a moment are harmless, as every task may run twice; they only double the
queues' load. So an expiring lock suffices.
"""

import os
import socket
from contextlib import suppress
from typing import Any
from uuid import uuid4

import structlog
from celery.beat import PersistentScheduler, ScheduleEntry
from redis import RedisError
from redis.exceptions import LockError
from redis.lock import Lock

from trading.observability.metrics import instruments
from trading.redis import keys
from trading.redis.client import connect_broker
from workers.application import SETTINGS
from workers.liveness import touch_liveness_file

log = structlog.get_logger(__name__)

# Lifetime of the lock after its last renewal, and the period of renewals. No periodic task is sent
# while the lock is free.
LOCK_TTL_S = 5.0
TURN_S = 1.0


class SingletonScheduler(PersistentScheduler):
    """Celery's persistent scheduler, active only while it holds a lock at the broker."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        broker = connect_broker(SETTINGS.broker_url)
        self._lock = Lock(broker, keys.BEAT_LOCK, timeout=LOCK_TTL_S, blocking=False)
        # Names the holder for operators; the random part distinguishes processes with the same pid.
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._sends: bool | None = None
        super().__init__(*arguments, **options)

    @property
    def sends(self) -> bool:
        """Return True if this beat held the lock at its last turn."""
        return bool(self._sends)

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Send due messages if this beat holds the lock; return the seconds until the next turn."""
        touch_liveness_file()
        sends = self._acquire_or_renew()
        if sends is not self._sends:
            self._sends = sends
            log.info("beat_active" if sends else "beat_standby")
        return min(super().tick(*arguments, **options), TURN_S) if sends else TURN_S

    def apply_async(self, entry: ScheduleEntry, *arguments: Any, **options: Any) -> Any:
        """Send and count one periodic task's message."""
        sent = super().apply_async(entry, *arguments, **options)
        instruments.record(instruments.BEAT_MESSAGES, entry.task)
        return sent

    def close(self) -> None:
        """Release the lock for the next beat."""
        super().close()
        # Nothing to release without Redis, or if another beat holds the lock.
        with suppress(RedisError):
            self._lock.release()

    def _acquire_or_renew(self) -> bool:
        """Acquire or renew the lock. Returns False without the broker: nothing could be sent."""
        try:
            # The lock is gone if it expired or Redis was emptied.
            with suppress(LockError):
                return bool(self._lock.reacquire())
            return bool(self._lock.acquire(token=self._name))
        except RedisError:
            return False
