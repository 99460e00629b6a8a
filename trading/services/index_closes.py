"""Writing an index's closes. They may be written again: the last word counts."""

from collections.abc import Mapping
from datetime import date, datetime

from sqlalchemy.orm import Session

from trading.database.tables import IndexClose, table_of
from trading.database.upsert import upsert

_CLOSES = table_of(IndexClose)
_BATCH = 500


def record_index_closes(
    session: Session, index_code: str, closes: Mapping[date, int], *, now: datetime
) -> int:
    """Write closes (hundredths of a point, above 0) by day; how many they are."""
    rows = [
        {"index_code": index_code, "day": day, "close": close, "updated_at": now}
        for day, close in sorted(closes.items())
    ]
    for start in range(0, len(rows), _BATCH):
        upsert(session, _CLOSES, rows[start : start + _BATCH], update=("close", "updated_at"))
    return len(rows)
