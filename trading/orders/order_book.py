"""Find the orders in the book that the traded prices may fill."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.marketdata.stock_codes import product_code
from trading.orders.tables import ORDERS

# The cost of a statement is the optimizer's work on its ranges, which grows faster than their
# number; with few of them, round trips cost more.
_STOCKS_PER_STATEMENT = 50


@dataclass(frozen=True, slots=True)
class TradedRange:
    """The lowest and the highest price (won) at which a stock was traded since the last run."""

    code: str
    low: int
    high: int


def orders_crossed(session: Session, traded: Sequence[TradedRange]) -> list[UUID]:
    """Return the orders in the book that these prices meet.

    Buys at or above a stock's lowest price, sales at or below its highest.
    """
    connection = session.connection()
    hint = "" if connection.dialect.name == "sqlite" else "FORCE INDEX (ix_orders_book)"
    found: list[UUID] = []
    for start in range(0, len(traded), _STOCKS_PER_STATEMENT):
        # Codes and prices are part of the text: binding thousands of parameters costs more than
        # running the statement. _met_by accepts only product codes and whole numbers.
        met = _met_by(traded[start : start + _STOCKS_PER_STATEMENT])
        rows = connection.exec_driver_sql(f"SELECT id FROM orders {hint} WHERE {met}")  # noqa: S608
        found += [UUID(bytes=bytes(row.id)) for row in rows]
    return found


def _met_by(traded: Sequence[TradedRange]) -> str:
    if not all(product_code(stock.code) == stock.code for stock in traded):
        raise ValueError("Not a product code.")
    buys = " OR ".join(
        f"stock_code = '{stock.code}' AND book_price >= {stock.low:d}" for stock in traded
    )
    sales = " OR ".join(
        f"stock_code = '{stock.code}' AND book_price <= {stock.high:d}" for stock in traded
    )
    return f"side = 'BUY' AND ({buys}) OR side = 'SELL' AND ({sales})"


def orders_awaiting_first_print(session: Session, codes: Collection[str]) -> list[UUID]:
    """Return the orders on these stocks that await their first print."""
    awaiting_first_print = (
        select(ORDERS.c.stock_code).where(ORDERS.c.awaiting_first_print == 1).distinct()
    )
    waited_for = sorted(set(session.scalars(awaiting_first_print)).intersection(codes))
    if not waited_for:
        return []
    orders = select(ORDERS.c.id).where(
        ORDERS.c.awaiting_first_print == 1, ORDERS.c.stock_code.in_(waited_for)
    )
    return list(session.scalars(orders))
