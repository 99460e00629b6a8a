"""A user's fills and trades by day, put together by the database, and how long what was sold had been held."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Subquery, UnaryExpression, and_, case, func, select
from sqlalchemy.orm import Session

from trading.database.korean_days import korean_day
from trading.database.tables import OrderExecution, Stock, table_of
from trading.rules.exchange_time import trade_date
from trading.rules.lots import LotFill, holding_times
from trading.rules.orders import Side
from trading.rules.trade_statistics import TradeTotals

_EXECUTIONS = table_of(OrderExecution)
_STOCKS = table_of(Stock)

_DAY = korean_day(_EXECUTIONS.c.executed_at)


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
    session: Session, *, user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> TradeStatistics:
    """Fills from ``since`` up to and without ``until``, both midnights in Korea. Five statements."""
    wanted = executed(user_id, since, until, stock_code)
    trades = _trades(wanted)
    by_day: defaultdict[date, TradeTotals] = defaultdict(TradeTotals)
    for statement in (_fills_by_day(wanted), _trades_by_day(trades)):
        for row in session.execute(statement).mappings():
            totals = {name: int(row[name]) for name in row if name != "day"}
            day = date.fromisoformat(row["day"])
            by_day[day] += TradeTotals(**totals)
    held: defaultdict[date, list[int]] = defaultdict(list)
    for (day, _), seconds in _holding_times(session, user_id, since, until, stock_code).items():
        held[day].append(seconds)
    return TradeStatistics(
        by_day={
            day: replace(totals, held_trades=len(held[day]), held_s=sum(held[day])) for day, totals in by_day.items()
        },
        best_trade=_trade(session, trades, trades.c.realized_profit.desc()),
        worst_trade=_trade(session, trades, trades.c.realized_profit.asc()),
    )


def executed(
    user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> ColumnElement[bool]:
    """The condition for a user's fills from ``since`` up to and without ``until``, of one stock or of all."""
    conditions = [_EXECUTIONS.c.user_id == user_id]
    if since is not None:
        conditions.append(_EXECUTIONS.c.executed_at >= since)
    if until is not None:
        conditions.append(_EXECUTIONS.c.executed_at < until)
    if stock_code is not None:
        conditions.append(_EXECUTIONS.c.stock_code == stock_code)
    return and_(*conditions)


def _fills_by_day(wanted: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return (
        select(
            _DAY.label("day"),
            func.count().label("executions"),
            _total(case((_EXECUTIONS.c.side == Side.BUY, _EXECUTIONS.c.amount), else_=0)).label("bought_amount"),
            _total(case((_EXECUTIONS.c.side == Side.SELL, _EXECUTIONS.c.amount), else_=0)).label("sold_amount"),
            _total(_EXECUTIONS.c.commission).label("commission"),
            _total(_EXECUTIONS.c.transaction_tax + _EXECUTIONS.c.rural_tax).label("tax"),
            _total(
                case(
                    (and_(_EXECUTIONS.c.side == Side.SELL, _EXECUTIONS.c.realized_profit.is_(None)), 1),
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
            _EXECUTIONS.c.order_id,
            _EXECUTIONS.c.stock_code,
            func.sum(_EXECUTIONS.c.quantity).label("quantity"),
            func.sum(_EXECUTIONS.c.amount).label("amount"),
            func.sum(_EXECUTIONS.c.realized_profit).label("realized_profit"),
        )
        .where(wanted, _EXECUTIONS.c.realized_profit.is_not(None))
        .group_by("day", _EXECUTIONS.c.order_id, _EXECUTIONS.c.stock_code)
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


def _trade(session: Session, trades: Subquery, first: UnaryExpression[Any]) -> TradeRecord | None:
    """The trade that comes first; of equal ones the oldest."""
    row = session.execute(
        select(trades, _STOCKS.c.name.label("stock_name"))
        .join(_STOCKS, _STOCKS.c.code == trades.c.stock_code)
        .order_by(first, trades.c.day, trades.c.order_id)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return TradeRecord(
        day=date.fromisoformat(row.day),
        order_id=row.order_id,
        stock_code=row.stock_code,
        stock_name=row.stock_name,
        quantity=int(row.quantity),
        amount=int(row.amount),
        realized_profit=int(row.realized_profit),
    )


def _holding_times(
    session: Session, user_id: UUID, since: datetime | None, until: datetime | None, stock_code: str | None
) -> dict[tuple[date, UUID], int]:
    """By trade of the period. Its shares may have been bought long before, so all earlier fills of the stocks sold in it are read."""
    sold = select(_EXECUTIONS.c.stock_code).where(
        executed(user_id, since, until, stock_code), _EXECUTIONS.c.realized_profit.is_not(None)
    )
    rows = session.execute(
        select(
            _EXECUTIONS.c.stock_code,
            _EXECUTIONS.c.side,
            _EXECUTIONS.c.quantity,
            _EXECUTIONS.c.executed_at,
            _EXECUTIONS.c.order_id,
        )
        .where(
            executed(user_id, None, until, stock_code),
            _EXECUTIONS.c.applied_at.is_not(None),
            _EXECUTIONS.c.stock_code.in_(sold.distinct()),
        )
        .order_by(_EXECUTIONS.c.executed_at, _EXECUTIONS.c.id)
    )
    fills = (
        LotFill(row.stock_code, row.side, row.quantity, row.executed_at, (trade_date(row.executed_at), row.order_id))
        for row in rows
    )
    first = None if since is None else trade_date(since)
    return {trade: held for trade, held in holding_times(fills).items() if first is None or trade[0] >= first}
