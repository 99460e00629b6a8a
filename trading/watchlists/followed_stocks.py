"""Choose the stocks that the relayer follows: open orders, holdings, watchlists, market value."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trading.ledger.tables import PORTFOLIOS
from trading.marketdata.subscriptions import SubscriptionSource
from trading.orders.tables import ORDERS
from trading.stocks.model import StockStatus
from trading.stocks.tables import STOCKS
from trading.watchlists.tables import WATCHLIST_ITEMS


def stocks_to_follow(session: Session, *, largest: int) -> dict[str, SubscriptionSource]:
    """Return the product codes to follow, each with its most urgent source.

    These are all stocks with an open order, all held and all watched ones, and the `largest` stocks
    by market value. Delisted stocks are left out: no trade of them can come.
    """
    # An open order is due or in the book, or both. The highest price per side is one index lookup;
    # a search by status would read all finished orders.
    due = select(ORDERS.c.stock_code).where(ORDERS.c.next_attempt_at.is_not(None)).distinct()
    in_book = (
        select(ORDERS.c.stock_code)
        .with_hint(ORDERS, "FORCE INDEX (ix_orders_book)", "mysql")
        .group_by(ORDERS.c.stock_code, ORDERS.c.side)
        .having(func.max(ORDERS.c.book_price).is_not(None))
    )
    held = select(PORTFOLIOS.c.stock_code).distinct()
    watched = select(WATCHLIST_ITEMS.c.stock_code).distinct()
    by_market_value = (
        select(STOCKS.c.code)
        .where(STOCKS.c.status == StockStatus.TRADABLE)
        .order_by(
            func.coalesce(STOCKS.c.listed_shares * STOCKS.c.reference_price, 0).desc(),
            STOCKS.c.code,
        )
        .limit(largest)
    )
    delisted = set(
        session.scalars(select(STOCKS.c.code).where(STOCKS.c.status == StockStatus.DELISTED))
    )
    found: dict[str, SubscriptionSource] = {}
    for source, wanted in (
        (SubscriptionSource.OPEN_ORDERS, due),
        (SubscriptionSource.OPEN_ORDERS, in_book),
        (SubscriptionSource.HOLDINGS, held),
        (SubscriptionSource.WATCHLISTS, watched),
        (SubscriptionSource.MARKET_VALUE, by_market_value),
    ):
        for code in session.scalars(wanted):
            if code not in delisted:
                found.setdefault(code, source)
    return found
