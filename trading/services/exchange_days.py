"""Correct the exchange's calendar, as the government or the exchange announces it."""

from datetime import date, datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from trading.database.rows import rows_changed
from trading.database.tables import ExchangeDay, table_of
from trading.database.upsert import upsert
from trading.rules.market_hours import DayChange

_DAYS = table_of(ExchangeDay)


def set_day(session: Session, change: DayChange, *, now: datetime) -> None:
    """Correct one day, in place of what was said of it before. Running processes go by it within half a minute."""
    row = {
        "day": change.day,
        "closed": change.closed,
        "delay_minutes": change.delay_minutes,
        "note": change.note,
        "updated_at": now,
    }
    upsert(session, _DAYS, [row], update=("closed", "delay_minutes", "note", "updated_at"))


def forget_day(session: Session, day: date) -> bool:
    """Take a correction back: the day is again as the calendar computes it. False when there was none."""
    return rows_changed(session, delete(_DAYS).where(_DAYS.c.day == day)) > 0
