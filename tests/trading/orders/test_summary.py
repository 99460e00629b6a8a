"""Order summaries: the database's totals equal those computed from the orders."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought
from trading.exchange.order_types import Side
from trading.orders.model import OrderStatus
from trading.orders.queries import OrderFilter, list_orders
from trading.orders.summary import OrderSummary, SideTotals, order_summary


def summary(harness: TradingHarness, user: UUID, **period: Any) -> OrderSummary:
    wanted = {"since": None, "until": None, "stock_code": None, **period}
    return harness.core.read(order_summary, user_id=user, **wanted)


def computed_totals(
    harness: TradingHarness, user: UUID, side: Side, stock_code: str | None = None
) -> SideTotals:
    """Return the totals computed from a user's orders one by one."""
    orders = harness.core.read(
        list_orders,
        user_id=user,
        wanted=OrderFilter(side=side, stock_codes=None if stock_code is None else [stock_code]),
        limit=100,
        hours=harness.core.market_hours(),
    ).items
    fills = [fill for order in orders for fill in order.executions]
    return SideTotals(
        orders=len(orders),
        ordered_quantity=sum(order.quantity for order in orders),
        executed_quantity=sum(order.executed_quantity for order in orders),
        executed_amount=sum(order.executed_amount for order in orders),
        commission=sum(fill.commission for fill in fills),
        transaction_tax=sum(fill.transaction_tax for fill in fills),
        rural_tax=sum(fill.rural_tax for fill in fills),
        realized_profit=sum(fill.realized_profit or 0 for fill in fills),
        unapplied_executions=sum(fill.applied_at is None for fill in fills),
    )


@pytest.fixture
def trader(harness: TradingHarness) -> UUID:
    """Return a user with orders in all states but one, on two stocks and three days.

    Another user's orders must not be counted.
    """
    user = harness.user()
    bought(harness, harness.user(), 9)
    bought(harness, user, 10)
    bought(harness, user, 3, 200_000, HYNIX)
    harness.cancel(user, harness.place(user, Side.BUY, 4, limit=60_000).id)
    harness.place(user, Side.BUY, 2, limit=50_000)
    harness.run_all()
    harness.clock.advance(days=1)
    harness.expire()
    harness.tick(71_300)
    harness.place(user, Side.SELL, 4)
    harness.tick(65_000)
    harness.place(user, Side.SELL, 5)
    harness.run_all()
    harness.clock.advance(days=1)
    harness.tick(70_000)
    harness.place(user, Side.SELL, 1)
    harness.place(user, Side.BUY, 1, limit=60_000)
    return user


@pytest.mark.parametrize("stock_code", [None, SAMSUNG, HYNIX, "A035720"])
def test_totals_equal_those_of_the_orders(
    harness: TradingHarness, trader: UUID, stock_code: str | None
) -> None:
    found = summary(harness, trader, stock_code=stock_code)

    assert found.by_side == {
        side: computed_totals(harness, trader, side, stock_code) for side in Side
    }
    assert all(
        type(getattr(found.by_side[side], name)) is int
        for side in Side
        for name in SideTotals.__slots__
    )


def test_every_status_is_counted(harness: TradingHarness, trader: UUID) -> None:
    """Statuses without an order are 0, and the sum is the number of orders."""
    found = summary(harness, trader)

    assert found.by_status == {
        OrderStatus.PENDING: 2,
        OrderStatus.PARTIALLY_FILLED: 0,
        OrderStatus.FILLED: 4,
        OrderStatus.CANCELLED: 1,
        OrderStatus.REJECTED: 0,
        OrderStatus.EXPIRED: 1,
    }
    assert found.orders == sum(found.by_status.values()) == 8


def test_period_selects_by_acceptance(harness: TradingHarness, trader: UUID) -> None:
    """The end of the period is exclusive."""
    first = harness.clock() - timedelta(days=2)

    def orders(since: datetime | None, until: datetime | None) -> int:
        return summary(harness, trader, since=since, until=until).orders

    assert [
        orders(first + timedelta(days=n), first + timedelta(days=n + 1)) for n in range(-1, 4)
    ] == [0, 4, 2, 2, 0]
    assert (orders(first, first), orders(first, None), orders(None, first)) == (0, 8, 0)


def test_unapplied_fill_is_counted(harness: TradingHarness) -> None:
    """Its profit is not known yet."""
    user = harness.user()
    bought(harness, user, 10)
    harness.tick(71_300)
    harness.place(user, Side.SELL, 4)
    harness.run(harness.sent.pop(0))

    sold = summary(harness, user).by_side[Side.SELL]

    assert (sold.executed_quantity, sold.realized_profit, sold.unapplied_executions) == (4, 0, 1)
    harness.run_all()
    sold = summary(harness, user).by_side[Side.SELL]
    assert (sold.realized_profit, sold.unapplied_executions) == (4_547, 0)


def test_summary_without_orders_is_zero(harness: TradingHarness) -> None:
    found = summary(harness, harness.user())

    assert (found.orders, set(found.by_status.values())) == (0, {0})
    assert found.by_side == {Side.BUY: SideTotals(), Side.SELL: SideTotals()}


def test_summary_needs_two_statements(harness: TradingHarness) -> None:
    user, counts = harness.user(), []
    for more in (0, 1, 11):
        for _ in range(more):
            bought(harness, user, 1)
        with statements_counted(harness.core.database.engine) as statements:
            summary(harness, user)
        counts.append(len([one for one in statements if one.startswith("SELECT")]))
    assert counts == [2, 2, 2]
