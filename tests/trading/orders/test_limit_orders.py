"""Acceptance of limit orders: refusals, reservations and the price on arrival."""

import itertools
from datetime import UTC, datetime
from uuid import UUID

import pytest

from tests.support.servers import Valkey
from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import (
    bought,
    cash,
    change_settings,
    everything,
    set_status,
    shares,
    sweep,
)
from trading.exchange.errors import MarketClosed
from trading.exchange.order_types import Side, TimeInForce
from trading.ledger.errors import InsufficientCash, InsufficientQuantity
from trading.marketdata.errors import NoLivePrice
from trading.orders.errors import InvalidTickSize, PriceOutOfRange
from trading.orders.execute import ExecutionReport
from trading.orders.records import OrderRecord
from trading.stocks.errors import StockNotTradable
from trading.tasks import Task, TaskRequest

MAY_WAIT, IMMEDIATE = (TimeInForce.DAY, TimeInForce.GTC), (TimeInForce.IOC, TimeInForce.FOK)
# Instants of Friday 2026-11-20 in Korea.
NIGHT, AUCTION, EVENING = (
    datetime(2026, 11, 20, hour, minute, tzinfo=UTC) for hour, minute in ((13, 0), (6, 25), (8, 0))
)


def prices(harness: TradingHarness, user: UUID, order: OrderRecord) -> list[tuple[int, str]]:
    """Return price and rule of an order's fills."""
    fills = harness.order(user, order.id).executions
    return [(fill.price, fill.rule) for fill in fills]


@pytest.mark.parametrize("time_in_force", TimeInForce)
@pytest.mark.parametrize(
    ("side", "limit", "last"),
    [(Side.BUY, 70_500, 70_000), (Side.SELL, 69_500, 70_000), (Side.BUY, 70_000, 70_000)],
)
def test_marketable_limit_order_fills_at_the_market_price(
    harness: TradingHarness, side: Side, limit: int, last: int, time_in_force: TimeInForce
) -> None:
    """The excess reservation is released by the settlement."""
    user = harness.user()
    bought(harness, user, 10, last)
    order = harness.place(user, side, 4, limit=limit, time_in_force=time_in_force)
    assert harness.sent == [TaskRequest(Task.EXECUTE_ORDERS, (order.id,))]
    harness.run_all()
    assert prices(harness, user, order) == [(last, "limit-at-last-trade")]
    assert cash(harness, user)[1] == shares(harness, user)[1] == 0
    assert harness.breaches() == []


@pytest.mark.parametrize("time_in_force", IMMEDIATE)
def test_ioc_and_fok_orders_beyond_the_market_end_at_once(
    harness: TradingHarness, time_in_force: TimeInForce
) -> None:
    """Buy and sale are cancelled with the reason and release everything."""
    user = harness.user()
    bought(harness, user, 5)
    balance = cash(harness, user)[0]
    orders = [
        harness.place(user, side, 5, limit=limit, time_in_force=time_in_force)
        for side, limit in ((Side.BUY, 69_900), (Side.SELL, 70_100))
    ]
    harness.run_all()
    ended = [harness.order(user, order.id) for order in orders]
    assert [(one.status, one.reason) for one in ended] == [("CANCELLED", "not-filled-at-once")] * 2
    assert (cash(harness, user), shares(harness, user)) == ((balance, 0), (5, 0))
    assert harness.breaches() == []


@pytest.mark.parametrize("time_in_force", IMMEDIATE)
def test_ioc_and_fok_orders_end_without_a_fresh_trade(
    harness: TradingHarness, time_in_force: TimeInForce
) -> None:
    user = harness.user()
    harness.tick(70_000, age_ms=10_001)
    order = harness.place(user, Side.BUY, 5, limit=80_000, time_in_force=time_in_force)
    harness.run_all()
    assert harness.order(user, order.id).status == "CANCELLED"
    assert cash(harness, user) == (10_000_000, 0)
    assert harness.breaches() == []


def test_order_beyond_the_market_rests_and_dispatches_nothing(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 7, limit=33_350)
    assert (order.reserved_cash, harness.sent) == (7 * 33_350 + 35, [])
    harness.clock.advance(hours=2)
    assert sweep(harness).requests == ()
    assert harness.breaches() == []


def test_trade_between_acceptance_and_execution_is_not_missed(harness: TradingHarness) -> None:
    """The order was marketable on arrival and the market moved away before its execution."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.tick(69_900)
    harness.tick(71_000)
    harness.match()
    harness.run_all()
    assert prices(harness, user, order) == [(69_900, "arriving-at-print")]
    assert harness.breaches() == []


def test_order_no_longer_marketable_at_execution_rests(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.tick(70_100)
    assert harness.run(harness.sent.pop()) == ExecutionReport(resting=1)
    harness.tick(69_000)
    harness.match()
    harness.run_all()
    assert prices(harness, user, order) == [(70_000, "resting-at-limit")]


def test_order_known_to_rest_gets_no_better_price_than_its_limit(
    harness: TradingHarness,
) -> None:
    """Its task is late; meanwhile the market left its limit and came back below it."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.tick(70_500)
    harness.match()
    harness.tick(69_000)
    assert harness.run(harness.sent.pop()) == ExecutionReport(resting=1)
    harness.match()
    harness.run_all()
    assert prices(harness, user, order) == [(70_000, "resting-at-limit")]


def test_limit_order_is_accepted_without_redis(
    harness: TradingHarness, valkey_server: Valkey
) -> None:
    """The first trade after the outage decides its price."""
    user = harness.user()
    bought(harness, user, 5)
    harness.clock.advance(seconds=60)
    valkey_server.stop()
    try:
        buy = harness.place(user, Side.BUY, 1, limit=71_000)
        sale = harness.place(user, Side.SELL, 2, limit=72_000)
        with pytest.raises(NoLivePrice):
            harness.place(user, Side.BUY, 1)
    finally:
        valkey_server.start()
    harness.clock.advance(seconds=1)
    harness.tick(70_500)
    harness.match()
    harness.run_all()
    assert prices(harness, user, buy) == [(70_500, "arriving-at-print")]
    assert (harness.order(user, sale.id).status, shares(harness, user)) == ("PENDING", (6, 2))
    assert harness.breaches() == []


def test_limit_price_must_be_on_the_grid_and_within_the_days_limits(
    harness: TradingHarness,
) -> None:
    user = harness.user()
    harness.tick(70_000, base=70_000)
    before = everything(harness)
    with pytest.raises(InvalidTickSize) as off_grid:
        harness.place(user, Side.BUY, 1, limit=70_050)
    assert off_grid.value.facts == {
        "price": 70_050,
        "tick_size": 100,
        "nearest_prices": [70_000, 70_100],
    }
    for price in (48_950, 91_100):
        with pytest.raises(PriceOutOfRange) as refused:
            harness.place(user, Side.BUY, 1, limit=price)
        assert refused.value.facts == {
            "price": price, "lower_limit": 49_000, "upper_limit": 91_000, "base_price": 70_000,
        }  # fmt: skip
    assert everything(harness) == before
    for price in (49_000, 91_000):
        assert harness.place(user, Side.BUY, 1, limit=price).status == "PENDING"


def test_base_price_of_another_day_limits_nothing(harness: TradingHarness) -> None:
    """The next day's limits are unknown overnight; the grid is still checked."""
    user = harness.user()
    harness.tick(70_000, base=70_000)
    harness.clock.advance(days=1)
    assert harness.place(user, Side.BUY, 1, limit=30_000).status == "PENDING"
    with pytest.raises(InvalidTickSize):
        harness.place(user, Side.BUY, 1, limit=30_010)


def test_refusal_for_insufficient_funds_offers_an_affordable_quantity(
    harness: TradingHarness,
) -> None:
    user = harness.user()
    with pytest.raises(InsufficientCash) as refused:
        harness.place(user, Side.BUY, 200, limit=70_000)
    assert refused.value.facts == {
        "needed": 14_002_100,
        "available": 10_000_000,
        "largest_quantity": 142,
    }
    assert harness.place(user, Side.BUY, 142, limit=70_000).reserved_cash == 9_941_491
    with pytest.raises(InsufficientQuantity) as empty:
        harness.place(user, Side.SELL, 1, limit=70_000)
    assert empty.value.facts == {"needed": 1, "held": 0, "reserved": 0, "reserved_by": []}
    assert harness.breaches() == []


def test_limit_order_for_a_halted_or_delisted_stock_is_refused(harness: TradingHarness) -> None:
    user = harness.user()
    set_status(harness, "HALTED")
    with pytest.raises(StockNotTradable):
        harness.place(user, Side.BUY, 1, SAMSUNG, limit=70_000)


@pytest.mark.parametrize("at", [NIGHT, AUCTION])
def test_closed_market_accepts_only_orders_that_may_rest(
    krx_harness: TradingHarness, at: datetime
) -> None:
    """The refusal of other orders names the next opening. An auction accepts MARKET orders too."""
    harness = krx_harness
    user = harness.user()
    harness.clock.now = at
    harness.tick(70_000)
    # The after-market accepts IOC and FOK for shares.
    evening, monday = "2026-11-20T16:00:00+09:00", "2026-11-23T09:00:00+09:00"
    for limit, time_in_force in itertools.product((None, 70_000), IMMEDIATE):
        with pytest.raises(MarketClosed) as closed:
            harness.place(user, Side.BUY, 1, limit=limit, time_in_force=time_in_force)
        assert closed.value.facts == {"next_open": monday if at is NIGHT else evening}
    if at is NIGHT:
        with pytest.raises(MarketClosed) as closed:
            harness.place(user, Side.BUY, 1)
        assert closed.value.facts == {"next_open": "2026-11-23T08:30:00+09:00"}
    for time_in_force in MAY_WAIT:
        harness.place(user, Side.BUY, 1, limit=60_000, time_in_force=time_in_force)
    assert cash(harness, user) == (10_000_000, 2 * 60_009)
    assert harness.breaches() == []


def test_after_market_executes_limit_orders_only(krx_harness: TradingHarness) -> None:
    harness = krx_harness
    user = harness.user()
    harness.clock.now = EVENING
    harness.tick(70_000)
    with pytest.raises(MarketClosed):
        harness.place(user, Side.BUY, 1)
    order = harness.place(user, Side.BUY, 1, limit=70_100, time_in_force=TimeInForce.IOC)
    harness.run_all()
    assert prices(harness, user, order) == [(70_000, "limit-at-last-trade")]


def test_order_placed_overnight_fills_at_the_opening_price(krx_harness: TradingHarness) -> None:
    harness = krx_harness
    user = harness.user()
    harness.clock.now = datetime(2026, 11, 19, 13, 0, tzinfo=UTC)
    order = harness.place(user, Side.BUY, 1, limit=90_000)
    harness.clock.now = datetime(2026, 11, 20, 0, 0, 1, tzinfo=UTC)
    harness.tick(70_000)
    harness.match()
    harness.run_all()
    assert prices(harness, user, order) == [(70_000, "arriving-at-print")]
    assert cash(harness, user) == (10_000_000 - 70_010, 0)


def test_no_order_is_due_at_acceptance_by_volume(volume_harness: TradingHarness) -> None:
    """A marketable order waits for a later trade and gets its price while trades meet its limit."""
    harness = volume_harness
    user = harness.user()
    harness.tick(70_000, volume=100)
    order = harness.place(user, Side.BUY, 5, limit=70_500)
    assert harness.sent == []
    for price, volume in ((70_200, 2), (70_600, 9), (70_000, 9)):
        harness.tick(price, volume=volume)
    harness.match()
    harness.run_all()
    assert prices(harness, user, order) == [
        (70_200, "arriving-at-print"),
        (70_500, "resting-at-limit"),
    ]
    assert harness.breaches() == []


@pytest.mark.parametrize("profiles", [("simple", "volume"), ("volume", "simple")])
@pytest.mark.parametrize("time_in_force", TimeInForce)
@pytest.mark.parametrize("limit", [None, 70_000])
def test_change_of_the_fill_profile_loses_no_order(
    harness: TradingHarness,
    profiles: tuple[str, str],
    time_in_force: TimeInForce,
    limit: int | None,
) -> None:
    """Accepted under one profile and executed under the other, each order ends or is filled."""
    user = harness.user()
    harness.tick(70_000)
    harness.match()
    change_settings(harness, fill_profile=profiles[0])
    order = harness.place(user, Side.BUY, 5, limit=limit, time_in_force=time_in_force)
    change_settings(harness, fill_profile=profiles[1])
    for _ in range(3):
        harness.clock.advance(seconds=12)
        harness.tick(70_000, volume=3)
        harness.match()
        harness.sent += sweep(harness).requests
        harness.run_all()
        assert harness.breaches() == []
    assert harness.order(user, order.id).finished_at is not None
    assert cash(harness, user)[1] == 0
