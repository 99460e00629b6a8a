"""Partial fills: cash and shares of each part, of the waiting rest and of what is released."""

from uuid import UUID

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import (
    bought,
    bought_in_part,
    cash,
    change_settings,
    rows,
    shares,
    sweep,
)
from trading.exchange.order_types import Side, TimeInForce
from trading.orders.execute import ExecutionReport
from trading.tasks import Task, TaskRequest


def trade(harness: TradingHarness, price: int, volume: int) -> None:
    """Print a trade, and match, execute, settle and apply it."""
    harness.tick(price, volume=volume)
    harness.match()
    harness.run_all()


def with_shares(harness: TradingHarness, quantity: int) -> tuple[UUID, int]:
    """Return a user who holds shares, and the user's cash."""
    user = harness.user()
    change_settings(harness, fill_profile="simple")
    bought(harness, user, quantity)
    change_settings(harness, fill_profile="volume")
    harness.match()
    return user, cash(harness, user)[0]


def test_buy_in_three_parts(volume_harness: TradingHarness) -> None:
    """After each part the rest reserves exactly its cost at the limit; commissions are rounded down
    for each part.
    """
    harness = volume_harness
    user = harness.user()
    harness.tick(33_500)
    order = harness.place(user, Side.BUY, 10, limit=33_350)
    assert cash(harness, user) == (10_000_000, 333_500 + 50)
    spent = 0
    for volume, commission, rest in ((3, 15, 233_450 + 35), (1, 5, 200_100 + 30), (6, 30, 0)):
        trade(harness, 33_300, volume)
        spent += volume * 33_350 + commission
        assert cash(harness, user) == (10_000_000 - spent, rest)
        assert harness.breaches() == []
    assert [fill.commission for fill in harness.order(user, order.id).executions] == [15, 5, 30]
    assert harness.order(user, order.id).status == "FILLED"
    assert shares(harness, user) == (10, 0)


def test_sale_in_parts(volume_harness: TradingHarness) -> None:
    harness = volume_harness
    user, balance = with_shares(harness, 10)
    order = harness.place(user, Side.SELL, 6, limit=71_000)
    for volume, held, reserved in ((2, 8, 4), (3, 5, 1)):
        trade(harness, 71_500, volume)
        assert shares(harness, user) == (held, reserved)
        assert harness.breaches() == []
    harness.cancel(user, order.id)
    assert shares(harness, user) == (5, 0)
    # 71,000 × 2 and × 3: commission 21 and 31, transaction tax 71 and 106, rural tax 213 and 319.
    assert cash(harness, user) == (balance + 142_000 - 305 + 213_000 - 456, 0)
    assert harness.breaches() == []


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_rest_is_cancelled_at_any_stage_of_a_part(
    volume_harness: TradingHarness, stages: int
) -> None:
    """The cost of the part stays reserved until it is settled; the rest is released at once."""
    harness = volume_harness
    user, order = bought_in_part(harness, traded_at=69_000, stages=stages)
    harness.cancel(user, order.id)
    assert cash(harness, user) == ((10_000_000, 280_042) if stages == 1 else (9_719_958, 0))
    assert harness.breaches() == []
    harness.run_all()
    assert (cash(harness, user), shares(harness, user)) == ((9_719_958, 0), (4, 0))
    ended = harness.order(user, order.id)
    assert (ended.status, ended.executed_quantity, ended.reason) == (
        "CANCELLED",
        4,
        "cancelled-by-user",
    )
    assert harness.breaches() == []


def test_rest_of_an_ioc_sale_is_released(volume_harness: TradingHarness) -> None:
    harness = volume_harness
    user, _ = with_shares(harness, 5)
    order = harness.place(user, Side.SELL, 5, limit=70_000, time_in_force=TimeInForce.IOC)
    harness.tick(70_000, volume=2)
    harness.match()
    harness.run(harness.sent.pop())
    assert shares(harness, user) == (5, 2)
    assert harness.breaches() == []
    harness.run_all()
    assert shares(harness, user) == (3, 0)
    assert harness.order(user, order.id).reason == "not-filled-at-once"
    assert harness.breaches() == []


def test_ioc_order_keeps_its_deadline_when_another_task_includes_it(
    volume_harness: TradingHarness,
) -> None:
    harness = volume_harness
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 10, limit=70_000, time_in_force=TimeInForce.IOC)
    harness.clock.advance(seconds=9)
    assert harness.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport()
    harness.clock.advance(seconds=1)
    harness.sent += sweep(harness).requests
    harness.run_all()
    assert harness.order(user, order.id).status == "CANCELLED"
    assert cash(harness, user) == (10_000_000, 0)


def test_raised_commission_is_paid_from_available_cash(volume_harness: TradingHarness) -> None:
    """Accepted at 0.015 %, filled at 1 %."""
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    change_settings(harness, commission_ppm=10_000)
    trade(harness, 70_000, 6)
    assert cash(harness, user) == (10_000_000 - 424_200, 700_105 - 424_200)
    assert harness.breaches() == []
    trade(harness, 70_000, 4)
    assert cash(harness, user) == (10_000_000 - 707_000, 0)
    assert harness.order(user, order.id).status == "FILLED"
    assert harness.breaches() == []


def test_unaffordable_raised_commission_ends_the_rest(
    volume_harness: TradingHarness,
) -> None:
    """The second part is dropped and the first one stays."""
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 142, limit=70_000)
    change_settings(harness, commission_ppm=10_000)
    trade(harness, 70_000, 100)
    assert harness.breaches() == []
    trade(harness, 70_000, 42)
    ended = harness.order(user, order.id)
    assert (ended.status, ended.reason, ended.executed_quantity) == (
        "CANCELLED",
        "insufficient-cash",
        100,
    )
    assert cash(harness, user) == (10_000_000 - 7_070_000, 0)
    assert harness.breaches() == []


@pytest.mark.parametrize("executes", [True, False])
def test_profile_change_with_a_partly_filled_order(
    volume_harness: TradingHarness, executes: bool
) -> None:
    """Its part, executed or pending, is by volume; the next trade fills the rest completely."""
    harness = volume_harness
    user, order = bought_in_part(harness, stages=3 if executes else 0)
    change_settings(harness, fill_profile="simple")
    trade(harness, 69_900, 1)
    fills = harness.order(user, order.id).executions
    assert [(fill.quantity, fill.price) for fill in fills] == [(4, 70_000), (6, 70_000)]
    assert harness.breaches() == []


def test_market_order_by_volume_fills_after_a_change_to_the_simple_profile(
    volume_harness: TradingHarness,
) -> None:
    harness = volume_harness
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 10)
    change_settings(harness, fill_profile="simple")
    trade(harness, 70_100, 1)
    (fill,) = harness.order(user, order.id).executions
    assert (fill.quantity, fill.price, fill.rule) == (10, 70_100, "market-at-print")
    assert harness.breaches() == []


@pytest.mark.parametrize("shards", [(2, 1), (1, 2, 1)])
def test_trade_is_matched_once_when_the_shard_count_changes(
    volume_harness: TradingHarness, shards: tuple[int, ...]
) -> None:
    """One matcher, two, and one again."""
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    harness.match()
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    harness.tick(70_000, volume=4)
    for count in shards:
        change_settings(harness, matcher_shards=count)
        for shard in range(count):
            harness.match(shard)
        if count == 2:
            harness.run_all()
    harness.run_all()
    assert [fill.quantity for fill in harness.order(user, order.id).executions] == [4]
    assert rows(harness, "SELECT * FROM pending_fills") == []
    assert harness.breaches() == []


@pytest.mark.parametrize("scanned", [0, 1])
def test_matchers_pass_on_no_position_before_all_have_scanned(
    volume_harness: TradingHarness, scanned: int
) -> None:
    """One of two new matchers has run when the count is changed back: no trade is lost or counted
    twice.
    """
    harness = volume_harness
    user = harness.user()
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    harness.tick(69_900, volume=4)
    change_settings(harness, matcher_shards=2)
    harness.match(scanned)
    change_settings(harness, matcher_shards=1)
    harness.match()
    harness.run_all()
    assert harness.order(user, order.id).executed_quantity == 4
    assert harness.breaches() == []
