"""The exchange's day in Korean time. All other times are in UTC."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

KST = ZoneInfo("Asia/Seoul")


def trade_date(at: datetime) -> date:
    """Return the calendar day in Korea at an aware instant, whose fees and taxes apply."""
    if at.tzinfo is None:
        raise ValueError("An instant without an offset is no instant.")
    return at.astimezone(KST).date()


def kst_text(at: datetime, *, timespec: str = "seconds") -> str:
    """Return a time for people: ``2026-11-30 09:00:00+09:00``."""
    return at.astimezone(KST).isoformat(sep=" ", timespec=timespec)
