"""Expiry of DAY orders and end of orders for delisted stocks."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from tests.support.trading_harness import SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import (
    bought,
    bought_in_part,
    cash,
    change_settings,
    rows,
    set_status,
    shares,
)
from trading.exchange.order_types import Side, TimeInForce
from trading.orders.expire import end_delisted
from trading.orders.records import OrderRecord
from trading.tasks import Task, TaskRequest

MIDNIGHT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
# The closing auction ends at 15:30 in Korea, and its last print may arrive until a minute later.
CLOSE, LAST_PRINT = (
    datetime(2026, 11, 20, 6, 30, tzinfo=UTC),
    datetime(2026, 11, 20, 6, 31, tzinfo=UTC),
)
EVENING_END = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)


def status_of(harness: TradingHarness, user: UUID, order: OrderRecord) -> str:
    return str(harness.order(user, order.id).status)


def match_and_expire(harness: TradingHarness, at: datetime) -> int | None:
    """Run the matcher and one batch of the expiry at an instant."""
    harness.clock.now = at
    harness.match()
    return harness.expire()


def test_expired_day_orders_release_their_reservations(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 10)
    balance = cash(harness, user)[0]
    orders = [
        harness.place(user, Side.BUY, 5, limit=60_000),
        harness.place(user, Side.SELL, 4, limit=80_000),
    ]
    kept = harness.place(user, Side.BUY, 1, limit=60_000, time_in_force=TimeInForce.GTC)

    assert match_and_expire(harness, MIDNIGHT) == 2

    ended = [harness.order(user, order.id) for order in orders]
    assert [(order.status, order.reason) for order in ended] == [("EXPIRED", "day-ended")] * 2
    assert [order.finished_at for order in ended] == [MIDNIGHT] * 2
    assert status_of(harness, user, kept) == "PENDING"
    assert (cash(harness, user), shares(harness, user)) == ((balance, 60_009), (10, 0))
    assert harness.expire() == 0
    assert harness.breaches() == []


def test_day_order_expires_at_midnight_in_korea_in_the_always_open_market(
    harness: TradingHarness,
) -> None:
    """An order accepted at midnight belongs to the next day."""
    user = harness.user()
    harness.clock.now = MIDNIGHT.replace(hour=14, minute=59, second=59)
    order = harness.place(user, Side.BUY, 1, limit=60_000)
    assert match_and_expire(harness, harness.clock()) == 0
    harness.clock.now = MIDNIGHT
    next_day = harness.place(user, Side.BUY, 1, limit=60_000)
    assert match_and_expire(harness, MIDNIGHT) == 1
    assert [status_of(harness, user, one) for one in (order, next_day)] == ["EXPIRED", "PENDING"]


def test_day_order_expires_with_the_closing_auction(
    krx_harness: TradingHarness,
) -> None:
    """It waits another minute for the auction's last print."""
    harness = krx_harness
    user = harness.user()
    order = harness.place(user, Side.BUY, 1, limit=60_000)
    assert match_and_expire(harness, CLOSE) == 0
    assert match_and_expire(harness, LAST_PRINT.replace(minute=30, second=59)) == 0
    assert match_and_expire(harness, LAST_PRINT) == 1
    assert status_of(harness, user, order) == "EXPIRED"
    assert harness.breaches() == []


def test_day_order_after_the_close_expires_with_the_after_market(
    krx_harness: TradingHarness,
) -> None:
    """Accepted at 15:45 it expires at 20:00; one accepted after that has all of the next trading
    day.
    """
    harness = krx_harness
    user = harness.user()
    harness.clock.now = CLOSE.replace(minute=45)
    evening = harness.place(user, Side.BUY, 1, limit=60_000)
    assert match_and_expire(harness, EVENING_END) == 0
    harness.clock.now = EVENING_END.replace(minute=30)
    night = harness.place(user, Side.BUY, 1, limit=60_000)
    assert match_and_expire(harness, harness.clock()) == 1
    assert match_and_expire(harness, datetime(2026, 11, 23, 6, 30, tzinfo=UTC)) == 0
    assert status_of(harness, user, night) == "PENDING"
    assert match_and_expire(harness, datetime(2026, 11, 23, 6, 31, tzinfo=UTC)) == 1
    assert [status_of(harness, user, one) for one in (evening, night)] == ["EXPIRED", "EXPIRED"]


def test_filled_part_stays_when_the_rest_expires(volume_harness: TradingHarness) -> None:
    harness = volume_harness
    user, order = bought_in_part(harness, stages=1)
    assert match_and_expire(harness, MIDNIGHT) == 1
    assert cash(harness, user) == (10_000_000, 280_042)
    assert harness.breaches() == []
    harness.run_all()
    assert (cash(harness, user), shares(harness, user)) == ((10_000_000 - 280_042, 0), (4, 0))
    ended = harness.order(user, order.id)
    assert (ended.status, ended.executed_quantity) == ("EXPIRED", 4)
    assert harness.breaches() == []


def test_pending_fill_from_before_the_end_is_executed_after_it(
    harness: TradingHarness,
) -> None:
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.tick(69_900)
    harness.match()
    assert match_and_expire(harness, MIDNIGHT) == 0
    harness.run_all()
    assert status_of(harness, user, order) == "FILLED"


def test_nothing_expires_before_the_matchers_have_read_the_whole_day(
    harness: TradingHarness,
) -> None:
    """The last run was seconds before midnight, and a trade came after it: the next run fills the
    order.
    """
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.clock.now = MIDNIGHT.replace(hour=14, minute=59, second=57)
    harness.match()
    harness.clock.advance(seconds=2)
    harness.tick(69_900)
    harness.clock.advance(seconds=2)
    assert harness.expire() is None
    assert harness.match().filled == 1
    assert harness.expire() == 0
    harness.run_all()
    assert status_of(harness, user, order) == "FILLED"


def test_expiry_waits_for_the_last_print_of_the_closing_auction(
    krx_harness: TradingHarness,
) -> None:
    """The matcher ran 40 seconds after the close and the print came later: it fills the order."""
    harness = krx_harness
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.clock.now = CLOSE.replace(second=50)
    harness.match()
    harness.clock.advance(seconds=5)
    harness.tick(69_900)
    harness.clock.now = LAST_PRINT
    assert harness.expire() is None
    harness.match()
    harness.run_all()
    assert status_of(harness, user, order) == "FILLED"
    assert harness.expire() == 0


def test_nothing_expires_before_new_matchers_have_scanned(
    migrated_sqlite: str, valkey_url: str
) -> None:
    with opened(settings_for(migrated_sqlite, valkey_url)) as harness:
        user = harness.user()
        harness.place(user, Side.BUY, 1, limit=70_000)
        harness.match()
        harness.clock.now = MIDNIGHT
        change_settings(harness, matcher_shards=2)
        assert harness.expire() is None
        harness.match(0)
        assert harness.expire() is None
        harness.match(1)
        assert harness.expire() == 1


@pytest.mark.parametrize("at_last_trade", [False, True])
@pytest.mark.parametrize("hours", ["always", "krx"])
def test_trade_of_the_next_day_does_not_fill_a_day_order(
    database_uri: str, valkey_url: str, hours: str, at_last_trade: bool
) -> None:
    """All processes were down overnight: yesterday's order expires and is not filled by today's
    trades.
    """
    with opened(settings_for(database_uri, valkey_url, market_hours=hours)) as harness:
        user = harness.user()
        harness.tick(70_000)
        limits = (69_000, 71_000) if at_last_trade else (69_000, 69_500)
        orders = [harness.place(user, Side.BUY, 1, limit=limit) for limit in limits]
        kept = harness.place(user, Side.BUY, 1, limit=68_000, time_in_force=TimeInForce.GTC)
        if not at_last_trade:
            harness.match()
        harness.clock.advance(days=3)
        harness.tick(66_000)
        if not at_last_trade:
            assert harness.match().filled == 1
        harness.run(TaskRequest(Task.EXECUTE_ORDERS, tuple(order.id for order in orders)))
        harness.run_all()
        assert {status_of(harness, user, one) for one in orders} == {"PENDING"}
        harness.match()
        assert harness.expire() == 2
        harness.run_all()
        assert {status_of(harness, user, one) for one in orders} == {"EXPIRED"}
        assert status_of(harness, user, kept) == "FILLED"
        assert harness.breaches() == []


def test_one_run_over_several_days_matches_each_trade_with_its_day(harness: TradingHarness) -> None:
    """One run reads Friday's and Saturday's trades: Friday's order gets only the former."""
    user = harness.user()
    harness.tick(70_500)
    matched = harness.place(user, Side.BUY, 1, limit=70_000)
    missed = harness.place(user, Side.BUY, 1, limit=69_000)
    kept = harness.place(user, Side.BUY, 1, limit=69_000, time_in_force=TimeInForce.GTC)
    harness.tick(69_900)
    harness.clock.now = MIDNIGHT
    harness.tick(68_000)
    assert harness.match().filled == 2
    harness.run_all()
    assert [status_of(harness, user, one) for one in (matched, missed, kept)] == [
        "FILLED",
        "PENDING",
        "FILLED",
    ]


def test_orders_of_a_delisted_stock_end_and_release_their_reservations(
    harness: TradingHarness,
) -> None:
    """Including those in the book; orders for other stocks are unchanged."""
    user = harness.user()
    bought(harness, user, 5)
    balance = cash(harness, user)[0]
    for side, limit in ((Side.BUY, 60_000), (Side.SELL, 80_000)):
        harness.place(user, side, 2, limit=limit, time_in_force=TimeInForce.GTC)
    other = harness.place(user, Side.BUY, 1, "A000660", limit=100_000)
    set_status(harness, "DELISTED", SAMSUNG)

    ended = harness.core.run(end_delisted)

    assert len(ended.order_ids) == 2
    found = rows(
        harness,
        "SELECT status, reason FROM orders WHERE order_type = 'LIMIT' AND stock_code = 'A005930'",
    )
    assert [tuple(row.values()) for row in found] == [("CANCELLED", "stock-not-tradable")] * 2
    assert (cash(harness, user), shares(harness, user)) == ((balance, 100_015), (5, 0))
    assert status_of(harness, user, other) == "PENDING"
    assert harness.breaches() == []


def test_expiry_works_in_batches(database_uri: str, valkey_url: str) -> None:
    with opened(settings_for(database_uri, valkey_url, stage_batch_size=2)) as harness:
        users = [harness.user() for _ in range(5)]
        for user in users:
            harness.place(user, Side.BUY, 1, limit=60_000)
        harness.clock.now = MIDNIGHT
        assert [harness.expire() for _ in range(4)] == [2, 2, 1, 0]
        assert [cash(harness, user)[1] for user in users] == [0] * 5
        assert harness.breaches() == []
