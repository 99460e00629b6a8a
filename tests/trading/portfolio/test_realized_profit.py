"""Realized profit by day, month, year and stock."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.exchange.trading_days import trade_for_weeks
from tests.trading.orders.order_history import instant
from tests.trading.orders.steps import bought, rows
from trading.exchange.order_types import Side
from trading.exchange.time import trade_date
from trading.portfolio.realized_profit import Grouping, RealizedProfit, realized_profit

KEY_LENGTHS = {Grouping.DAY: 10, Grouping.MONTH: 7, Grouping.YEAR: 4}
SUMS = ("quantity", "commission", "cost", "buy_commission", "realized_profit")


def found(
    harness: TradingHarness, user: UUID, group_by: Grouping, **more: Any
) -> tuple[RealizedProfit, list[RealizedProfit], str | None]:
    wanted = {
        "since": None,
        "until": None,
        "stock_code": None,
        "limit": 100,
        "cursor": None,
        **more,
    }
    totals, page = harness.core.read(realized_profit, user_id=user, group_by=group_by, **wanted)
    return totals, list(page.items), page.next_cursor


def by_hand(harness: TradingHarness, user: UUID, group_by: Grouping) -> dict[str, dict[str, int]]:
    """Compute the groups from a user's sales one by one."""
    sums: dict[str, dict[str, int]] = {}
    for sale in rows(
        harness,
        "SELECT * FROM order_executions WHERE user_id = :id AND side = 'SELL'",
        id=user.bytes,
    ):
        day = trade_date(instant(sale["executed_at"])).isoformat()
        key = sale["stock_code"] if group_by is Grouping.STOCK else day[: KEY_LENGTHS[group_by]]
        group = sums.setdefault(key, dict.fromkeys(("executions", *SUMS), 0))
        group["executions"] += 1
        for name in SUMS:
            group[name] += sale[name]
    return sums


@pytest.mark.parametrize("seed", [5, 6])
def test_groups_equal_the_executions(harness: TradingHarness, seed: int) -> None:
    """Also over the turn of a year; the totals are the sums of the groups."""
    user = harness.user()
    bought(harness, harness.user(), 5)
    harness.clock.now = datetime.fromisoformat("2026-12-20T01:00:00+00:00")
    trade_for_weeks(harness, user, seed=seed)

    for group_by in Grouping:
        totals, groups, cursor = found(harness, user, group_by)
        expected = by_hand(harness, user, group_by)
        assert cursor is None
        assert {
            group.key: {name: getattr(group, name) for name in ("executions", *SUMS)}
            for group in groups
        } == expected
        assert [group.key for group in groups] == sorted(
            expected, reverse=group_by is not Grouping.STOCK
        )
        for name in ("executions", "sold_amount", "tax", *SUMS):
            assert getattr(totals, name) == sum(getattr(group, name) for group in groups)
            assert type(getattr(totals, name)) is int
        for one in (totals, *groups):
            costs = one.commission + one.tax + one.cost + one.buy_commission
            assert one.realized_profit == one.sold_amount - costs
    assert len(found(harness, user, Grouping.YEAR)[1]) == 2


def test_pages_contain_each_group_once(harness: TradingHarness) -> None:
    """The totals are those of the period on every page."""
    user = harness.user()
    trade_for_weeks(harness, user, seed=7)
    for group_by in (Grouping.DAY, Grouping.STOCK):
        totals, groups, _ = found(harness, user, group_by)
        for limit in (1, 2):
            seen: list[RealizedProfit] = []
            cursor = None
            while True:
                page_totals, page, cursor = found(
                    harness, user, group_by, limit=limit, cursor=cursor
                )
                assert page_totals == totals
                assert len(page) <= limit
                seen += page
                if cursor is None:
                    break
            assert seen == groups


def test_groups_by_stock_have_names_and_can_be_filtered(harness: TradingHarness) -> None:
    user = harness.user()
    trade_for_weeks(harness, user, seed=8)
    _, groups, _ = found(harness, user, Grouping.STOCK)
    names = {group.key: group.stock_name for group in groups}

    assert names == {HYNIX: "SK하이닉스", SAMSUNG: "삼성전자"}
    for group in groups:
        totals, _, _ = found(harness, user, Grouping.DAY, stock_code=group.key)
        assert (totals.realized_profit, totals.profit_rate) == (
            group.realized_profit,
            group.profit_rate,
        )


def test_totals_without_sales_are_zero(harness: TradingHarness) -> None:
    """A sale counts once it is applied to the holding."""
    user = harness.user()
    bought(harness, user, 5)
    harness.tick(80_000)
    harness.place(user, Side.SELL, 1)
    harness.run(harness.sent.pop(0))

    totals, groups, cursor = found(harness, user, Grouping.DAY)

    assert (totals.executions, totals.realized_profit, totals.profit_rate, groups, cursor) == (
        0,
        0,
        None,
        [],
        None,
    )
    harness.run_all()
    assert found(harness, user, Grouping.DAY)[0].executions == 1


def test_realized_profit_takes_two_statements(harness: TradingHarness) -> None:
    user, counts = harness.user(), []
    for steps in (0, 30):
        trade_for_weeks(harness, user, seed=9, steps=steps)
        for group_by in Grouping:
            with statements_counted(harness.core.database.engine) as statements:
                found(harness, user, group_by)
            counts.append(len([one for one in statements if one.startswith("SELECT")]))
    assert set(counts) == {2}
