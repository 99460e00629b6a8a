"""Which stocks the relayer should follow: those that money depends on first, then the largest by market value, within a budget."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trading.database.tables import Holding, Order, Stock, table_of
from trading.rules.orders import OPEN_STATUSES

_ORDERS = table_of(Order)
_HOLDINGS = table_of(Holding)
_STOCKS = table_of(Stock)


def codes_to_follow(session: Session, *, budget: int) -> list[str]:
    """At most ``budget`` product codes: stocks with open orders, then held ones, then the rest by market value."""
    ordered = select(_ORDERS.c.stock_code).where(_ORDERS.c.status.in_(OPEN_STATUSES)).distinct()
    held = select(_HOLDINGS.c.stock_code).distinct()
    largest = (
        select(_STOCKS.c.code)
        .where(_STOCKS.c.status == "TRADABLE")
        .order_by(func.coalesce(_STOCKS.c.listed_shares * _STOCKS.c.reference_price, 0).desc(), _STOCKS.c.code)
        .limit(budget)
    )
    found: dict[str, None] = {}
    for wanted in (ordered, held, largest):
        found.update(dict.fromkeys(session.scalars(wanted.limit(budget))))
        if len(found) >= budget:
            break
    return list(found)[:budget]
