"""Find the orders in the book that the traded prices may fill."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from trading.exchange.order_types import OrderType, Side
from trading.exchange.price_grid import PriceRange
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


def extreme_price(side: Side) -> int:
    """Return the book price of a market order (won), which every trade meets."""
    return 10**15 if side is Side.BUY else 0


class NewInBook(NamedTuple):
    """An order that entered the book; no trade up to ``accepted_position`` fills it."""

    id: UUID
    stock_code: str
    accepted_position: int


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


def orders_outside(session: Session, limits: Mapping[str, PriceRange]) -> list[UUID]:
    """Return the limit orders in the book whose price is outside the day's limits of their stock.

    ``limits`` are by product code.
    """
    found: list[UUID] = []
    codes = sorted(limits)
    is_limit = ORDERS.c.order_type == OrderType.LIMIT
    for start in range(0, len(codes), _STOCKS_PER_STATEMENT):
        outside = [
            (ORDERS.c.stock_code == code) & _is_outside(limits[code])
            for code in codes[start : start + _STOCKS_PER_STATEMENT]
        ]
        found += session.scalars(select(ORDERS.c.id).where(is_limit, or_(*outside)))
    return found


def _is_outside(limits: PriceRange) -> ColumnElement[bool]:
    below = ORDERS.c.book_price < limits.lower
    return below if limits.upper is None else below | (ORDERS.c.book_price > limits.upper)


def orders_new_in_book(session: Session) -> list[NewInBook]:
    """Return the orders that entered the book and that no matcher has read yet."""
    query = select(ORDERS.c.id, ORDERS.c.stock_code, ORDERS.c.accepted_position)
    return [
        NewInBook._make(row) for row in session.execute(query.where(ORDERS.c.is_new_in_book == 1))
    ]


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
