"""The stocks' master data as a user sees it: one stock by its code, and a search through all of them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow
from trading.db.transactions import Database
from trading.exchange.price_grid import Market, StockKind
from trading.stocks.errors import StockNotFound
from trading.stocks.search import FoundStock, StockIndex
from trading.stocks.tables import STOCKS

# How long a process may go by a listing without a look whether another one changed it.
REFRESH_AFTER = timedelta(seconds=2)

_LISTED = select(
    STOCKS.c.code,
    STOCKS.c.name,
    STOCKS.c.english_name,
    STOCKS.c.market,
    STOCKS.c.kind,
    STOCKS.c.status,
    STOCKS.c.listed_shares,
    STOCKS.c.reference_price,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRecord:
    """A listed issue. ``reference_price`` is the close (won) of the listing that was imported last, whose day is not known."""

    stock_code: str
    isin: str | None
    name: str
    english_name: str | None
    market: Market
    kind: StockKind
    sector: str | None
    status: str
    listed_shares: int | None
    reference_price: int | None


def stock_of(session: Session, code: str) -> StockRecord:
    """One stock by its product code. Raises StockNotFound."""
    row = session.execute(select(STOCKS).where(STOCKS.c.code == code)).one_or_none()
    if row is None:
        raise StockNotFound(stock_code=code)
    return StockRecord(
        stock_code=row.code,
        isin=row.isin,
        name=row.name,
        english_name=row.english_name,
        market=row.market,
        kind=row.kind,
        sector=row.sector,
        status=row.status,
        listed_shares=row.listed_shares,
        reference_price=row.reference_price,
    )


def listing_version(session: Session) -> list[tuple[object, ...]]:
    """What differs after an import or a change of a stock's status: how many there are of each status, and when the last was written."""
    columns = STOCKS.c.status, func.count(), func.max(STOCKS.c.updated_at)
    return [
        tuple(row)
        for row in session.execute(select(*columns).group_by(STOCKS.c.status).order_by("status"))
    ]


class _Known(NamedTuple):
    version: list[tuple[object, ...]]
    listing: StockIndex
    looked_at: datetime


class StockSearch:
    """Searches the master data of two seconds ago at most, in memory. Safe to share between threads; make one for each process."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._known: _Known | None = None
        self._looking = threading.Lock()

    def __call__(self, query: str, *, limit: int) -> list[FoundStock]:
        """At most ``limit`` stocks, the best first (see ``StockIndex.search``). DatabaseUnavailable when a look at the database fails."""
        return self._now().search(query, limit=limit)

    def _now(self) -> StockIndex:
        known = self._known
        # One thread looks; the others go on with what is known, and wait only where nothing is.
        if known is not None and (self._is_fresh(known) or self._looking.locked()):
            return known.listing
        with self._looking:
            known = self._known
            if known is None or not self._is_fresh(known):
                self._known = known = self._database.snapshot(
                    lambda session: self._look(session, known)
                )
            return known.listing

    def _is_fresh(self, known: _Known) -> bool:
        # A clock that was set back must not keep an old listing alive until it has caught up.
        return abs(self._clock() - known.looked_at) < REFRESH_AFTER

    def _look(self, session: Session, known: _Known | None) -> _Known:
        version = listing_version(session)
        listing = (
            known.listing
            if known and known.version == version
            else StockIndex(map(_found, session.execute(_LISTED)))
        )
        return _Known(version, listing, self._clock())


def _found(row: AnyRow) -> FoundStock:
    return FoundStock(
        code=row.code,
        name=row.name,
        english_name=row.english_name,
        market=row.market,
        kind=row.kind,
        status=row.status,
        market_value=(row.listed_shares or 0) * (row.reference_price or 0),
    )
