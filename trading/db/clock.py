"""Use the database's time in all processes instead of each machine's clock.

Between two readings a process uses a monotonic clock. So a machine with a wrong time neither takes
an old price for a fresh one, nor ends a day early, nor postpones work to its own tomorrow.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pymysql
import structlog
from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError

log = structlog.get_logger(__name__)

# Interval of readings, made along with other use of a connection.
REFRESH_AFTER = timedelta(seconds=30)
# Pause between attempts until the first reading succeeds.
RETRY_AFTER = timedelta(seconds=1)
# Accepted difference of two readings beyond half of the round trip.
TOLERANCE = timedelta(milliseconds=5)
# Log a warning if the machine's clock differs by more than this.
OFFSET_LIMIT = timedelta(seconds=1)

_READ_TIME = "SELECT UTC_TIMESTAMP(6)"


def utc_now() -> datetime:
    """Return this machine's time."""
    return datetime.now(UTC)


class DatabaseClock:
    """Clock of the server behind `engine`; this machine's until it is read. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._origin: datetime | None = None
        self._sync_at = timedelta(0)
        event.listen(engine, "checkout", self._on_checkout)

    def __call__(self) -> datetime:
        if self._origin is None and _running() >= self._sync_at:
            # Checking out a connection reads the clock. If that fails, the caller's statements fail
            # too.
            with suppress(SQLAlchemyError), self._engine.connect():
                pass
        return utc_now() if self._origin is None else self._origin + _running()

    def calibrate(self, server_time: datetime, *, sent: timedelta, received: timedelta) -> None:
        """Apply the reading `server_time`, made between `sent` and `received`.

        Both are values of `_running`. A reading that agrees within its uncertainty changes nothing.
        """
        origin, uncertainty = server_time - (sent + received) / 2, (received - sent) / 2
        self._sync_at = received + REFRESH_AFTER
        if self._origin is not None and abs(origin - self._origin) <= uncertainty + TOLERANCE:
            return
        self._origin = origin
        if abs(off := utc_now() - self()) > OFFSET_LIMIT:
            log.warning("clock_skew", off_s=round(off.total_seconds(), 1))

    def _on_checkout(self, connection: Any, _record: object, _proxy: object) -> None:
        if (sent := _running()) < self._sync_at:
            return
        self._sync_at = sent + RETRY_AFTER
        # If the connection is lost, its next statement raises.
        with suppress(pymysql.Error), connection.cursor() as cursor:
            cursor.execute(_READ_TIME)
            (server_time,) = cursor.fetchone()
            self.calibrate(server_time.replace(tzinfo=UTC), sent=sent, received=_running())
            connection.rollback()


def _running() -> timedelta:
    """Return the time since the machine's start, including sleep; a clock that cannot be set."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return timedelta(microseconds=time.clock_gettime_ns(clock) // 1_000)
