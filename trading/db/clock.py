"""The database's time, which is the time of everybody who works with its rows: one clock, instead of one for each machine.

Between two looks at it a process goes by a clock of its own that nobody sets. So a machine whose time is wrong neither takes an old price for a fresh one,
nor ends a day early, nor puts off work until its own tomorrow.
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

# How often a process looks again, along with something else that it asks the database.
REFRESH_AFTER = timedelta(seconds=30)
# How long it goes by its own clock before it tries again to look for the first time.
RETRY_AFTER = timedelta(seconds=1)
# What two looks may differ by because of the way there and back, besides what that took.
TOLERANCE = timedelta(milliseconds=5)
# From here on a machine's clock is called wrong.
OFFSET_LIMIT = timedelta(seconds=1)

_ASK = "SELECT UTC_TIMESTAMP(6)"


def utc_now() -> datetime:
    """This machine's time."""
    return datetime.now(UTC)


class DatabaseClock:
    """Tells the time of the server behind ``engine``, or this machine's for as long as that can't be asked. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._origin: datetime | None = None
        self._look_at = timedelta(0)
        event.listen(engine, "checkout", self._on_checkout)

    def __call__(self) -> datetime:
        if self._origin is None and _running() >= self._look_at:
            # To have a connection is to look. Without one the caller's own statements will fail in their own way.
            with suppress(SQLAlchemyError), self._engine.connect():
                pass
        return utc_now() if self._origin is None else self._origin + _running()

    def learn(self, told: datetime, *, asked: timedelta, answered: timedelta) -> None:
        """Take in what the server told, at some time between ``asked`` and ``answered``, which are ``_running`` then."""
        origin, doubt = told - (asked + answered) / 2, (answered - asked) / 2
        self._look_at = answered + REFRESH_AFTER
        if self._origin is not None and abs(origin - self._origin) <= doubt + TOLERANCE:
            return
        self._origin = origin
        if abs(off := utc_now() - self()) > OFFSET_LIMIT:
            log.warning("clock_skew", off_s=round(off.total_seconds(), 1))

    def _on_checkout(self, connection: Any, _record: object, _proxy: object) -> None:
        if (asked := _running()) < self._look_at:
            return
        self._look_at = asked + RETRY_AFTER
        # Where the connection is lost, whoever is about to use it finds out by himself.
        with suppress(pymysql.Error), connection.cursor() as cursor:
            cursor.execute(_ASK)
            (told,) = cursor.fetchone()
            self.learn(told.replace(tzinfo=UTC), asked=asked, answered=_running())
            connection.rollback()


def _running() -> timedelta:
    """How long this machine has been running, asleep or not; nobody sets that clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return timedelta(microseconds=time.clock_gettime_ns(clock) // 1_000)
