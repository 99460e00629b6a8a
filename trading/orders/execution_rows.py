"""Rows of executions: a fill with its price, its costs and the evidence for both."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from trading.config.settings import Settings
from trading.db.ids import new_id
from trading.exchange.fees import SaleTaxes, commission, sale_taxes
from trading.exchange.order_types import Side
from trading.exchange.time import trade_date
from trading.marketdata.ticks import Tick
from trading.orders.fill_price import Fill
from trading.orders.rows import LockedOrder, NewExecution, StoredPendingFill
from trading.stocks.queries import StockAttributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Why a fill has its price (won): the rule, the tick it is based on and that tick's session."""

    price: int
    rule: str
    session: str
    tick_position: int
    tick_price: int
    tick_traded_at: datetime
    tick_age_ms: int

    @classmethod
    def of_tick(cls, tick: Tick, fill: Fill, *, session: str, now: datetime) -> Self:
        """Return the evidence of a fill at the last trade."""
        return cls(
            price=fill.price,
            rule=fill.rule,
            session=session,
            tick_position=tick.position.packed,
            tick_price=tick.price,
            tick_traded_at=tick.traded_at,
            tick_age_ms=tick.age_ms(now),
        )

    @classmethod
    def of_pending_fill(cls, fill: StoredPendingFill, now: datetime) -> Self:
        """Return the evidence of a fill that the matcher found; the age is that at execution."""
        age = (now - fill.tick_received_at) // timedelta(milliseconds=1)
        return cls(
            price=fill.price,
            rule=fill.rule,
            session=fill.session,
            tick_position=fill.tick_position,
            tick_price=fill.tick_price,
            tick_traded_at=fill.tick_traded_at,
            tick_age_ms=max(0, age),
        )


def new_execution(
    order: LockedOrder,
    quantity: int,
    evidence: Evidence,
    *,
    stock: StockAttributes,
    settings: Settings,
    now: datetime,
) -> NewExecution:
    """Return the row of a fill of ``quantity`` shares, with its commission and taxes."""
    amount = evidence.price * quantity
    taxes = SaleTaxes(0, 0)
    if order.side == Side.SELL:
        taxes = sale_taxes(amount, market=stock.market, kind=stock.kind, on=trade_date(now))
    return NewExecution(
        id=new_id(),
        order_id=order.id,
        user_id=order.user_id,
        stock_code=order.stock_code,
        side=order.side,
        quantity=quantity,
        price=evidence.price,
        amount=amount,
        commission=commission(amount, settings.commission_ppm),
        transaction_tax=taxes.transaction,
        rural_tax=taxes.rural,
        rule=evidence.rule,
        tick_position=evidence.tick_position,
        tick_price=evidence.tick_price,
        tick_traded_at=evidence.tick_traded_at,
        tick_age_ms=evidence.tick_age_ms,
        executed_at=now,
        session=evidence.session,
        commission_ppm=settings.commission_ppm,
    )
