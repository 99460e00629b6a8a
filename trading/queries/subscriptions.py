"""Which stocks the relayer should follow: those that money depends on first, then the largest by market value, within a budget."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trading.database.tables import Holding, Order, Stock, table_of

_ORDERS = table_of(Order)
_HOLDINGS = table_of(Holding)
_STOCKS = table_of(Stock)


def codes_to_follow(session: Session, *, budget: int) -> list[str]:
    """At most ``budget`` product codes: stocks with open orders, then held ones, then the rest by market value."""
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
    largest = (
        select(_STOCKS.c.code)
        .where(_STOCKS.c.status == "TRADABLE")
        .order_by(func.coalesce(_STOCKS.c.listed_shares * _STOCKS.c.reference_price, 0).desc(), _STOCKS.c.code)
        .limit(budget)
    )
    found: dict[str, None] = {}
    for wanted in (due, in_book, held, largest):
        # A stock may be in the book on both sides, so twice as many rows may be needed.
        found.update(dict.fromkeys(session.scalars(wanted.limit(2 * budget))))
        if len(found) >= budget:
            break
    return list(found)[:budget]
