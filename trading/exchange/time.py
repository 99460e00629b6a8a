"""The exchange's own day. Everywhere else times are UTC; only here does Korea's clock count."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

KST = ZoneInfo("Asia/Seoul")


def trade_date(at: datetime) -> date:
    """The calendar day in Korea at an aware instant: the day whose fees and taxes apply."""
    if at.tzinfo is None:
        raise ValueError("An instant without an offset is no instant.")
    return at.astimezone(KST).date()
