"""The matcher with a real database and a real tick stream."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import select

from tests.support.trading_harness import SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import (
    bought,
    cash,
    change_settings,
    rows,
    set_status,
    shares,
    sweep,
)
from tests.trading.threads import run_together
from trading.exchange.order_types import Side, TimeInForce
from trading.marketdata.sharding import shard_of
from trading.orders.execute import ExecutionReport
from trading.orders.match import MatchReport, match_orders
from trading.orders.records import OrderRecord
from trading.orders.tables import MATCH_CURSORS
from trading.redis import keys
from trading.tasks import Task
from trading.unit_of_work import UnitOfWork

HYUNDAI = "A005380"


def fill_of(harness: TradingHarness, user: UUID, order: OrderRecord) -> tuple[int, int, str, int]:
    """Return quantity, price, rule and tick price of an order's only fill."""
    (fill,) = harness.order(user, order.id).executions
    return fill.quantity, fill.price, fill.rule, fill.tick_price


def test_resting_buy_is_filled_at_its_limit(
    harness: TradingHarness,
) -> None:
    """Not by earlier trades and not by trades above the limit."""
    user = harness.user()
    harness.tick(69_000)
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    assert (order.reserved_cash, harness.sent) == (700_105, [])
    assert harness.match() == MatchReport(ticks=2)
    harness.tick(70_100)
    harness.tick(69_800)
    harness.tick(70_300)

    assert harness.match() == MatchReport(ticks=3, filled=1)
    assert [request.task for request in harness.sent] == [Task.EXECUTE_ORDERS]
    harness.run_all()

    assert fill_of(harness, user, order) == (10, 70_000, "resting-at-limit", 69_800)
    assert cash(harness, user) == (10_000_000 - 700_105, 0)
    assert harness.match() == MatchReport()
    assert harness.breaches() == []


def test_touch_between_two_runs_is_not_missed(harness: TradingHarness) -> None:
    """The price reached the limit and moved away again before the next run."""
    user = harness.user()
    bought(harness, user, 10)
    order = harness.place(user, Side.SELL, 4, limit=70_500)
    for price in (70_100, 70_600, 70_000):
        harness.tick(price)
    harness.match()
    harness.run_all()
    assert fill_of(harness, user, order) == (4, 70_500, "resting-at-limit", 70_600)
    assert shares(harness, user) == (6, 0)
    assert harness.breaches() == []


def test_order_accepted_without_a_live_price_fills_at_the_first_trade(
    harness: TradingHarness,
) -> None:
    user = harness.user()
    better, worse = (harness.place(user, Side.BUY, 1, limit=limit) for limit in (80_000, 60_000))
    harness.tick(70_000)
    assert harness.match() == MatchReport(ticks=1, filled=1, resting=1)
    harness.run_all()
    assert fill_of(harness, user, better) == (1, 70_000, "arriving-at-print", 70_000)
    harness.tick(59_000)
    harness.match()
    harness.run_all()
    assert fill_of(harness, user, worse) == (1, 60_000, "resting-at-limit", 59_000)
    assert harness.breaches() == []


def test_matcher_catches_up_from_the_stream_after_downtime(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    trade = harness.tick(69_900)
    harness.clock.advance(hours=1)
    harness.tick(75_000)
    harness.match()
    harness.run_all()
    (fill,) = harness.order(user, order.id).executions
    assert (fill.price, fill.tick_position, fill.tick_age_ms) == (
        70_000,
        str(trade.position),
        3_600_000,
    )


@pytest.mark.parametrize("lost", ["trimmed", "deleted"])
def test_trades_lost_from_the_stream_fill_nothing(harness: TradingHarness, lost: str) -> None:
    """The gap is logged, and only later trades fill."""
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.match()
    harness.tick(69_900)
    if lost == "deleted":
        harness.core.redis.delete(keys.TICK_STREAM)
        assert harness.match() == MatchReport()
        harness.tick(71_000)
    else:
        harness.tick(71_000)
        harness.core.redis.xtrim(keys.TICK_STREAM, maxlen=1, approximate=False)
    assert harness.match() == MatchReport(ticks=1, gap=True)
    assert harness.order(user, order.id).status == "PENDING"
    harness.tick(70_000)
    assert harness.match() == MatchReport(ticks=1, filled=1)


def test_pending_fills_and_cursor_are_committed_together(harness: TradingHarness) -> None:
    """A matcher that crashes before its COMMIT has stored nothing; the next one finds the same
    trades.
    """
    user = harness.user()
    harness.tick(70_500)
    harness.place(user, Side.BUY, 1, limit=70_000)
    harness.tick(69_900)

    def match_and_crash(uow: UnitOfWork) -> None:
        report = match_orders(uow, shard=0, stream=harness.core.ticks)
        assert report.filled == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        harness.core.run(match_and_crash)
    assert (
        rows(harness, "SELECT * FROM pending_fills"),
        rows(harness, "SELECT * FROM match_cursors"),
    ) == ([], [])
    assert harness.match() == MatchReport(ticks=2, filled=1)


def test_sweep_dispatches_pending_fills_whose_task_was_lost(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.tick(69_900)
    harness.match()
    harness.sent.clear()
    harness.clock.advance(seconds=3)
    harness.sent += sweep(harness).requests
    harness.run_all()
    assert harness.order(user, order.id).status == "FILLED"
    assert harness.breaches() == []


def test_two_concurrent_matchers_fill_an_order_once(server_harness: TradingHarness) -> None:
    harness = server_harness
    user = harness.user()
    for _ in range(20):
        harness.tick(70_500)
        order = harness.place(user, Side.BUY, 1, limit=70_000)
        harness.tick(69_900)
        reports = run_together(harness.match, harness.match)
        assert sum(report.filled for report in reports) == 1
        harness.run_all()
        assert fill_of(harness, user, order) == (1, 70_000, "resting-at-limit", 69_900)
    assert harness.breaches() == []


def test_matcher_returns_at_once_when_the_cursor_is_locked(server_harness: TradingHarness) -> None:
    harness = server_harness
    harness.tick(70_000)
    harness.match()
    cursors = MATCH_CURSORS
    with harness.core.database.engine.begin() as other:
        other.execute(select(cursors).with_for_update())
        assert harness.match() == MatchReport(busy=True)


def test_shards_fill_only_orders_of_their_own_stocks(database_uri: str, valkey_url: str) -> None:
    with opened(settings_for(database_uri, valkey_url, matcher_shards=2)) as harness:
        assert {shard_of(SAMSUNG, 2), shard_of(HYUNDAI, 2)} == {0, 1}
        user = harness.user()
        orders = {}
        for code in (SAMSUNG, HYUNDAI):
            harness.tick(70_500, code)
            orders[shard_of(code, 2)] = harness.place(user, Side.BUY, 1, code, limit=70_000)
            harness.tick(70_000, code)
        for shard in (1, 0):
            assert harness.match(shard) == MatchReport(ticks=4, filled=1)
            harness.run_all()
            assert harness.order(user, orders[shard].id).status == "FILLED"
        assert harness.breaches() == []


def test_changed_shard_count_continues_from_the_slowest_old_cursor(
    database_uri: str, valkey_url: str
) -> None:
    with opened(settings_for(database_uri, valkey_url, matcher_shards=2)) as harness:
        harness.tick(70_500)
        for shard in (0, 1):
            harness.match(shard)
        slower = harness.tick(70_500)
        harness.match(0)
        change_settings(harness, matcher_shards=1)
        assert harness.match() == MatchReport(ticks=1)
        (cursor,) = rows(harness, "SELECT position FROM match_cursors WHERE shards = 1")
        assert cursor["position"] == slower.position.packed


def test_trades_of_a_halted_stock_fill_nothing(harness: TradingHarness) -> None:
    """Neither during the halt nor later."""
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    set_status(harness, "HALTED")
    harness.tick(69_000)
    assert harness.match() == MatchReport(ticks=1 + 1)
    set_status(harness, "TRADABLE")
    assert harness.match() == MatchReport()
    assert harness.order(user, order.id).status == "PENDING"


def test_trades_outside_the_market_hours_fill_nothing(krx_harness: TradingHarness) -> None:
    """Before the opening, after the close, and for a fund in the after-market."""
    harness = krx_harness
    user = harness.user()
    fund = "A069500"
    harness.clock.now = datetime(
        2026, 11, 19, 22, 0, tzinfo=UTC
    )  # 07:00 in Korea, two hours before the opening
    share_order = harness.place(user, Side.BUY, 1, limit=70_000, time_in_force=TimeInForce.GTC)
    fund_order = harness.place(user, Side.BUY, 1, fund, limit=40_000, time_in_force=TimeInForce.GTC)
    for hour, minute, filled in ((23, 30, 0), (0, 0, 2)):
        harness.clock.now = datetime(2026, 11, 19 if hour else 20, hour, minute, tzinfo=UTC)
        harness.tick(69_000)
        harness.tick(39_000, fund)
        assert harness.match().filled == filled
    harness.run_all()
    assert {fill_of(harness, user, one)[2] for one in (share_order, fund_order)} == {
        "arriving-at-print"
    }
    gtc = TimeInForce.GTC
    evening = [
        harness.place(user, Side.BUY, 1, code, limit=limit, time_in_force=gtc)
        for code, limit in ((SAMSUNG, 60_000), (fund, 30_000))
    ]
    harness.clock.now = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)  # 17:00: the after-market
    harness.tick(59_000)
    harness.tick(29_000, fund)
    harness.match()
    harness.run_all()
    assert [harness.order(user, one.id).status for one in evening] == ["FILLED", "PENDING"]
    assert harness.breaches() == []


def test_each_partial_fill_is_settled_separately(volume_harness: TradingHarness) -> None:
    """25 of 30 shares by two trades; the rest waits with its reservation."""
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 30, limit=70_000)
    harness.tick(70_000, volume=10)
    harness.tick(69_900, volume=15)
    assert harness.match() == MatchReport(ticks=3, filled=1)
    assert harness.match() == MatchReport()
    harness.run_all()
    part = harness.order(user, order.id)
    assert (part.status, part.executed_quantity) == ("PARTIALLY_FILLED", 25)
    assert [(fill.quantity, fill.price) for fill in part.executions] == [(10, 70_000), (15, 70_000)]
    assert cash(harness, user) == (10_000_000 - 700_105 - 1_050_157, 350_052)
    harness.tick(70_000, volume=99)
    harness.match()
    harness.run_all()
    assert harness.order(user, order.id).status == "FILLED"
    assert cash(harness, user)[1] == 0
    assert harness.breaches() == []


def test_pending_fill_reduces_the_quantity_to_match(volume_harness: TradingHarness) -> None:
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 30, limit=70_000)
    for _ in range(2):
        harness.tick(70_000, volume=20)
        harness.match()
    assert [row["quantity"] for row in rows(harness, "SELECT quantity FROM pending_fills")] == [
        20,
        10,
    ]
    harness.run_all()
    assert harness.order(user, order.id).executed_quantity == 30
    assert harness.breaches() == []


@pytest.mark.parametrize(
    ("time_in_force", "executed"), [(TimeInForce.IOC, 4), (TimeInForce.FOK, 0)]
)
def test_ioc_and_fok_orders_end_after_their_first_trade(
    volume_harness: TradingHarness, time_in_force: TimeInForce, executed: int
) -> None:
    """Of ten shares four are traded: IOC keeps four, FOK releases everything."""
    harness = volume_harness
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 10, limit=70_000, time_in_force=time_in_force)
    harness.tick(70_000, volume=4)
    harness.match()
    harness.run_all()
    ended = harness.order(user, order.id)
    assert (ended.status, ended.reason, ended.executed_quantity) == (
        "CANCELLED",
        "not-filled-at-once",
        executed,
    )
    assert cash(harness, user) == (
        10_000_000 - executed * 70_000 - executed * 70_000 * 150 // 1_000_000,
        0,
    )
    assert harness.breaches() == []


def test_ioc_order_ends_when_no_trade_arrives_in_time(
    volume_harness: TradingHarness,
) -> None:
    harness = volume_harness
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 10, time_in_force=TimeInForce.IOC)
    assert harness.sent == []
    harness.clock.advance(seconds=9)
    assert sweep(harness).orders == 0
    harness.clock.advance(seconds=1)
    harness.sent += sweep(harness).requests
    assert harness.run(harness.sent.pop()) == ExecutionReport(ended=1)
    assert (harness.order(user, order.id).status, cash(harness, user)[1]) == ("CANCELLED", 0)


def test_market_order_fills_by_traded_volume_with_slippage(
    volume_harness: TradingHarness,
) -> None:
    harness = volume_harness
    user = harness.user()
    harness.tick(70_000, volume=1_000)
    order = harness.place(user, Side.BUY, 10)
    harness.match()
    harness.run_all()
    assert harness.order(user, order.id).executed_quantity == 0
    harness.tick(70_000, volume=4)
    harness.tick(70_200, volume=99)
    harness.match()
    harness.run_all()
    filled = harness.order(user, order.id)
    assert [(fill.quantity, fill.price, fill.rule) for fill in filled.executions] == [
        (4, 70_100, "market-at-print"),
        (6, 70_300, "market-at-print"),
    ]
    assert (filled.status, cash(harness, user)[1]) == ("FILLED", 0)
    assert harness.breaches() == []


def test_closing_print_fills_only_orders_that_were_in_the_auction(
    krx_harness: TradingHarness,
) -> None:
    """It arrives after 15:30. An order from 15:25 gets its price; one from 15:30:05 waits for the
    after-market.
    """
    harness = krx_harness
    user = harness.user()
    harness.clock.now = datetime(2026, 11, 20, 6, 25, tzinfo=UTC)
    took_part = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.clock.now = datetime(2026, 11, 20, 6, 30, 5, tzinfo=UTC)
    too_late = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.clock.advance(seconds=15)
    harness.tick(69_000)
    later_still = harness.place(user, Side.BUY, 1, limit=70_000)
    assert harness.sent == []
    assert harness.match() == MatchReport(ticks=1, filled=1)
    harness.run_all()
    assert fill_of(harness, user, took_part) == (1, 69_000, "arriving-at-print", 69_000)
    harness.clock.now = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
    harness.tick(69_500)
    assert harness.match() == MatchReport(ticks=1, filled=2)
    harness.run_all()
    for order in (too_late, later_still):
        assert fill_of(harness, user, order) == (1, 69_500, "arriving-at-print", 69_500)
    assert harness.breaches() == []
