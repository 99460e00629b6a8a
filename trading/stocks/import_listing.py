"""The master data: bring a listing into the stocks table, and look stocks up in it for the stages of an order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow
from trading.db.upsert import upsert
from trading.stocks.listing import ListedStock
from trading.stocks.tables import STOCKS

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
        rows = [
            {**asdict(stock), "status": "TRADABLE", "updated_at": now}
            for stock in ordered[start : start + _BATCH]
        ]
        upsert(session, STOCKS, rows, update=_FROM_LISTING)
    return len(ordered)


def stocks_of(session: Session, codes: Iterable[str]) -> Mapping[str, AnyRow]:
    """What a fill of these stocks depends on, by product code: market, kind and status."""
    rows = session.execute(
        select(STOCKS.c.code, STOCKS.c.market, STOCKS.c.kind, STOCKS.c.status).where(
            STOCKS.c.code.in_(sorted(codes))
        )
    )
    return {row.code: row for row in rows}
