"""Correct the exchange's calendar, as the government or the exchange announces it."""

from datetime import date, datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from trading.db.statements import execute_rowcount
from trading.db.upsert import upsert
from trading.exchange.hours import DayChange
from trading.exchange.tables import EXCHANGE_DAYS


def set_day(session: Session, change: DayChange, *, now: datetime) -> None:
    """Correct one day, in place of what was said of it before. Running processes go by it within half a minute."""
    row = {
        "day": change.day,
        "closed": change.closed,
        "delay_minutes": change.delay_minutes,
        "note": change.note,
        "updated_at": now,
    }
    upsert(session, EXCHANGE_DAYS, [row], update=("closed", "delay_minutes", "note", "updated_at"))


def forget_day(session: Session, day: date) -> bool:
    """Take a correction back: the day is again as the calendar computes it. False when there was none."""
    return execute_rowcount(session, delete(EXCHANGE_DAYS).where(EXCHANGE_DAYS.c.day == day)) > 0
