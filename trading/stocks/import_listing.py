"""Import of a stock listing into the stocks table."""

from collections.abc import Sequence
from dataclasses import asdict

from trading.db.upsert import upsert
from trading.stocks.listing import ListedStock
from trading.stocks.model import StockStatus
from trading.stocks.tables import STOCKS
from trading.unit_of_work import UnitOfWork

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


def import_stocks(uow: UnitOfWork, listing: Sequence[ListedStock]) -> int:
    """Insert or update every stock of a listing and return their number.

    Stocks missing in the listing are kept. The status of a stock is set by operators and not
    changed.
    """
    session, now = uow.session, uow.now
    ordered = sorted(listing, key=lambda stock: stock.code)
    for start in range(0, len(ordered), _BATCH):
        rows = [
            {**asdict(stock), "status": StockStatus.TRADABLE, "updated_at": now}
            for stock in ordered[start : start + _BATCH]
        ]
        upsert(session, STOCKS, rows, update=_FROM_LISTING)
    return len(ordered)
