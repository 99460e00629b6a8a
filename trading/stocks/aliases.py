"""Aliases: other names by which people search a stock."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from trading.stocks.queries import get_stock
from trading.stocks.tables import STOCK_ALIASES, STOCKS
from trading.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class StockAlias:
    """``stock_name`` is None if the stock is not in the master data."""

    alias: str
    stock_code: str
    stock_name: str | None


def list_aliases(session: Session) -> Sequence[StockAlias]:
    """Return all aliases by stock code and alias."""
    columns = STOCK_ALIASES.c.alias, STOCK_ALIASES.c.stock_code, STOCKS.c.name
    rows = session.execute(
        select(*columns)
        .outerjoin_from(STOCK_ALIASES, STOCKS, STOCKS.c.code == STOCK_ALIASES.c.stock_code)
        .order_by(STOCK_ALIASES.c.stock_code, STOCK_ALIASES.c.alias)
    )
    return [StockAlias(alias=alias, stock_code=code, stock_name=name) for alias, code, name in rows]


def add_alias(uow: UnitOfWork, *, stock_code: str, alias: str) -> bool:
    """Add a cleaned alias; return False if the stock has it already. Raises StockNotFound."""
    get_stock(uow.session, stock_code)
    row = {"stock_code": stock_code, "alias": alias}
    known = select(STOCK_ALIASES.c.alias).filter_by(**row)
    if uow.session.execute(known).one_or_none() is not None:
        return False
    uow.session.execute(insert(STOCK_ALIASES).values(**row, added_at=uow.now))
    return True


def remove_alias(uow: UnitOfWork, *, stock_code: str, alias: str) -> bool:
    """Remove an alias; return False if the stock has no such alias."""
    removed = uow.session.execute(
        delete(STOCK_ALIASES).where(
            STOCK_ALIASES.c.stock_code == stock_code, STOCK_ALIASES.c.alias == alias
        )
    )
    return bool(removed.rowcount)  # type: ignore[attr-defined]
