"""Which stocks the relayer should follow, and why: those that money depends on, those that are watched, and the largest by market value."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trading.database.tables import Holding, Order, Stock, WatchlistItem, table_of
from trading.market.subscriptions import Source

_ORDERS = table_of(Order)
_HOLDINGS = table_of(Holding)
_WATCHED = table_of(WatchlistItem)
_STOCKS = table_of(Stock)


def stocks_to_follow(session: Session, *, largest: int) -> dict[str, Source]:
    """Every stock with an open order, every held and every watched one, and the ``largest`` so many: product code and its most urgent source."""
    # An open order is due or in the book, or both. The highest price of each side's book is one look into its index, past all orders that were ever
    # finished; by their status all of those would be read.
    due = select(_ORDERS.c.stock_code).where(_ORDERS.c.wake_at.is_not(None)).distinct()
    in_book = (
        select(_ORDERS.c.stock_code)
        .with_hint(_ORDERS, "FORCE INDEX (ix_orders_book)", "mysql")
        .group_by(_ORDERS.c.stock_code, _ORDERS.c.side)
        .having(func.max(_ORDERS.c.book_price).is_not(None))
    )
    held = select(_HOLDINGS.c.stock_code).distinct()
    watched = select(_WATCHED.c.stock_code).distinct()
    by_market_value = (
        select(_STOCKS.c.code)
        .where(_STOCKS.c.status == "TRADABLE")
        .order_by(
            func.coalesce(_STOCKS.c.listed_shares * _STOCKS.c.reference_price, 0).desc(),
            _STOCKS.c.code,
        )
        .limit(largest)
    )
    found: dict[str, Source] = {}
    for source, wanted in (
        (Source.OPEN_ORDERS, due),
        (Source.OPEN_ORDERS, in_book),
        (Source.HOLDINGS, held),
        (Source.WATCHLISTS, watched),
        (Source.MARKET_VALUE, by_market_value),
    ):
        for code in session.scalars(wanted):
            found.setdefault(code, source)
    return found
