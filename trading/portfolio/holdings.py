"""A user's portfolio: cash, holdings at their last prices, today's change and realized profit.

Each price comes with its day, age and freshness; see ``trading.stocks.valuation_prices``. A stock
that was never traded has no value, and the totals count the holdings left out.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trading.ledger.tables import PORTFOLIOS, VIRTUAL_BALANCES
from trading.money import BASIS_POINTS, average_price, change_rate_bp
from trading.orders.tables import ORDER_EXECUTIONS
from trading.portfolio.daily_change import NO_TRADES, DayTrades, change_of_day, change_of_held
from trading.portfolio.errors import HoldingNotFound
from trading.portfolio.holding_rows import HoldingRows, load_write_offs
from trading.stocks.tables import STOCKS
from trading.stocks.valuation_prices import (
    Freshness,
    ValuationPrice,
)


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

    ``last`` is the price at which it is valued; without one the figures that depend on it are None.
    ``realized_profit`` covers all applied sales of the stock, also those before the account last
    sold all its shares. ``trades`` are today's fills.
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
    last: ValuationPrice | None
    portfolio_value: int

    @property
    def sellable_quantity(self) -> int:
        return self.quantity - self.reserved_quantity

    @property
    def average_price(self) -> int:
        return average_price(self.cost, self.quantity)

    @property
    def price(self) -> int | None:
        return None if self.last is None else self.last.price

    @property
    def price_day(self) -> date | None:
        """Return the trading day (Korea) of the price."""
        return None if self.last is None else self.last.day

    @property
    def is_traded_today(self) -> bool | None:
        """Return whether the stock was traded today, None if it never was."""
        return None if self.last is None else self.last.is_traded_today

    @property
    def value(self) -> int | None:
        return None if self.last is None else self.last.price * self.quantity

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
        """Return the price from which today's change is measured."""
        return None if self.last is None else self.last.base_price

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
        return None if self.last is None else self.last.age_ms

    @property
    def freshness(self) -> Freshness | None:
        return None if self.last is None else self.last.freshness


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedHolding:
    """A stock of which all shares were sold (shares, won), costs of both sides included.

    ``written_off_quantity`` counts shares removed without proceeds after a delisting; their cost is
    included.
    """

    stock_code: str
    name: str
    market: str
    sector: str | None
    sold_quantity: int
    written_off_quantity: int
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
        return sum(holding.freshness is Freshness.STALE for holding in self.holdings)

    @property
    def holdings_at_close(self) -> int:
        """Return the number of holdings valued at a recorded close."""
        return sum(holding.freshness is Freshness.CLOSE for holding in self.holdings)

    @property
    def untraded_holdings(self) -> int:
        """Return the number of holdings that were not traded today, so that they change by 0."""
        return sum(holding.is_traded_today is False for holding in self.holdings)

    @property
    def freshness(self) -> Freshness | None:
        """Return the least fresh of the holdings' prices, None without a price."""
        found = {holding.freshness for holding in self.holdings}
        return next((value for value in reversed(Freshness) if value in found), None)

    @property
    def price_day(self) -> date | None:
        """Return the earliest trading day of the holdings' prices, None without a price."""
        days = [holding.price_day for holding in self.holdings if holding.price_day is not None]
        return min(days, default=None)

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
        """Return today's gain on all stocks held or traded, or None if a stock has no price."""
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


def load_cash(session: Session, user_id: UUID) -> CashRecord:
    row = session.execute(
        select(
            VIRTUAL_BALANCES.c.cash_balance,
            VIRTUAL_BALANCES.c.reserved_cash,
            VIRTUAL_BALANCES.c.debt,
        ).where(VIRTUAL_BALANCES.c.user_id == user_id)
    ).one()
    return CashRecord(cash_balance=row.cash_balance, reserved_cash=row.reserved_cash, debt=row.debt)


def load_closed_holdings(session: Session, user_id: UUID) -> list[ClosedHolding]:
    """Load the stocks that a user no longer holds, most recently sold first, in three statements
    at most.
    """
    sold = ORDER_EXECUTIONS.c
    held = select(PORTFOLIOS.c.user_id).where(
        PORTFOLIOS.c.user_id == sold.user_id, PORTFOLIOS.c.stock_code == sold.stock_code
    )
    rows = session.execute(
        select(
            sold.stock_code,
            STOCKS.c.name,
            STOCKS.c.market,
            STOCKS.c.sector,
            func.sum(sold.quantity).label("quantity"),
            func.sum(sold.cost + sold.buy_commission).label("cost"),
            func.sum(sold.realized_profit).label("profit"),
            func.max(sold.executed_at).label("last_sold_at"),
        )
        # An outer join, although every fill has its stock: with an inner join MariaDB would start
        # from the stocks instead of the user's sales.
        .outerjoin(STOCKS, STOCKS.c.code == sold.stock_code)
        .where(sold.user_id == user_id, sold.realized_profit.is_not(None), ~held.exists())
        .group_by(sold.stock_code, STOCKS.c.name, STOCKS.c.market, STOCKS.c.sector)
    )
    closed = {
        row.stock_code: ClosedHolding(
            stock_code=row.stock_code,
            name=row.name,
            market=row.market,
            sector=row.sector,
            sold_quantity=int(row.quantity),
            written_off_quantity=0,
            cost=int(row.cost),
            proceeds=int(row.cost + row.profit),
            last_sold_at=row.last_sold_at,
        )
        for row in rows
    }
    _add_write_offs(session, user_id, closed)
    by_code = sorted(closed.values(), key=lambda one: one.stock_code)
    return sorted(by_code, key=lambda one: one.last_sold_at, reverse=True)


def _add_write_offs(session: Session, user_id: UUID, closed: dict[str, ClosedHolding]) -> None:
    """Add the write-offs of stocks that the user no longer holds."""
    write_offs = load_write_offs(session, user_id)
    if not write_offs:
        return
    held = select(PORTFOLIOS.c.stock_code).where(PORTFOLIOS.c.user_id == user_id)
    codes = {lost.stock_code for lost in write_offs}
    stocks = session.execute(
        select(STOCKS.c.code, STOCKS.c.name, STOCKS.c.market, STOCKS.c.sector).where(
            STOCKS.c.code.in_(codes), STOCKS.c.code.not_in(held)
        )
    )
    names = {row.code: row for row in stocks}
    for lost in write_offs:
        if (stock := names.get(lost.stock_code)) is None:
            continue
        before = closed.get(lost.stock_code) or ClosedHolding(
            stock_code=stock.code,
            name=stock.name,
            market=stock.market,
            sector=stock.sector,
            sold_quantity=0,
            written_off_quantity=0,
            cost=0,
            proceeds=0,
            last_sold_at=lost.written_off_at,
        )
        closed[lost.stock_code] = replace(
            before,
            written_off_quantity=before.written_off_quantity + lost.quantity,
            cost=before.cost + lost.loss,
            last_sold_at=max(before.last_sold_at, lost.written_off_at),
        )


def value_holdings(
    rows: HoldingRows, prices: Mapping[str, ValuationPrice]
) -> tuple[HoldingRecord, ...]:
    """Value holdings at these prices. Weights are shares of the value of the priced holdings."""
    value = sum(
        prices[row.stock_code].price * row.quantity
        for row in rows.holdings
        if row.stock_code in prices
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
            last=prices.get(row.stock_code),
            portfolio_value=value,
        )
        for row in rows.holdings
        if row.quantity
    )


def summarize_portfolio(
    cash: CashRecord, rows: HoldingRows, prices: Mapping[str, ValuationPrice]
) -> SummaryRecord:
    """Return the totals of an account at these prices."""
    holdings = value_holdings(rows, prices)
    held = {holding.stock_code for holding in holdings}
    return SummaryRecord(
        cash=cash,
        holdings=holdings,
        realized_profit=sum(rows.realized_profit.values()),
        changes_of_sold_out=tuple(
            change_of_day(
                0, trades, price=None, base=prices[code].base_price if code in prices else None
            )
            for code, trades in rows.trades.items()
            if code not in held
        ),
    )


def require_single(holdings: tuple[HoldingRecord, ...]) -> HoldingRecord:
    """Return the only holding. Raise HoldingNotFound if there is none."""
    if not holdings:
        raise HoldingNotFound
    return holdings[0]


def _change_rate_bp(value: int | None, change: int | None) -> int | None:
    if value is None or change is None or value - change <= 0:
        return None
    return change_rate_bp(value, value - change)
