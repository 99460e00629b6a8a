"""Queries of stock master data: one stock by code, and a search over all stocks."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import NamedTuple, Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trading.db.transactions import Database
from trading.exchange.price_grid import LimitRules, Market, StockKind
from trading.stocks.errors import StockNotFound
from trading.stocks.model import StockStatus
from trading.stocks.search import FoundStock, StockIndex
from trading.stocks.tables import STOCK_ALIASES, STOCKS

# Interval at which a process checks whether another one changed the listing.
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
    """Listed issue. ``reference_price`` is the close (won) of the last import, of unknown date."""

    stock_code: str
    isin: str | None
    name: str
    english_name: str | None
    market: Market
    kind: StockKind
    sector: str | None
    status: StockStatus
    listed_shares: int | None
    reference_price: int | None
    leverage_percent: int
    listed_on: date | None
    in_liquidation: bool
    halted_at: datetime | None
    resumed_at: datetime | None

    @property
    def leverage(self) -> str:
        """The multiple of its index that a fund follows as decimal text, such as "-1.5"."""
        return f"{Decimal(self.leverage_percent) / 100:f}"

    @property
    def limit_rules(self) -> LimitRules:
        return limit_rules_of(self)


def get_stock(session: Session, code: str) -> StockRecord:
    """Return a stock by product code. Raises StockNotFound."""
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
        status=StockStatus(row.status),
        listed_shares=row.listed_shares,
        reference_price=row.reference_price,
        leverage_percent=row.leverage_percent,
        listed_on=row.listed_on,
        in_liquidation=row.in_liquidation,
        halted_at=row.halted_at,
        resumed_at=row.resumed_at,
    )


class StockAttributes(NamedTuple):
    """What a fill of a stock depends on. ``resumed_at`` is the end of its latest halt."""

    market: Market
    kind: StockKind
    status: StockStatus
    leverage_percent: int
    listed_on: date | None
    in_liquidation: bool
    resumed_at: datetime | None

    @property
    def limit_rules(self) -> LimitRules:
        return limit_rules_of(self)


# The columns of ``StockAttributes``, which also give the price limits (see ``limit_rules_of``).
ATTRIBUTE_COLUMNS = tuple(STOCKS.c[name] for name in StockAttributes._fields)


def load_stock_attributes(session: Session, codes: Iterable[str]) -> dict[str, StockAttributes]:
    """Return the attributes of stocks by product code."""
    rows = session.execute(
        select(STOCKS.c.code, *ATTRIBUTE_COLUMNS).where(STOCKS.c.code.in_(sorted(codes)))
    )
    return {
        code: StockAttributes(market, kind, StockStatus(status), *others)
        for code, market, kind, status, *others in rows
    }


class _LimitColumns(Protocol):
    """The columns of a stock that decide its price limits."""

    @property
    def market(self) -> Market: ...

    @property
    def kind(self) -> StockKind: ...

    @property
    def leverage_percent(self) -> int: ...

    @property
    def listed_on(self) -> date | None: ...

    @property
    def in_liquidation(self) -> bool: ...


def limit_rules_of(stock: _LimitColumns) -> LimitRules:
    """Return the price limit rules of a stock from its columns."""
    return LimitRules(
        kind=stock.kind,
        market=stock.market,
        leverage_percent=stock.leverage_percent,
        listed_on=stock.listed_on,
        in_liquidation=stock.in_liquidation,
    )


def listing_version(session: Session) -> list[tuple[object, ...]]:
    """Return a value that changes with every import, status change and change of an alias.

    Number of stocks and latest update per status, and the same of the aliases.
    """
    columns = STOCKS.c.status, func.count(), func.max(STOCKS.c.updated_at)
    stocks = session.execute(select(*columns).group_by(STOCKS.c.status).order_by("status"))
    aliases = session.execute(select(func.count(), func.max(STOCK_ALIASES.c.added_at)))
    return [tuple(row) for row in (*stocks, *aliases)]


class _Snapshot(NamedTuple):
    version: list[tuple[object, ...]]
    listing: StockIndex
    checked_at: datetime


class StockSearch:
    """In-memory search of master data at most two seconds old. Thread-safe; one per process."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._snapshot: _Snapshot | None = None
        self._refreshing = threading.Lock()

    def __call__(self, query: str, *, limit: int) -> list[FoundStock]:
        """Return up to ``limit`` stocks, best first (see ``StockIndex.search``).

        Raises DatabaseUnavailable if the listing cannot be checked.
        """
        return self._index().search(query, limit=limit)

    def _index(self) -> StockIndex:
        snapshot = self._snapshot
        # One thread refreshes; the others use the current listing and wait only if there is none.
        if snapshot is not None and (self._is_fresh(snapshot) or self._refreshing.locked()):
            return snapshot.listing
        with self._refreshing:
            snapshot = self._snapshot
            if snapshot is None or not self._is_fresh(snapshot):
                self._snapshot = snapshot = self._database.snapshot(
                    partial(self._refresh, snapshot=snapshot)
                )
            return snapshot.listing

    def _is_fresh(self, snapshot: _Snapshot) -> bool:
        # The absolute value covers a clock that was set back.
        return abs(self._clock() - snapshot.checked_at) < REFRESH_AFTER

    def _refresh(self, session: Session, snapshot: _Snapshot | None) -> _Snapshot:
        version = listing_version(session)
        listing = (
            snapshot.listing if snapshot and snapshot.version == version else _load_index(session)
        )
        return _Snapshot(version, listing, self._clock())


def _load_index(session: Session) -> StockIndex:
    aliases: defaultdict[str, list[str]] = defaultdict(list)
    for code, alias in session.execute(select(STOCK_ALIASES.c.stock_code, STOCK_ALIASES.c.alias)):
        aliases[code].append(alias)
    return StockIndex(
        FoundStock(
            code=row.code,
            name=row.name,
            english_name=row.english_name,
            market=row.market,
            kind=row.kind,
            status=StockStatus(row.status),
            market_value=(row.listed_shares or 0) * (row.reference_price or 0),
            aliases=tuple(aliases[row.code]),
        )
        for row in session.execute(_LISTED)
    )
