"""Import of a stock listing into the stocks table."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby

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
# Most files do not state these: a new stock gets these values, any other keeps what it has.
_UNSTATED = {"leverage_percent": 100, "listed_on": None, "in_liquidation": False}
# A listing never changes these.
_NEW = {"status": StockStatus.TRADABLE, "halted_at": None, "resumed_at": None}


def import_stocks(uow: UnitOfWork, listing: Sequence[ListedStock]) -> int:
    """Insert or update every stock of a listing and return their number.

    Stocks missing in the listing are kept. The status of a stock is set by operators and not
    changed.
    """
    ordered = sorted(listing, key=lambda stock: stock.code)
    for stated, stocks in groupby(ordered, key=_stated):
        rows = [_row(stock, now=uow.now) for stock in stocks]
        for start in range(0, len(rows), _BATCH):
            upsert(
                uow.session,
                STOCKS,
                rows[start : start + _BATCH],
                update=(*_FROM_LISTING, *stated),
            )
    return len(ordered)


def _stated(stock: ListedStock) -> tuple[str, ...]:
    return tuple(name for name in _UNSTATED if getattr(stock, name) is not None)


def _row(stock: ListedStock, *, now: datetime) -> dict[str, object]:
    columns = asdict(stock)
    unstated = {name: value for name, value in _UNSTATED.items() if columns[name] is None}
    return {**columns, **unstated, **_NEW, "updated_at": now}
