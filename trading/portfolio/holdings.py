"""A user's portfolio: cash, holdings at live prices, today's change and realized profit.

Each price comes with its age and freshness. Without a price the value is None and the totals count
the holdings left out; a missing price is never replaced by another figure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from trading.exchange.order_types import Side
from trading.exchange.time import trade_date
from trading.ledger.tables import PORTFOLIOS, VIRTUAL_BALANCES
from trading.marketdata.ticks import Tick
from trading.money import BASIS_POINTS, average_price, change_rate_bp
from trading.orders.tables import ORDER_EXECUTIONS
from trading.portfolio.daily_change import NO_TRADES, DayTrades, change_of_day, change_of_held
from trading.portfolio.errors import HoldingNotFound
from trading.stocks.tables import STOCKS


@dataclass(frozen=True, slots=True, kw_only=True)
class CashRecord:
    """Cash of an account in won.

    Available cash is the balance less the reservations of open and unsettled buys and of open
    refunds. It is never below zero: the shortfall is the debt.
    """

    cash_balance: int
    reserved_cash: int
    debt: int

    @property
    def available_cash(self) -> int:
        return self.cash_balance + self.debt - self.reserved_cash


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingRecord:
    """One holding (shares, won, rates in basis points).

    ``price`` and the figures that depend on it are None without a tick. ``realized_profit`` covers
    all applied sales of the stock, also those before the account last sold all its shares.
    ``trades`` are today's fills.
    """

    stock_code: str
    name: str
    market: str
    sector: str | None
    quantity: int
    reserved_quantity: int
    cost: int
    buy_commission: int
    realized_profit: int
    trades: DayTrades
    tick: Tick | None
    now: datetime
    freshness_ms: int
    portfolio_value: int

    @property
    def sellable_quantity(self) -> int:
        return self.quantity - self.reserved_quantity

    @property
    def average_price(self) -> int:
        return average_price(self.cost, self.quantity)

    @property
    def price(self) -> int | None:
        return None if self.tick is None else self.tick.price

    @property
    def value(self) -> int | None:
        return None if self.tick is None else self.tick.price * self.quantity

    @property
    def unrealized_profit(self) -> int | None:
        """Return value less cost and buy commission, without the costs of a future sale."""
        return None if self.value is None else self.value - self.cost - self.buy_commission

    @property
    def unrealized_profit_rate_bp(self) -> int | None:
        if self.unrealized_profit is None:
            return None
        return self.unrealized_profit * BASIS_POINTS // (self.cost + self.buy_commission)

    @property
    def weight_bp(self) -> int | None:
        """Return the holding's share of the value of all priced holdings."""
        return None if self.value is None else self.value * BASIS_POINTS // self.portfolio_value

    @property
    def base_price(self) -> int | None:
        """Return the exchange's base price of today, or None if the last tick is from an earlier
        day.
        """
        return _base_price(self.tick, self.now)

    @property
    def todays_change(self) -> int | None:
        """Return today's change of the shares held now; see ``trading.portfolio.daily_change``."""
        return change_of_held(self.quantity, self.trades, price=self.price, base=self.base_price)

    @property
    def todays_change_rate_bp(self) -> int | None:
        """Return today's change relative to the value of these shares before it."""
        return _change_rate_bp(self.value, self.todays_change)

    @property
    def whole_days_change(self) -> int | None:
        """Return today's change including today's sales of the stock."""
        return change_of_day(self.quantity, self.trades, price=self.price, base=self.base_price)

    @property
    def price_age_ms(self) -> int | None:
        return None if self.tick is None else self.tick.age_ms(self.now)

    @property
    def freshness(self) -> str | None:
        return (
            None if self.price_age_ms is None else freshness(self.price_age_ms, self.freshness_ms)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedHolding:
    """A stock of which all shares were sold (shares, won), costs of both sides included."""

    stock_code: str
    name: str
    market: str
    sector: str | None
    sold_quantity: int
    cost: int
    proceeds: int
    last_sold_at: datetime

    @property
    def realized_profit(self) -> int:
        return self.proceeds - self.cost

    @property
    def realized_profit_rate_bp(self) -> int:
        return change_rate_bp(self.proceeds, self.cost)


@dataclass(frozen=True, slots=True)
class SectorWeight:
    """The priced holdings of one sector; ``sector`` is None if it is unknown.

    ``weight_bp`` is their share of the value of all priced holdings.
    """

    sector: str | None
    holdings: int
    value: int
    weight_bp: int


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
    """Database rows read from one state: holdings with their stock, realized profit and today's
    fills.

    The mappings are by stock code.
    """

    holdings: list[HoldingEntry]
    realized_profit: Mapping[str, int]
    trades: Mapping[str, DayTrades]

    @property
    def codes(self) -> list[str]:
        """Return the stocks whose ticks are needed: those held, and those sold out today."""
        return list(dict.fromkeys([*(row.stock_code for row in self.holdings), *self.trades]))


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRecord:
    """Totals of an account in won.

    ``holdings_value`` counts the holdings that have a price, ``unpriced_holdings`` those without
    one. ``changes_of_sold_out`` are today's changes of the stocks sold out today.
    """

    cash: CashRecord
    holdings: tuple[HoldingRecord, ...]
    realized_profit: int
    changes_of_sold_out: tuple[int | None, ...] = ()

    @property
    def cash_balance(self) -> int:
        return self.cash.cash_balance

    @property
    def available_cash(self) -> int:
        return self.cash.available_cash

    @property
    def reserved_cash(self) -> int:
        return self.cash.reserved_cash

    @property
    def debt(self) -> int:
        return self.cash.debt

    @property
    def invested_amount(self) -> int:
        return sum(holding.cost for holding in self.holdings)

    @property
    def buy_commission(self) -> int:
        return sum(holding.buy_commission for holding in self.holdings)

    @property
    def holdings_value(self) -> int:
        return sum(holding.value or 0 for holding in self.holdings)

    @property
    def unpriced_holdings(self) -> int:
        return sum(holding.value is None for holding in self.holdings)

    @property
    def stale_holdings(self) -> int:
        return sum(holding.freshness == "STALE" for holding in self.holdings)

    @property
    def total_assets(self) -> int | None:
        """Return cash, reserved or not, plus holdings, or None while a price is missing."""
        return None if self.unpriced_holdings else self.cash.cash_balance + self.holdings_value

    @property
    def unrealized_profit(self) -> int | None:
        return (
            None
            if self.unpriced_holdings
            else sum(holding.unrealized_profit or 0 for holding in self.holdings)
        )

    @property
    def todays_change(self) -> int | None:
        """Return today's gain on all stocks held or traded, or None if a price or base price is
        missing.
        """
        changes = [
            *(holding.whole_days_change for holding in self.holdings),
            *self.changes_of_sold_out,
        ]
        return None if None in changes else sum(change for change in changes if change is not None)

    @property
    def todays_change_rate_bp(self) -> int | None:
        """Return today's change relative to yesterday's assets plus the payments since."""
        return _change_rate_bp(self.total_assets, self.todays_change)

    @property
    def sectors(self) -> tuple[SectorWeight, ...]:
        """Return the sectors of the priced holdings, largest value first."""
        values: defaultdict[str | None, list[int]] = defaultdict(list)
        for holding in self.holdings:
            if holding.value is not None:
                values[holding.sector].append(holding.value)
        weights = [
            SectorWeight(
                sector, len(parts), sum(parts), sum(parts) * BASIS_POINTS // self.holdings_value
            )
            for sector, parts in values.items()
        ]
        return tuple(sorted(weights, key=lambda weight: (-weight.value, weight.sector or "")))


def freshness(age_ms: int, limit_ms: int) -> str:
    """Return LIVE up to the age at which a tick may still fill an order, STALE beyond it."""
    return "LIVE" if age_ms <= limit_ms else "STALE"


def load_cash(session: Session, user_id: UUID) -> CashRecord:
    row = session.execute(
        select(
            VIRTUAL_BALANCES.c.cash_balance,
            VIRTUAL_BALANCES.c.reserved_cash,
            VIRTUAL_BALANCES.c.debt,
        ).where(VIRTUAL_BALANCES.c.user_id == user_id)
    ).one()
    return CashRecord(cash_balance=row.cash_balance, reserved_cash=row.reserved_cash, debt=row.debt)


def load_holdings(
    session: Session, user_id: UUID, *, since: datetime, stock_code: str | None = None
) -> HoldingRows:
    """Load a user's holdings, all or one, by stock code, with today's fills, in three statements.

    ``since`` is the instant at which the day began in Korea.
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
    return HoldingRows(
        holdings=[HoldingEntry(**row) for row in session.execute(holdings).mappings()],
        realized_profit={code: int(profit) for code, profit in session.execute(profits)},
        trades=_trades_by_stock(session, user_id, since, stock_code),
    )


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


def load_closed_holdings(session: Session, user_id: UUID) -> list[ClosedHolding]:
    """Load the stocks that a user has sold out of, most recently sold first, in one statement."""
    sold = ORDER_EXECUTIONS.c
    held = select(PORTFOLIOS.c.user_id).where(
        PORTFOLIOS.c.user_id == sold.user_id, PORTFOLIOS.c.stock_code == sold.stock_code
    )
    last_sold_at = func.max(sold.executed_at)
    rows = session.execute(
        select(
            sold.stock_code,
            STOCKS.c.name,
            STOCKS.c.market,
            STOCKS.c.sector,
            func.sum(sold.quantity).label("quantity"),
            func.sum(sold.cost + sold.buy_commission).label("cost"),
            func.sum(sold.realized_profit).label("profit"),
            last_sold_at.label("last_sold_at"),
        )
        # An outer join, although every fill has its stock: with an inner join MariaDB would start
        # from the stocks instead of the user's sales.
        .outerjoin(STOCKS, STOCKS.c.code == sold.stock_code)
        .where(sold.user_id == user_id, sold.realized_profit.is_not(None), ~held.exists())
        .group_by(sold.stock_code, STOCKS.c.name, STOCKS.c.market, STOCKS.c.sector)
        .order_by(last_sold_at.desc(), sold.stock_code)
    )
    return [
        ClosedHolding(
            stock_code=row.stock_code,
            name=row.name,
            market=row.market,
            sector=row.sector,
            sold_quantity=int(row.quantity),
            cost=int(row.cost),
            proceeds=int(row.cost + row.profit),
            last_sold_at=row.last_sold_at,
        )
        for row in rows
    ]


def value_holdings(
    rows: HoldingRows, ticks: Mapping[str, Tick], *, now: datetime, freshness_ms: int
) -> tuple[HoldingRecord, ...]:
    """Value holdings at these ticks. Weights are shares of the value of the priced holdings."""
    value = sum(
        ticks[row.stock_code].price * row.quantity
        for row in rows.holdings
        if row.stock_code in ticks
    )
    return tuple(
        HoldingRecord(
            stock_code=row.stock_code,
            name=row.name,
            market=row.market,
            sector=row.sector,
            quantity=row.quantity,
            reserved_quantity=row.reserved_quantity,
            cost=row.cost,
            buy_commission=row.buy_commission,
            realized_profit=rows.realized_profit.get(row.stock_code, 0),
            trades=rows.trades.get(row.stock_code, NO_TRADES),
            tick=ticks.get(row.stock_code),
            now=now,
            freshness_ms=freshness_ms,
            portfolio_value=value,
        )
        for row in rows.holdings
        if row.quantity
    )


def summarize_portfolio(
    cash: CashRecord,
    rows: HoldingRows,
    holdings: Iterable[HoldingRecord],
    ticks: Mapping[str, Tick],
    *,
    now: datetime,
) -> SummaryRecord:
    """Return the totals of an account whose holdings were valued at these ticks."""
    holdings = tuple(holdings)
    held = {holding.stock_code for holding in holdings}
    return SummaryRecord(
        cash=cash,
        holdings=holdings,
        realized_profit=sum(rows.realized_profit.values()),
        changes_of_sold_out=tuple(
            change_of_day(0, trades, price=None, base=_base_price(ticks.get(code), now))
            for code, trades in rows.trades.items()
            if code not in held
        ),
    )


def require_single(holdings: tuple[HoldingRecord, ...]) -> HoldingRecord:
    """Return the only holding. Raise HoldingNotFound if there is none."""
    if not holdings:
        raise HoldingNotFound
    return holdings[0]


def _base_price(tick: Tick | None, now: datetime) -> int | None:
    return None if tick is None else tick.base_on(trade_date(now))


def _change_rate_bp(value: int | None, change: int | None) -> int | None:
    if value is None or change is None or value - change <= 0:
        return None
    return change_rate_bp(value, value - change)
