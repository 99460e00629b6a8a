"""Trade statistics of the database, compared with sums over the fills."""

import re
from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import RowMapping

from launcher.plan import ROOT
from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.exchange.trading_days import trade_for_weeks
from tests.trading.orders.order_history import instant
from tests.trading.orders.steps import bought, change_settings, rows
from trading.exchange.order_types import Side, TimeInForce
from trading.exchange.time import KST, trade_date
from trading.portfolio.trade_statistics import TradeStatistics, trade_statistics
from trading.portfolio.trade_totals import TradeTotals, sum_totals


def statistics(harness: TradingHarness, user: UUID, **period: Any) -> TradeStatistics:
    wanted = {"since": None, "until": None, "stock_code": None, **period}
    return harness.core.read(trade_statistics, user_id=user, **wanted)


def holding_times(fills: Sequence[RowMapping]) -> dict[tuple[date, bytes], int]:
    """Return the holding time (s) of each trade from a FIFO queue of single shares."""
    queues: defaultdict[str, deque[datetime]] = defaultdict(deque)
    held: defaultdict[tuple[date, bytes], list[int]] = defaultdict(list)
    for fill in fills:
        at, queue = instant(fill["executed_at"]), queues[fill["stock_code"]]
        for _ in range(fill["quantity"]):
            if fill["side"] == "BUY":
                queue.append(at)
            else:
                held[trade_date(at), fill["order_id"]].append(
                    int((at - queue.popleft()).total_seconds())
                )
    return {trade: sum(times) // len(times) for trade, times in held.items()}


def by_hand(harness: TradingHarness, user: UUID) -> dict[date, TradeTotals]:
    """Compute the totals from a user's fills one by one."""
    fills = rows(
        harness,
        "SELECT * FROM order_executions WHERE user_id = :id ORDER BY executed_at, id",
        id=user.bytes,
    )
    found: defaultdict[date, TradeTotals] = defaultdict(TradeTotals)
    profits: defaultdict[tuple[date, bytes], int] = defaultdict(int)
    for fill in fills:
        day, sold = trade_date(instant(fill["executed_at"])), fill["side"] == "SELL"
        found[day] += TradeTotals(
            executions=1,
            bought_amount=0 if sold else fill["amount"],
            sold_amount=fill["amount"] if sold else 0,
            commission=fill["commission"],
            tax=fill["transaction_tax"] + fill["rural_tax"],
        )
        if sold:
            profits[day, fill["order_id"]] += fill["realized_profit"]
    held = holding_times(fills)
    for (day, order_id), profit in profits.items():
        found[day] += TradeTotals(
            trades=1,
            wins=profit > 0,
            losses=profit < 0,
            gross_profit=max(profit, 0),
            gross_loss=max(-profit, 0),
            largest_win=max(profit, 0),
            largest_loss=max(-profit, 0),
            held_trades=1,
            held_s=held[day, order_id],
        )
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_totals_equal_the_fills(harness: TradingHarness, seed: int) -> None:
    """Weeks of random trading with partial fills, beside another user's."""
    change_settings(harness, fill_profile="volume")
    user = harness.user()
    bought(harness, harness.user(), 3)
    trade_for_weeks(harness, user, seed=seed)

    found, expected = statistics(harness, user), by_hand(harness, user)

    assert found.by_day == expected
    assert sum_totals(found.by_day.values()).trades > 5
    assert all(
        type(getattr(totals, name)) is int
        for totals in found.by_day.values()
        for name in totals.__slots__
    )
    best = max(totals.largest_win for totals in expected.values())
    worst = max(totals.largest_loss for totals in expected.values())
    assert found.best_trade is not None
    assert found.worst_trade is not None
    assert best == max(found.best_trade.realized_profit, 0)
    assert worst == max(-found.worst_trade.realized_profit, 0)


def test_statistics_of_a_period_and_of_a_stock(harness: TradingHarness) -> None:
    """Days and stocks add up to the total. Holding times include purchases before the period."""
    user = harness.user()
    trade_for_weeks(harness, user, seed=3)
    whole = statistics(harness, user).by_day

    for day, totals in whole.items():
        begins = datetime.combine(day, time(), KST).astimezone(UTC)
        alone = statistics(harness, user, since=begins, until=begins + timedelta(days=1))
        assert alone.by_day == {day: totals}
    stocks = [
        sum_totals(statistics(harness, user, stock_code=code).by_day.values())
        for code in (SAMSUNG, HYNIX)
    ]
    assert sum_totals(stocks) == sum_totals(whole.values())


def test_trade_is_one_orders_sales_of_one_day(harness: TradingHarness) -> None:
    """An order that sells two parts before midnight in Korea and one after it makes two trades."""
    change_settings(harness, fill_profile="volume")
    user = harness.user()
    harness.tick(70_000, volume=100)
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    harness.tick(70_000, volume=100)
    harness.match()
    harness.run_all()
    assert harness.order(user, order.id).executed_quantity == 10
    harness.clock.now = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
    sale = harness.place(user, Side.SELL, 6, limit=71_000, time_in_force=TimeInForce.GTC)
    for volume in (2, 3, 5):
        harness.tick(71_000, volume=volume)
        harness.match()
        harness.run_all()
        harness.clock.advance(minutes=20)

    found = statistics(harness, user)

    assert {day: totals.trades for day, totals in found.by_day.items()} == {
        date(2026, 11, 20): 1,
        date(2026, 11, 21): 1,
    }
    assert found.best_trade is not None
    assert (found.best_trade.order_id, found.best_trade.quantity, found.best_trade.day) == (
        sale.id,
        5,
        date(2026, 11, 20),
    )
    assert found.best_trade.stock_name == "삼성전자"


def test_unapplied_sale_is_in_no_trade(harness: TradingHarness) -> None:
    """It counts as turnover and as unapplied."""
    user = harness.user()
    bought(harness, user, 10)
    harness.tick(71_300)
    harness.place(user, Side.SELL, 4)
    harness.run(harness.sent.pop(0))

    (totals,) = statistics(harness, user).by_day.values()
    assert (totals.sold_amount, totals.unapplied_executions, totals.trades) == (285_200, 1, 0)
    assert (totals.held_trades, totals.average_holding_s, totals.win_rate) == (0, None, None)

    harness.run_all()
    (totals,) = statistics(harness, user).by_day.values()
    assert (totals.unapplied_executions, totals.trades, totals.realized_profit) == (0, 1, 4_547)


def test_holding_times_of_the_documented_example(harness: TradingHarness) -> None:
    """The example of docs/formulas.md, trade by trade."""
    page = (ROOT / "docs" / "formulas.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (BUY|SELL) \| (\d+) \| (\d+) \| (\d+|–) \|$", page, flags=re.MULTILINE)
    user, began, held_s = harness.user(), harness.clock(), 0
    assert len(table) == 4

    for side, quantity, second, documented in table:
        harness.clock.now = began + timedelta(seconds=int(second))
        harness.tick(70_000)
        harness.place(user, Side(side), int(quantity))
        harness.run_all()
        (totals,) = statistics(harness, user).by_day.values()
        assert totals.held_s - held_s == (0 if documented == "–" else int(documented))
        held_s = totals.held_s


def test_statistics_take_four_statements(harness: TradingHarness) -> None:
    user, counts = harness.user(), []
    for steps in (0, 3, 30):
        trade_for_weeks(harness, user, seed=4, steps=steps)
        with statements_counted(harness.core.database.engine) as statements:
            statistics(harness, user)
        counts.append(len([one for one in statements if one.startswith(("SELECT", "WITH"))]))
    assert counts == [4, 4, 4]
