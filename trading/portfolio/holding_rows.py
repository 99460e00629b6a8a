"""Load the rows that a user's holdings are valued from: shares, fills and recorded prices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from trading.exchange.order_types import Side
from trading.exchange.time import trade_date
from trading.ledger.tables import HOLDING_WRITE_OFFS, PORTFOLIOS
from trading.orders.tables import ORDER_EXECUTIONS
from trading.portfolio.daily_change import NO_TRADES, DayTrades
from trading.stocks.tables import STOCKS
from trading.stocks.valuation_prices import RecordedPrice, RecordedPrices, load_recorded_prices


class HoldingEntry(NamedTuple):
    """A row of ``portfolios`` with its stock (shares, won)."""

    stock_code: str
    quantity: int
    reserved_quantity: int
    cost: int
    buy_commission: int
    name: str
    market: str
    sector: str | None


@dataclass(frozen=True, slots=True)
class HoldingRows:
    """Database rows read from one state: holdings with their stock, realized profit, today's fills
    and recorded prices.

    The mappings are by stock code.
    """

    holdings: list[HoldingEntry]
    realized_profit: Mapping[str, int]
    trades: Mapping[str, DayTrades]
    recorded: Mapping[str, RecordedPrices] = field(default_factory=dict)

    @property
    def codes(self) -> list[str]:
        """Return the stocks whose prices are needed: those held, and those sold out today."""
        return list(dict.fromkeys([*(row.stock_code for row in self.holdings), *self.trades]))


def load_holdings(
    session: Session, user_id: UUID, *, since: datetime, stock_code: str | None = None
) -> HoldingRows:
    """Load a user's holdings, all or one, by stock code, with today's fills and recorded prices.

    ``since`` is the instant at which the day began in Korea. It takes five statements, or six if
    candles of a stock are missing.
    """
    holdings = (
        select(
            PORTFOLIOS.c.stock_code,
            PORTFOLIOS.c.quantity,
            PORTFOLIOS.c.reserved_quantity,
            PORTFOLIOS.c.cost,
            PORTFOLIOS.c.buy_commission,
            STOCKS.c.name,
            STOCKS.c.market,
            STOCKS.c.sector,
        )
        .join(STOCKS, STOCKS.c.code == PORTFOLIOS.c.stock_code)
        .where(PORTFOLIOS.c.user_id == user_id)
        .order_by(PORTFOLIOS.c.stock_code)
    )
    profits = (
        select(ORDER_EXECUTIONS.c.stock_code, func.sum(ORDER_EXECUTIONS.c.realized_profit))
        .where(
            ORDER_EXECUTIONS.c.user_id == user_id, ORDER_EXECUTIONS.c.realized_profit.is_not(None)
        )
        .group_by(ORDER_EXECUTIONS.c.stock_code)
    )
    if stock_code is not None:
        holdings = holdings.where(PORTFOLIOS.c.stock_code == stock_code)
        profits = profits.where(ORDER_EXECUTIONS.c.stock_code == stock_code)
    realized_profit = {code: int(profit) for code, profit in session.execute(profits)}
    trades = _trades_by_stock(session, user_id, since, stock_code)
    for lost in load_write_offs(session, user_id, stock_code):
        code = lost.stock_code
        realized_profit[code] = realized_profit.get(code, 0) - lost.loss
        if lost.written_off_at >= since:
            before = trades.get(code, NO_TRADES)
            trades[code] = replace(before, sold=before.sold + lost.quantity)
    rows = HoldingRows(
        holdings=[HoldingEntry(**row) for row in session.execute(holdings).mappings()],
        realized_profit=realized_profit,
        trades=trades,
    )
    recorded = load_recorded_prices(session, rows.codes, now=since)
    return replace(rows, recorded=_with_own_fills(session, user_id, rows, recorded, since=since))


class WriteOff(NamedTuple):
    """Shares that were written off, with their lost cost (won)."""

    stock_code: str
    quantity: int
    cost: int
    buy_commission: int
    written_off_at: datetime

    @property
    def loss(self) -> int:
        return self.cost + self.buy_commission


def load_write_offs(
    session: Session, user_id: UUID, stock_code: str | None = None
) -> list[WriteOff]:
    """Load what was written off of a user's holdings, all or one, oldest first."""
    wanted = select(*(HOLDING_WRITE_OFFS.c[name] for name in WriteOff._fields)).where(
        HOLDING_WRITE_OFFS.c.user_id == user_id
    )
    if stock_code is not None:
        wanted = wanted.where(HOLDING_WRITE_OFFS.c.stock_code == stock_code)
    ordered = wanted.order_by(HOLDING_WRITE_OFFS.c.written_off_at, HOLDING_WRITE_OFFS.c.id)
    return [WriteOff(*row) for row in session.execute(ordered)]


def _with_own_fills(
    session: Session,
    user_id: UUID,
    rows: HoldingRows,
    recorded: Mapping[str, RecordedPrices],
    *,
    since: datetime,
) -> dict[str, RecordedPrices]:
    """Add the trades that the user's own fills are based on where candles of them are missing.

    So every stock that the user holds has a price, and one from before today if it was held then.
    """
    today = trade_date(since)

    def is_complete(code: str) -> bool:
        known = recorded.get(code)
        return (
            known is not None
            and known.newest is not None
            and known.before_today is not None
            and (known.newest.day >= today or code not in rows.trades)
        )

    completed = dict(recorded)
    missing = [code for code in rows.codes if not is_complete(code)]
    for fill in _own_fills(session, user_id, missing, since=since):
        known = completed.get(fill.stock_code, RecordedPrices())
        # The last fill before today comes before today's.
        if fill.is_before_today and known.before_today is None:
            known = replace(known, before_today=fill.tick_price)
        price = RecordedPrice(fill.tick_price, fill.tick_traded_at, is_daily=False)
        completed[fill.stock_code] = replace(known, fallback=price)
    return completed


class _OwnFill(NamedTuple):
    stock_code: str
    tick_price: int
    tick_traded_at: datetime
    is_before_today: bool


def _own_fills(
    session: Session, user_id: UUID, codes: Sequence[str], *, since: datetime
) -> list[_OwnFill]:
    """Return a user's last fill of each stock before ``since``, then the last one after it."""
    if not codes:
        return []
    fills = ORDER_EXECUTIONS.c
    is_before_today = fills.executed_at < since
    ranked = (
        select(
            fills.stock_code,
            fills.tick_price,
            fills.tick_traded_at,
            is_before_today.label("is_before_today"),
            func.row_number()
            .over(
                partition_by=(fills.stock_code, is_before_today),
                order_by=(fills.executed_at.desc(), fills.tick_position.desc()),
            )
            .label("place"),
        )
        .where(fills.user_id == user_id, fills.stock_code.in_(codes))
        .subquery("ranked")
    )
    wanted = select(*(ranked.c[name] for name in _OwnFill._fields)).where(ranked.c.place == 1)
    return [
        _OwnFill(*row) for row in session.execute(wanted.order_by(ranked.c.is_before_today.desc()))
    ]


def _trades_by_stock(
    session: Session, user_id: UUID, since: datetime, stock_code: str | None
) -> dict[str, DayTrades]:
    """Sum the applied fills since an instant by stock."""
    bought = ORDER_EXECUTIONS.c.side == Side.BUY
    paid = ORDER_EXECUTIONS.c.amount + ORDER_EXECUTIONS.c.commission
    received = (
        ORDER_EXECUTIONS.c.amount
        - ORDER_EXECUTIONS.c.commission
        - ORDER_EXECUTIONS.c.transaction_tax
        - ORDER_EXECUTIONS.c.rural_tax
    )
    sums = [
        func.sum(case((side, amount), else_=0))
        for side, amount in (
            (bought, ORDER_EXECUTIONS.c.quantity),
            (bought, paid),
            (~bought, ORDER_EXECUTIONS.c.quantity),
            (~bought, received),
        )
    ]
    trades = select(ORDER_EXECUTIONS.c.stock_code, *sums).where(
        ORDER_EXECUTIONS.c.user_id == user_id,
        ORDER_EXECUTIONS.c.executed_at >= since,
        ORDER_EXECUTIONS.c.applied_at.is_not(None),
    )
    if stock_code is not None:
        trades = trades.where(ORDER_EXECUTIONS.c.stock_code == stock_code)
    rows = session.execute(trades.group_by(ORDER_EXECUTIONS.c.stock_code))
    return {code: DayTrades(*map(int, amounts)) for code, *amounts in rows}
