"""Correct the exchange's calendar, as announced by the government or the exchange."""

from datetime import date, datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from trading.db.statements import execute_rowcount
from trading.db.upsert import upsert
from trading.exchange.hours import DayChange
from trading.exchange.tables import EXCHANGE_DAYS


def set_day_change(session: Session, change: DayChange, *, now: datetime) -> None:
    """Store the correction of one day, replacing an earlier one.

    Running processes apply it within 30 seconds.
    """
    row = {
        "day": change.day,
        "closed": change.closed,
        "delay_minutes": change.delay_minutes,
        "note": change.note,
        "updated_at": now,
    }
    upsert(session, EXCHANGE_DAYS, [row], update=("closed", "delay_minutes", "note", "updated_at"))


def remove_day_change(session: Session, day: date) -> bool:
    """Remove the correction of a day; return False if there was none."""
    return execute_rowcount(session, delete(EXCHANGE_DAYS).where(EXCHANGE_DAYS.c.day == day)) > 0
