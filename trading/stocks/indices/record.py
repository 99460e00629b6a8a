"""Record closes of an index. Existing closes are replaced."""

from collections.abc import Mapping
from datetime import date

from trading.db.upsert import upsert
from trading.stocks.indices.tables import INDEX_CLOSES
from trading.unit_of_work import UnitOfWork

_BATCH = 500


def record_index_closes(uow: UnitOfWork, index_code: str, closes: Mapping[date, int]) -> int:
    """Write closes (hundredths of a point, above 0) by day; return their number."""
    session, now = uow.session, uow.now
    rows = [
        {"index_code": index_code, "day": day, "close": close, "updated_at": now}
        for day, close in sorted(closes.items())
    ]
    for start in range(0, len(rows), _BATCH):
        upsert(session, INDEX_CLOSES, rows[start : start + _BATCH], update=("close", "updated_at"))
    return len(rows)
