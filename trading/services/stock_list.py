"""The master data: bring a listing into the stocks table."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy.orm import Session

from trading.database.tables import Stock, table_of
from trading.database.upsert import upsert
from trading.market.listing import ListedStock

_BATCH = 500
_FROM_LISTING = (
    "isin",
    "name",
    "english_name",
    "market",
    "kind",
    "sector",
    "listed_shares",
    "reference_price",
    "updated_at",
)


def import_stocks(session: Session, listing: Sequence[ListedStock], *, now: datetime) -> int:
    """Insert or refresh every stock of a listing; a stock that the listing does not name stays. Returns how many were written.

    A stock's status is the operators' own and survives an import.
    """
    ordered = sorted(listing, key=lambda stock: stock.code)
    for start in range(0, len(ordered), _BATCH):
        rows = [{**asdict(stock), "status": "TRADABLE", "updated_at": now} for stock in ordered[start : start + _BATCH]]
        upsert(session, table_of(Stock), rows, update=_FROM_LISTING)
    return len(ordered)
