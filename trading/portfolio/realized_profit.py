"""Realized profit of a user's sales and write-offs, grouped by time or by stock.

The database adds up the profits stored with the executions. A write-off counts as a sale for
0 won.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Subquery,
    asc,
    desc,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from trading.db.sql_functions import korean_day
from trading.ledger.tables import HOLDING_WRITE_OFFS
from trading.orders.tables import ORDER_EXECUTIONS
from trading.pagination import Page, page_of
from trading.portfolio.trade_statistics import fills_condition
from trading.stocks.tables import STOCKS


class Grouping(StrEnum):
    """Grouping of sales: by day, month or year in Korea, or by stock."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    STOCK = "stock"


_SUMMED = (
    "executions",
    "quantity",
    "sold_amount",
    "commission",
    "tax",
    "cost",
    "buy_commission",
    "realized_profit",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealizedProfit:
    """Sums over a group of sales (shares, won).

    ``executions`` counts fills; a write-off has none. ``realized_profit`` is ``sold_amount`` less
    commission, tax, and the cost and buy commission of the sold shares. ``key`` is the day, month,
    year or stock code; ``stock_name`` is set if the group is a stock. Both are None for the
    totals.
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
    sales = _sales(user_id, since, until, stock_code)
    sums = [func.coalesce(func.sum(sales.c[name]), 0).label(name) for name in _SUMMED]
    total = session.execute(select(*sums)).mappings().one()
    key, by_stock = _key(sales, group_by), group_by is Grouping.STOCK
    order = asc if by_stock else desc
    grouped = select(key.label("key"), *sums).group_by("key").order_by(order("key"))
    if cursor is not None:
        grouped = grouped.where(key > cursor if by_stock else key < cursor)
    groups = grouped.limit(limit + 1).subquery("groups")
    named = select(groups, STOCKS.c.name.label("stock_name")).outerjoin(
        STOCKS, STOCKS.c.code == groups.c.key
    )
    rows = session.execute(named.order_by(order(groups.c.key))).mappings().all()
    return _record(total), page_of(
        rows, limit=limit, record=_record, cursor=lambda row: str(row["key"])
    )


def _key(sales: Subquery, group_by: Grouping) -> ColumnElement[str]:
    # A day is text (YYYY-MM-DD), so its first characters are its month and its year.
    match group_by:
        case Grouping.DAY:
            return sales.c.day
        case Grouping.MONTH:
            return func.substr(sales.c.day, 1, 7)
        case Grouping.YEAR:
            return func.substr(sales.c.day, 1, 4)
        case Grouping.STOCK:
            return sales.c.stock_code


def _sales(
    user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> Subquery:
    """Select the applied sales and the write-offs, with the columns ``_SUMMED``."""
    fills, lost = ORDER_EXECUTIONS.c, HOLDING_WRITE_OFFS.c
    write_offs = [lost.user_id == user_id]
    if since is not None:
        write_offs.append(lost.written_off_at >= since)
    if until is not None:
        write_offs.append(lost.written_off_at < until)
    if stock_code is not None:
        write_offs.append(lost.stock_code == stock_code)
    nothing = literal(0)
    return union_all(
        select(
            korean_day(fills.executed_at).label("day"),
            fills.stock_code,
            literal(1).label("executions"),
            fills.quantity,
            fills.amount.label("sold_amount"),
            fills.commission,
            (fills.transaction_tax + fills.rural_tax).label("tax"),
            fills.cost,
            fills.buy_commission,
            fills.realized_profit,
        ).where(
            fills_condition(user_id, since, until, stock_code), fills.realized_profit.is_not(None)
        ),
        select(
            korean_day(lost.written_off_at),
            lost.stock_code,
            nothing,
            lost.quantity,
            nothing,
            nothing,
            nothing,
            lost.cost,
            lost.buy_commission,
            -(lost.cost + lost.buy_commission),
        ).where(*write_offs),
    ).subquery("sales")


def _record(row: RowMapping) -> RealizedProfit:
    # MySQL returns sums as Decimals.
    sums = {name: int(value) for name, value in row.items() if name not in ("key", "stock_name")}
    return RealizedProfit(key=row.get("key"), stock_name=row.get("stock_name"), **sums)
