"""Market hours with the operators' corrections of the calendar, refreshed from the database."""

import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from trading.db.transactions import Database, DatabaseUnavailable
from trading.exchange.hours import DayChange, KrxHours
from trading.exchange.tables import EXCHANGE_DAYS

log = structlog.get_logger(__name__)

# The maximum age of the corrections that a process uses.
REFRESH_AFTER = timedelta(seconds=30)


def get_day_changes(session: Session) -> dict[date, DayChange]:
    """Return all corrections, by day."""
    rows = session.execute(
        select(
            EXCHANGE_DAYS.c.day,
            EXCHANGE_DAYS.c.closed,
            EXCHANGE_DAYS.c.delay_minutes,
            EXCHANGE_DAYS.c.note,
        )
    )
    return {row.day: DayChange(row.day, row.closed, row.delay_minutes, row.note) for row in rows}


class _Known(NamedTuple):
    changes: dict[date, DayChange]
    hours: KrxHours
    read_at: datetime


class MarketHoursProvider:
    """The exchange's hours with corrections that are at most 30 seconds old.

    Safe to share between threads; create one for each process. While the database is unavailable
    the last known corrections are used, and before any were read the computed calendar alone.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._known: _Known | None = None
        self._refreshing = threading.Lock()

    def now(self) -> KrxHours:
        """Return the current hours.

        It may read the database: do not call it inside a transaction.
        """
        known = self._known
        # One thread refreshes. The others use what is known, and wait only if nothing is known yet.
        if known is not None and (self._is_fresh(known) or self._refreshing.locked()):
            return known.hours
        with self._refreshing:
            known = self._known
            if known is None or not self._is_fresh(known):
                self._known = known = self._refresh(known)
            return known.hours

    def _is_fresh(self, known: _Known) -> bool:
        # abs: after the clock was set back, old corrections must not stay valid until it has caught
        # up.
        return abs(self._clock() - known.read_at) < REFRESH_AFTER

    def _refresh(self, known: _Known | None) -> _Known:
        try:
            changes = self._database.read(get_day_changes)
        except (DatabaseUnavailable, SQLAlchemyError) as fault:
            log.warning(
                "exchange_days_unreadable", known=known is not None, reason=type(fault).__name__
            )
            changes = known.changes if known else {}
        hours = known.hours if known and known.changes == changes else KrxHours(changes)
        return _Known(changes, hours, self._clock())
