"""A user's fills and trades by day, put together by the database, and how long what was sold had been held."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Select,
    Subquery,
    and_,
    case,
    cast,
    func,
    not_,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from trading.db.sql_functions import korean_day, seconds
from trading.db.statements import AnyRow
from trading.exchange.order_types import Side
from trading.exchange.time import trade_date
from trading.orders.tables import ORDER_EXECUTIONS
from trading.portfolio.trade_totals import TradeTotals
from trading.stocks.tables import STOCKS

_DAY = korean_day(ORDER_EXECUTIONS.c.executed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRecord:
    """A trade: what one sell order sold on one day in Korea (shares, won)."""

    day: date
    order_id: UUID
    stock_code: str
    stock_name: str
    quantity: int
    amount: int
    realized_profit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeStatistics:
    """Totals of each day that has any, and the trades that earned most and least; None without a trade."""

    by_day: Mapping[date, TradeTotals]
    best_trade: TradeRecord | None
    worst_trade: TradeRecord | None


def trade_statistics(
    session: Session,
    *,
    user_id: UUID,
    since: datetime | None,
    until: datetime | None,
    stock_code: str | None,
) -> TradeStatistics:
    """Fills from ``since`` up to and without ``until``, both midnights in Korea. Four statements.

    What was sold first is what was bought first (FIFO), for holding times only: profits are the books' own, by the moving average.
    """
    wanted = fills_condition(user_id, since, until, stock_code)
    trades = _trades(wanted)
    held = _held_by_day(user_id, since, until, stock_code)
    by_day: defaultdict[date, TradeTotals] = defaultdict(TradeTotals)
    for statement in (_fills_by_day(wanted), _trades_by_day(trades), held):
        for row in session.execute(statement).mappings():
            totals = {name: int(row[name]) for name in row if name != "day"}
            by_day[date.fromisoformat(row["day"])] += TradeTotals(**totals)
    best, worst = _extremes(session, trades)
    return TradeStatistics(by_day=dict(by_day), best_trade=best, worst_trade=worst)


def fills_condition(
    user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> ColumnElement[bool]:
    """The condition for a user's fills from ``since`` up to and without ``until``, of one stock or of all."""
    conditions = [ORDER_EXECUTIONS.c.user_id == user_id]
    if since is not None:
        conditions.append(ORDER_EXECUTIONS.c.executed_at >= since)
    if until is not None:
        conditions.append(ORDER_EXECUTIONS.c.executed_at < until)
    if stock_code is not None:
        conditions.append(ORDER_EXECUTIONS.c.stock_code == stock_code)
    return and_(*conditions)


def _fills_by_day(wanted: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return (
        select(
            _DAY.label("day"),
            func.count().label("executions"),
            _total(
                case((ORDER_EXECUTIONS.c.side == Side.BUY, ORDER_EXECUTIONS.c.amount), else_=0)
            ).label("bought_amount"),
            _total(
                case((ORDER_EXECUTIONS.c.side == Side.SELL, ORDER_EXECUTIONS.c.amount), else_=0)
            ).label("sold_amount"),
            _total(ORDER_EXECUTIONS.c.commission).label("commission"),
            _total(ORDER_EXECUTIONS.c.transaction_tax + ORDER_EXECUTIONS.c.rural_tax).label("tax"),
            _total(
                case(
                    (
                        and_(
                            ORDER_EXECUTIONS.c.side == Side.SELL,
                            ORDER_EXECUTIONS.c.realized_profit.is_(None),
                        ),
                        1,
                    ),
                    else_=0,
                )
            ).label("unapplied_executions"),
        )
        .where(wanted)
        .group_by("day")
    )


def _trades(wanted: ColumnElement[bool]) -> Subquery:
    return (
        select(
            _DAY.label("day"),
            ORDER_EXECUTIONS.c.order_id,
            ORDER_EXECUTIONS.c.stock_code,
            func.sum(ORDER_EXECUTIONS.c.quantity).label("quantity"),
            func.sum(ORDER_EXECUTIONS.c.amount).label("amount"),
            func.sum(ORDER_EXECUTIONS.c.realized_profit).label("realized_profit"),
        )
        .where(wanted, ORDER_EXECUTIONS.c.realized_profit.is_not(None))
        .group_by("day", ORDER_EXECUTIONS.c.order_id, ORDER_EXECUTIONS.c.stock_code)
        .subquery("trades")
    )


def _trades_by_day(trades: Subquery) -> Select[*tuple[Any, ...]]:
    profit = trades.c.realized_profit
    return select(
        trades.c.day,
        func.count().label("trades"),
        _total(case((profit > 0, 1), else_=0)).label("wins"),
        _total(case((profit < 0, 1), else_=0)).label("losses"),
        _total(case((profit > 0, profit), else_=0)).label("gross_profit"),
        _total(case((profit < 0, -profit), else_=0)).label("gross_loss"),
        func.max(case((profit > 0, profit), else_=0)).label("largest_win"),
        func.max(case((profit < 0, -profit), else_=0)).label("largest_loss"),
    ).group_by(trades.c.day)


def _total(of: ColumnElement[int]) -> ColumnElement[int]:
    return func.sum(of)


def _extremes(session: Session, trades: Subquery) -> tuple[TradeRecord | None, TradeRecord | None]:
    """The trades that earned most and least, of equal ones the oldest; None without one."""
    profit, oldest = trades.c.realized_profit, (trades.c.day, trades.c.order_id)
    ranked = select(
        trades,
        func.row_number().over(order_by=(profit.desc(), *oldest)).label("from_best"),
        func.row_number().over(order_by=(profit.asc(), *oldest)).label("from_worst"),
    ).subquery("ranked")
    rows = session.execute(
        select(ranked, STOCKS.c.name.label("stock_name"))
        .join(STOCKS, STOCKS.c.code == ranked.c.stock_code)
        .where(or_(ranked.c.from_best == 1, ranked.c.from_worst == 1))
    ).all()
    best = next((_record(row) for row in rows if row.from_best == 1), None)
    return best, next((_record(row) for row in rows if row.from_worst == 1), None)


def _record(row: AnyRow) -> TradeRecord:
    return TradeRecord(
        day=date.fromisoformat(row.day),
        order_id=row.order_id,
        stock_code=row.stock_code,
        stock_name=row.stock_name,
        quantity=int(row.quantity),
        amount=int(row.amount),
        realized_profit=int(row.realized_profit),
    )


def _held_by_day(
    user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> Select[*tuple[Any, ...]]:
    """How many trades sold something, and the sum of their holding times (seconds), each the mean of its shares', rounded down.

    Count a stock's shares as they were bought, and as they were sold: share number n that was sold is number n that was bought. So with the sum of the
    purchase times of the first n shares, which grows by a lot's time with each share of the lot, a sale's shares up to number n were bought at
    that sum less the same at the sale before. Both are windows over the fills; no share is looked at alone.
    """
    fills = _numbered(user_id, since, until, stock_code)
    bought = fills.c.side == Side.BUY
    counts: dict[str, Any] = {
        "place": fills.c.upto,
        "lot_begins": null(),
        "lot_sum": null(),
        "lot_at": null(),
    }
    before, sum_before = (
        fills.c.upto - fills.c.quantity,
        fills.c.sum_upto - fills.c.quantity * fills.c.at,
    )
    lots: dict[str, Any] = {
        "place": before,
        "lot_begins": before,
        "lot_sum": sum_before,
        "lot_at": fills.c.at,
    }
    points = union_all(
        *(
            select(
                fills, *(cast(column, BigInteger).label(name) for name, column in numbers.items())
            ).where(side)
            for side, numbers in ((bought, lots), (not_(bought), counts))
        )
    ).subquery("points")
    # Lots follow one another in place, sum and time, so the largest so far is the last lot that began: the one that the place lies in.
    so_far: dict[str, Any] = {
        "partition_by": points.c.stock_code,
        "order_by": (points.c.place, points.c.side),
        "rows": (None, 0),
    }
    lot = {
        name: func.max(points.c[name]).over(**so_far)
        for name in ("lot_begins", "lot_sum", "lot_at")
    }
    summed = select(
        points,
        (lot["lot_sum"] + (points.c.place - lot["lot_begins"]) * lot["lot_at"]).label("bought_sum"),
    ).subquery("summed")
    earlier = func.lag(summed.c.bought_sum).over(
        partition_by=summed.c.stock_code, order_by=summed.c.place
    )
    sales = (
        select(
            summed,
            (
                summed.c.quantity * summed.c.at - summed.c.bought_sum + func.coalesce(earlier, 0)
            ).label("held"),
        )
        .where(summed.c.side == Side.SELL)
        .subquery("sales")
    )
    shares, held = func.sum(sales.c.quantity), func.sum(sales.c.held)
    trades = select(sales.c.day, ((held - held % shares) // shares).label("held")).group_by(
        sales.c.day, sales.c.order_id
    )
    if since is not None:
        trades = trades.where(sales.c.day >= trade_date(since).isoformat())
    of = trades.subquery("trades")
    return select(
        of.c.day, func.count().label("held_trades"), func.sum(of.c.held).label("held_s")
    ).group_by(of.c.day)


def _numbered(
    user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> CTE:
    """The applied fills of the stocks that were sold, each with how many shares its side had moved with it, and the sum of these shares' times."""
    side: dict[str, Any] = {
        "partition_by": (ORDER_EXECUTIONS.c.stock_code, ORDER_EXECUTIONS.c.side),
        "order_by": (ORDER_EXECUTIONS.c.executed_at, ORDER_EXECUTIONS.c.id),
        "rows": (None, 0),
    }
    at = seconds(ORDER_EXECUTIONS.c.executed_at)
    wanted = and_(
        fills_condition(user_id, None, until, stock_code),
        ORDER_EXECUTIONS.c.applied_at.is_not(None),
    )
    if since is not None:
        # What was sold may have been bought long before, so all earlier fills count, but of these stocks only.
        sold = select(ORDER_EXECUTIONS.c.stock_code).where(
            fills_condition(user_id, since, until, stock_code), ORDER_EXECUTIONS.c.side == Side.SELL
        )
        wanted = and_(wanted, ORDER_EXECUTIONS.c.stock_code.in_(sold.distinct()))
    return (
        select(
            ORDER_EXECUTIONS.c.stock_code,
            ORDER_EXECUTIONS.c.side,
            ORDER_EXECUTIONS.c.order_id,
            ORDER_EXECUTIONS.c.quantity,
            _DAY.label("day"),
            at.label("at"),
            func.sum(ORDER_EXECUTIONS.c.quantity).over(**side).label("upto"),
            func.sum(ORDER_EXECUTIONS.c.quantity * at).over(**side).label("sum_upto"),
        )
        .where(wanted)
        .cte("fills")
    )
