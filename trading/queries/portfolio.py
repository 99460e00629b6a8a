"""A user's wealth: cash, holdings at live prices, and their sum.

A price is shown with its age and freshness. Where there is none the value is unknown (None) and the totals say how many holdings are left out;
a missing price is never replaced by another figure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trading.database.rows import AnyRow
from trading.database.tables import Holding, OrderExecution, Stock, VirtualBalance, table_of
from trading.market.tick import Tick
from trading.rules.errors import HoldingNotFound
from trading.rules.money import BASIS_POINTS
from trading.rules.positions import average_price

_HOLDINGS = table_of(Holding)
_EXECUTIONS = table_of(OrderExecution)
_STOCKS = table_of(Stock)
_BALANCES = table_of(VirtualBalance)


@dataclass(frozen=True, slots=True, kw_only=True)
class CashRecord:
    """Cash in won; available is the balance less what open and unsettled buys and open refunds reserve, and never below zero: what is missing
    is the debt."""

    cash_balance: int
    reserved_cash: int
    debt: int

    @property
    def available_cash(self) -> int:
        return self.cash_balance + self.debt - self.reserved_cash


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingRecord:
    """One holding (shares, won, rates in basis points). ``price`` and what follows from it are None without a tick."""

    stock_code: str
    name: str
    market: str
    sector: str | None
    quantity: int
    reserved_quantity: int
    cost: int
    buy_commission: int
    realized_profit: int
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
        """Value less cost and the commission paid on it; the sale's own costs are not yet known."""
        return None if self.value is None else self.value - self.cost - self.buy_commission

    @property
    def unrealized_profit_rate_bp(self) -> int | None:
        if self.unrealized_profit is None:
            return None
        return self.unrealized_profit * BASIS_POINTS // (self.cost + self.buy_commission)

    @property
    def weight_bp(self) -> int | None:
        """The share of the value of all priced holdings."""
        return None if self.value is None else self.value * BASIS_POINTS // self.portfolio_value

    @property
    def todays_change(self) -> int | None:
        """(Price − base price) × quantity; None without a tick or a base price."""
        if self.tick is None or self.tick.change is None:
            return None
        return self.tick.change * self.quantity

    @property
    def price_age_ms(self) -> int | None:
        return None if self.tick is None else self.tick.age_ms(self.now)

    @property
    def freshness(self) -> str | None:
        return None if self.price_age_ms is None else freshness(self.price_age_ms, self.freshness_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRecord:
    """Totals in won. ``holdings_value`` counts the holdings that have a price; ``unpriced_holdings`` is how many have none."""

    cash: CashRecord
    holdings: tuple[HoldingRecord, ...]
    realized_profit: int

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
        """Cash, reserved cash included, and holdings; None while a holding has no price."""
        return None if self.unpriced_holdings else self.cash.cash_balance + self.holdings_value

    @property
    def unrealized_profit(self) -> int | None:
        return None if self.unpriced_holdings else sum(holding.unrealized_profit or 0 for holding in self.holdings)

    @property
    def todays_change(self) -> int | None:
        """Sum over the holdings; None while one of them has no price or no base price."""
        changes = [holding.todays_change for holding in self.holdings]
        return None if None in changes else sum(change for change in changes if change is not None)


def freshness(age_ms: int, limit_ms: int) -> str:
    """LIVE up to the age at which a tick may still fill an order, STALE beyond."""
    return "LIVE" if age_ms <= limit_ms else "STALE"


def cash_of(session: Session, user_id: UUID) -> CashRecord:
    row = session.execute(
        select(_BALANCES.c.cash_balance, _BALANCES.c.reserved_cash, _BALANCES.c.debt).where(
            _BALANCES.c.user_id == user_id
        )
    ).one()
    return CashRecord(cash_balance=row.cash_balance, reserved_cash=row.reserved_cash, debt=row.debt)


def rows_of(session: Session, user_id: UUID, *, stock_code: str | None = None) -> list[AnyRow]:
    """The holdings' rows with their stock's name, market and sector, by code."""
    wanted = (
        select(_HOLDINGS, _STOCKS.c.name, _STOCKS.c.market, _STOCKS.c.sector)
        .join(_STOCKS, _STOCKS.c.code == _HOLDINGS.c.stock_code)
        .where(_HOLDINGS.c.user_id == user_id)
        .order_by(_HOLDINGS.c.stock_code)
    )
    if stock_code is not None:
        wanted = wanted.where(_HOLDINGS.c.stock_code == stock_code)
    return list(session.execute(wanted))


def realized_profit_of(session: Session, user_id: UUID) -> int:
    """Profit realised by all sales ever applied (won), sold-out holdings included."""
    total = session.scalar(
        select(func.coalesce(func.sum(_EXECUTIONS.c.realized_profit), 0)).where(_EXECUTIONS.c.user_id == user_id)
    )
    return int(total or 0)


def priced(
    rows: list[AnyRow], ticks: Mapping[str, Tick], *, now: datetime, freshness_ms: int
) -> tuple[HoldingRecord, ...]:
    """Holdings valued at these ticks; weights are shares of the value of those that have a price."""
    value = sum(ticks[row.stock_code].price * row.quantity for row in rows if row.stock_code in ticks)
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
            realized_profit=row.realized_profit,
            tick=ticks.get(row.stock_code),
            now=now,
            freshness_ms=freshness_ms,
            portfolio_value=value,
        )
        for row in rows
        if row.quantity
    )


def only(holdings: tuple[HoldingRecord, ...]) -> HoldingRecord:
    """The single holding asked for. Raises HoldingNotFound when there is none."""
    if not holdings:
        raise HoldingNotFound
    return holdings[0]
