"""The operators' corrections of the exchange's calendar, and the hours of the market with them."""

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

# How old the corrections may be that a process goes by.
REFRESH_AFTER = timedelta(seconds=30)


def day_changes(session: Session) -> dict[date, DayChange]:
    """All corrections, by day."""
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
    looked_at: datetime


class MarketHoursProvider:
    """The exchange's hours with the corrections of half a minute ago at most. Safe to share between threads; make one for each process.

    While the database is away the last known corrections count, and before any were read the computed calendar alone.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._known: _Known | None = None
        self._looking = threading.Lock()

    def now(self) -> KrxHours:
        """The hours to go by now. It may read the database: not to be called inside a transaction."""
        known = self._known
        # One thread looks; the others go on with what is known, and wait only where nothing is.
        if known is not None and (self._is_fresh(known) or self._looking.locked()):
            return known.hours
        with self._looking:
            known = self._known
            if known is None or not self._is_fresh(known):
                self._known = known = self._look(known)
            return known.hours

    def _is_fresh(self, known: _Known) -> bool:
        # A clock that was set back must not keep old corrections alive until it has caught up.
        return abs(self._clock() - known.looked_at) < REFRESH_AFTER

    def _look(self, known: _Known | None) -> _Known:
        try:
            changes = self._database.read(day_changes)
        except (DatabaseUnavailable, SQLAlchemyError) as fault:
            log.warning(
                "exchange_days_unreadable", known=known is not None, reason=type(fault).__name__
            )
            changes = known.changes if known else {}
        hours = known.hours if known and known.changes == changes else KrxHours(changes)
        return _Known(changes, hours, self._clock())
