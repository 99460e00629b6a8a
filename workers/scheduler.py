"""Beat's scheduler: of several beats one sends, the others stand by and take over when it is gone.

Two that send for a moment do no harm, as every task may run twice; they would only double the work of the queues. So a lock that expires is enough.
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

# After how long without a sign of life a beat is succeeded, and how often it gives one. No periodic task is sent for as long.
LOCK_TTL_S = 5.0
TURN_S = 1.0


class SingletonScheduler(PersistentScheduler):
    """Celery's own scheduler, for the beat that holds the lock at the broker."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        broker = connect_broker(SETTINGS.broker_url)
        self._lock = Lock(broker, keys.BEAT_LOCK, timeout=LOCK_TTL_S, blocking=False)
        # The lock says to operators whose it is; the last part tells it from another process of the same number.
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._sends: bool | None = None
        super().__init__(*arguments, **options)

    @property
    def sends(self) -> bool:
        """Whether this is the beat that sends, by its last turn."""
        return bool(self._sends)

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Send what is due, where this is the beat that sends; the seconds until the next turn."""
        touch_liveness_file()
        sends = self._hold()
        if sends is not self._sends:
            self._sends = sends
            log.info("beat_active" if sends else "beat_standby")
        return min(super().tick(*arguments, **options), TURN_S) if sends else TURN_S

    def apply_async(self, entry: ScheduleEntry, *arguments: Any, **options: Any) -> Any:
        """Send the message of one periodic task, and count it."""
        sent = super().apply_async(entry, *arguments, **options)
        instruments.record(instruments.BEAT_MESSAGES, entry.task)
        return sent

    def close(self) -> None:
        """Leave the lock to the next beat at once."""
        super().close()
        # Without Redis, or where another has the lock by now, there is nothing to leave.
        with suppress(RedisError):
            self._lock.release()

    def _hold(self) -> bool:
        """Whether the lock is this beat's, for another span. While the broker is away it is nobody's: nothing could be sent."""
        try:
            # It is no longer held where it expired, or Redis was emptied.
            with suppress(LockError):
                return bool(self._lock.reacquire())
            return bool(self._lock.acquire(token=self._name))
        except RedisError:
            return False
