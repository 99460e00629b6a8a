"""Realized profit of a user's sales, grouped by time or by stock.

The database adds up the profits stored with the executions.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, and_, asc, desc, func, select
from sqlalchemy.orm import Session

from trading.db.sql_functions import korean_day
from trading.orders.tables import ORDER_EXECUTIONS
from trading.pagination import Page, page_of
from trading.portfolio.trade_statistics import fills_condition
from trading.stocks.tables import STOCKS

_DAY = korean_day(ORDER_EXECUTIONS.c.executed_at)


class Grouping(StrEnum):
    """Grouping of sales: by day, month or year in Korea, or by stock."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    STOCK = "stock"


# A day is text (YYYY-MM-DD), so its first characters are its month and its year.
_KEYS: dict[Grouping, ColumnElement[str]] = {
    Grouping.DAY: _DAY,
    Grouping.MONTH: func.substr(_DAY, 1, 7),
    Grouping.YEAR: func.substr(_DAY, 1, 4),
    Grouping.STOCK: ORDER_EXECUTIONS.c.stock_code,
}

_SUMS = tuple(
    func.coalesce(func.sum(amount), 0).label(name)
    for name, amount in (
        ("quantity", ORDER_EXECUTIONS.c.quantity),
        ("sold_amount", ORDER_EXECUTIONS.c.amount),
        ("commission", ORDER_EXECUTIONS.c.commission),
        ("tax", ORDER_EXECUTIONS.c.transaction_tax + ORDER_EXECUTIONS.c.rural_tax),
        ("cost", ORDER_EXECUTIONS.c.cost),
        ("buy_commission", ORDER_EXECUTIONS.c.buy_commission),
        ("realized_profit", ORDER_EXECUTIONS.c.realized_profit),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealizedProfit:
    """Sums over a group of sales (shares, won).

    ``realized_profit`` is ``sold_amount`` less commission, tax, and the cost and buy commission of
    the sold shares. ``key`` is the day, month, year or stock code; ``stock_name`` is set if the
    group is a stock. Both are None for the totals.
    """

    key: str | None
    stock_name: str | None
    executions: int
    quantity: int
    sold_amount: int
    commission: int
    tax: int
    cost: int
    buy_commission: int
    realized_profit: int

    @property
    def profit_rate(self) -> Decimal | None:
        """Return profit divided by the sold shares' cost with commission, or None without sales."""
        invested = self.cost + self.buy_commission
        return Decimal(self.realized_profit) / invested if invested else None


def realized_profit(
    session: Session,
    *,
    user_id: UUID,
    group_by: Grouping,
    since: datetime | None,
    until: datetime | None,
    stock_code: str | None,
    limit: int,
    cursor: str | None,
) -> tuple[RealizedProfit, Page[RealizedProfit]]:
    """Return the totals of a user's sales and a page of their groups, in two statements.

    ``since`` is inclusive, ``until`` exclusive. Periods are listed newest first, stocks by code. A
    sale is included once it is applied to the holding, because its profit is known only then.
    """
    sales = and_(
        fills_condition(user_id, since, until, stock_code),
        ORDER_EXECUTIONS.c.realized_profit.is_not(None),
    )
    total = (
        session.execute(select(func.count().label("executions"), *_SUMS).where(sales))
        .mappings()
        .one()
    )
    key, by_stock = _KEYS[group_by], group_by is Grouping.STOCK
    if cursor is not None:
        sales = and_(sales, key > cursor if by_stock else key < cursor)
    order = asc if by_stock else desc
    groups = (
        select(key.label("key"), func.count().label("executions"), *_SUMS)
        .where(sales)
        .group_by("key")
        .order_by(order("key"))
        .limit(limit + 1)
        .subquery("sales")
    )
    named = select(groups, STOCKS.c.name.label("stock_name")).outerjoin(
        STOCKS, STOCKS.c.code == groups.c.key
    )
    rows = session.execute(named.order_by(order(groups.c.key))).mappings().all()
    return _record(total), page_of(
        rows, limit=limit, record=_record, cursor=lambda row: str(row["key"])
    )


def _record(row: RowMapping) -> RealizedProfit:
    # MySQL returns sums as Decimals.
    sums = {name: int(value) for name, value in row.items() if name not in ("key", "stock_name")}
    return RealizedProfit(key=row.get("key"), stock_name=row.get("stock_name"), **sums)
