"""The book: orders that wait for a trade, found by the prices that were traded."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from trading.database.tables import Order, table_of
from trading.database.types import Id
from trading.rules.stock_codes import product_code

_ORDERS = table_of(Order)

# A statement's ranges are read in one pass of the index. More of them in one statement gain nothing, and optimizers bound what they look at.
_STOCKS_PER_STATEMENT = 250


@dataclass(frozen=True, slots=True)
class Traded:
    """The lowest and the highest price (won) at which a stock was traded since the last look."""

    code: str
    low: int
    high: int


def crossed_orders(session: Session, traded: Sequence[Traded]) -> list[UUID]:
    """The orders in the book that these prices meet: buys at or above a stock's low, sales at or below its high."""
    hint = "" if session.get_bind().dialect.name == "sqlite" else "FORCE INDEX (ix_orders_book)"
    found: list[UUID] = []
    for start in range(0, len(traded), _STOCKS_PER_STATEMENT):
        ranges = " OR ".join(one for stock in traded[start : start + _STOCKS_PER_STATEMENT] for one in _ranges(stock))
        # Codes and prices stand in the text itself, as thousands of parameters cost more to bind than the statement to run: _ranges lets
        # nothing through but codes and whole numbers.
        statement = text(f"SELECT id FROM orders {hint} WHERE {ranges}").columns(id=Id)  # noqa: S608
        found.extend(session.scalars(statement))
    return found


def _ranges(stock: Traded) -> Iterator[str]:
    if product_code(stock.code) != stock.code:
        raise ValueError("Not a product code.")
    for side, bound in (("BUY", f">= {stock.low:d}"), ("SELL", f"<= {stock.high:d}")):
        yield f"(stock_code = '{stock.code}' AND side = '{side}' AND book_price {bound})"


def arriving_orders(session: Session, codes: Collection[str]) -> list[UUID]:
    """The orders on these stocks of which no trade has shown yet whether they are marketable."""
    arriving = select(_ORDERS.c.stock_code).where(_ORDERS.c.arriving == 1).distinct()
    waited_for = sorted(set(session.scalars(arriving)).intersection(codes))
    if not waited_for:
        return []
    orders = select(_ORDERS.c.id).where(_ORDERS.c.arriving == 1, _ORDERS.c.stock_code.in_(waited_for))
    return list(session.scalars(orders))
