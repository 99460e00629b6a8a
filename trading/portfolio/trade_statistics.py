"""A user's fills and trades by day, and holding times, aggregated by the database."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Null,
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
from trading.exchange.order_types import Side
from trading.exchange.time import trade_date
from trading.orders.tables import ORDER_EXECUTIONS
from trading.portfolio.trade_totals import TradeTotals
from trading.stocks.tables import STOCKS

_DAY = korean_day(ORDER_EXECUTIONS.c.executed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRecord:
    """A trade: the shares sold by one sell order on one day in Korea (shares, won)."""

    day: date
    order_id: UUID
    stock_code: str
    stock_name: str
    quantity: int
    amount: int
    realized_profit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeStatistics:
    """Totals by day, and the most and least profitable trades (None without a trade)."""

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
    """Return the statistics of fills from ``since`` to ``until`` (exclusive), in four statements.

    Both limits are midnights in Korea. Holding times are first in, first out (FIFO); profits are
    the stored ones, by moving average.
    """
    condition = fills_condition(user_id, since, until, stock_code)
    trades = _trades(condition)
    holding_times = _holding_times_by_day(user_id, since, until, stock_code)
    by_day: defaultdict[date, TradeTotals] = defaultdict(TradeTotals)
    for statement in (_fills_by_day(condition), _trades_by_day(trades), holding_times):
        for row in session.execute(statement).mappings():
            totals = {name: int(row[name]) for name in row if name != "day"}
            by_day[date.fromisoformat(row["day"])] += TradeTotals(**totals)
    best, worst = _extremes(session, trades)
    return TradeStatistics(by_day=dict(by_day), best_trade=best, worst_trade=worst)


def fills_condition(
    user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> ColumnElement[bool]:
    """Return the condition for a user's fills from ``since`` to ``until`` (exclusive), one stock or
    all.
    """
    conditions = [ORDER_EXECUTIONS.c.user_id == user_id]
    if since is not None:
        conditions.append(ORDER_EXECUTIONS.c.executed_at >= since)
    if until is not None:
        conditions.append(ORDER_EXECUTIONS.c.executed_at < until)
    if stock_code is not None:
        conditions.append(ORDER_EXECUTIONS.c.stock_code == stock_code)
    return and_(*conditions)


def _fills_by_day(condition: ColumnElement[bool]) -> Select[str, int, int, int, int, int, int]:
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
        .where(condition)
        .group_by("day")
    )


def _trades(condition: ColumnElement[bool]) -> Subquery:
    return (
        select(
            _DAY.label("day"),
            ORDER_EXECUTIONS.c.order_id,
            ORDER_EXECUTIONS.c.stock_code,
            func.sum(ORDER_EXECUTIONS.c.quantity).label("quantity"),
            func.sum(ORDER_EXECUTIONS.c.amount).label("amount"),
            func.sum(ORDER_EXECUTIONS.c.realized_profit).label("realized_profit"),
        )
        .where(condition, ORDER_EXECUTIONS.c.realized_profit.is_not(None))
        .group_by("day", ORDER_EXECUTIONS.c.order_id, ORDER_EXECUTIONS.c.stock_code)
        .subquery("trades")
    )


def _trades_by_day(
    trades: Subquery,
) -> Select[str, int, int, int, int, int, int, int]:
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


def _total(amount: ColumnElement[int]) -> ColumnElement[int]:
    return func.sum(amount)


def _extremes(session: Session, trades: Subquery) -> tuple[TradeRecord | None, TradeRecord | None]:
    """Return the most and the least profitable trade, the oldest of equal ones, or None."""
    profit, oldest = trades.c.realized_profit, (trades.c.day, trades.c.order_id)
    ranked = select(
        *trades.c,
        func.row_number().over(order_by=(profit.desc(), *oldest)).label("from_best"),
        func.row_number().over(order_by=(profit.asc(), *oldest)).label("from_worst"),
    ).subquery("ranked")
    rows = session.execute(
        select(*ranked.c, STOCKS.c.name.label("stock_name"))
        .join(STOCKS, STOCKS.c.code == ranked.c.stock_code)
        .where(or_(ranked.c.from_best == 1, ranked.c.from_worst == 1))
    ).mappings()
    best = worst = None
    for row in rows:
        trade = TradeRecord(
            day=date.fromisoformat(row["day"]),
            order_id=row["order_id"],
            stock_code=row["stock_code"],
            stock_name=row["stock_name"],
            quantity=int(row["quantity"]),
            amount=int(row["amount"]),
            realized_profit=int(row["realized_profit"]),
        )
        if row["from_best"] == 1:
            best = trade
        if row["from_worst"] == 1:
            worst = trade
    return best, worst


def _holding_times_by_day(
    user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> Select[str, int, int]:
    """Select by day the number of trades with sales and the sum of their holding times (seconds).

    A trade's holding time is the mean of its shares', rounded down.

    Number a stock's shares in the order of purchase and in the order of sale: by FIFO, sold share n
    is bought share n. Let B(n) be the sum of the purchase times of the first n shares; within a lot
    it grows by the lot's time with each share. The shares of a sale that ends at number n and the
    one before at m have the purchase times B(n) − B(m). Both are window functions over the fills,
    so no row is needed for each share.
    """
    fills = _numbered(user_id, since, until, stock_code)
    bought = fills.c.side == Side.BUY
    before = fills.c.upto - fills.c.quantity
    sum_before = fills.c.sum_upto - fills.c.quantity * fills.c.at
    points = union_all(
        _points(fills, bought, before, (before, sum_before, fills.c.at)),
        _points(fills, not_(bought), fills.c.upto, (null(), null(), null())),
    ).subquery("points")
    # Position, sum and time all increase from lot to lot, so the maximum so far belongs to the last
    # lot that began, which contains the position.
    lot_begins, lot_sum, lot_at = (
        func.max(column).over(
            partition_by=points.c.stock_code,
            order_by=(points.c.position, points.c.side),
            rows=(None, 0),
        )
        for column in (points.c.lot_begins, points.c.lot_sum, points.c.lot_at)
    )
    summed = select(
        points,
        (lot_sum + (points.c.position - lot_begins) * lot_at).label("bought_sum"),
    ).subquery("summed")
    earlier = func.lag(summed.c.bought_sum).over(
        partition_by=summed.c.stock_code, order_by=summed.c.position
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
    timed = trades.subquery("trades")
    return select(
        timed.c.day, func.count().label("held_trades"), func.sum(timed.c.held).label("held_s")
    ).group_by(timed.c.day)


def _points(
    fills: CTE,
    condition: ColumnElement[bool],
    position: ColumnElement[int],
    lot: tuple[ColumnElement[int] | Null, ColumnElement[int] | Null, ColumnElement[int] | Null],
) -> Select[*tuple[object, ...]]:
    """Select fills with their position and, for purchases, the lot's first share, sum and time."""
    named = zip(("position", "lot_begins", "lot_sum", "lot_at"), (position, *lot), strict=True)
    numbers = (cast(column, BigInteger).label(name) for name, column in named)
    return select(*fills.c, *numbers).where(condition)


def _numbered(
    user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> CTE:
    """Select the applied fills of the sold stocks with running sums by stock and side.

    ``upto`` is the number of shares up to and including the fill, ``sum_upto`` the sum of their
    times.
    """
    at = seconds(ORDER_EXECUTIONS.c.executed_at)
    condition = and_(
        fills_condition(user_id, None, until, stock_code),
        ORDER_EXECUTIONS.c.applied_at.is_not(None),
    )
    if since is not None:
        # Sold shares may have been bought long before, so all earlier fills of these stocks are
        # needed.
        sold = select(ORDER_EXECUTIONS.c.stock_code).where(
            fills_condition(user_id, since, until, stock_code), ORDER_EXECUTIONS.c.side == Side.SELL
        )
        condition = and_(condition, ORDER_EXECUTIONS.c.stock_code.in_(sold.distinct()))
    return (
        select(
            ORDER_EXECUTIONS.c.stock_code,
            ORDER_EXECUTIONS.c.side,
            ORDER_EXECUTIONS.c.order_id,
            ORDER_EXECUTIONS.c.quantity,
            _DAY.label("day"),
            at.label("at"),
            _running_total(ORDER_EXECUTIONS.c.quantity).label("upto"),
            _running_total(ORDER_EXECUTIONS.c.quantity * at).label("sum_upto"),
        )
        .where(condition)
        .cte("fills")
    )


def _running_total(amount: ColumnElement[int]) -> ColumnElement[int]:
    """Return the sum over the fills of the same stock and side up to and including this one."""
    return func.sum(amount).over(
        partition_by=(ORDER_EXECUTIONS.c.stock_code, ORDER_EXECUTIONS.c.side),
        order_by=(ORDER_EXECUTIONS.c.executed_at, ORDER_EXECUTIONS.c.id),
        rows=(None, 0),
    )
