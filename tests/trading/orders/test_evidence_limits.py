"""Which trades fill amended orders, orders beside auctions, and orders with one attempt."""

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import bought, cash, change_settings, halt, resume
from tests.trading.orders.test_evidence import GTC, at, kst, prices, report
from trading.exchange.order_types import Side, TimeInForce
from trading.orders.errors import OrderNotAmendable
from trading.orders.execute import execute_orders
from trading.orders.model import FillProfile


@pytest.mark.parametrize(
    ("accepted", "amended", "traded", "reported"),
    [
        ("10:06", "10:09:05", "10:09:00", "10:09:06"),
        ("15:10", "15:30:05", "15:30:15", "15:30:15"),
    ],
    ids=["late trade", "closing auction whose entry has ended"],
)
def test_trade_from_before_the_amendment_does_not_fill_the_new_price(
    krx_harness: TradingHarness, accepted: str, amended: str, traded: str, reported: str
) -> None:
    """The last trade before the amendment is long ago."""
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(20, "10:00"))
    harness.tick(70_000)
    at(harness, kst(20, accepted))
    order = harness.place(user, Side.BUY, 1, limit=60_000, time_in_force=GTC)
    at(harness, kst(20, amended))
    harness.amend(user, order.id, limit=69_000)
    at(harness, kst(20, reported))
    report(harness, 68_500, kst(20, traded))
    assert prices(harness, user, order) == []


def test_order_between_a_halt_and_its_first_print_takes_part_in_the_auction(
    krx_harness: TradingHarness,
) -> None:
    """The last trade from before the halt is still fresh when the second order is accepted."""
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(20, "09:30"))
    harness.tick(72_000)
    harness.match()
    at(harness, kst(20, "09:59:56"))
    harness.tick(72_000)
    harness.match()
    before = harness.place(user, Side.BUY, 1, limit=70_000)
    at(harness, kst(20, "09:59:58"))
    halt(harness, user)
    at(harness, kst(20, "10:00:00"))
    resume(harness, user)
    at(harness, kst(20, "10:00:03"))
    after = harness.place(user, Side.BUY, 1, limit=70_000)
    at(harness, kst(20, "10:00:05"))
    harness.tick(65_000)
    assert prices(harness, user, before) == prices(harness, user, after) == [65_000]


def test_print_of_nextrade_is_not_the_opening_price(krx_harness: TradingHarness) -> None:
    """Orders from before the opening wait for KRX's result; a later order is filled at once."""
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(18, "14:00"))
    harness.tick(72_000)
    placed = [
        harness.place(user, Side.BUY, 1, limit=limit, time_in_force=GTC)
        for limit in (70_000, 64_500)
    ]
    at(harness, kst(20, "09:00:31"))
    later = harness.place(user, Side.BUY, 1, limit=66_000)
    report(harness, 65_000, harness.clock(), exchange="NXT")
    assert [prices(harness, user, order) for order in (*placed, later)] == [[], [], [65_000]]
    at(harness, kst(20, "09:00:40"))
    harness.tick(64_000)
    assert [prices(harness, user, order) for order in placed] == [[64_000], [64_000]]


@pytest.mark.parametrize("time_in_force", [TimeInForce.IOC, TimeInForce.FOK])
@pytest.mark.parametrize(
    ("accepted", "traded"), [("15:19:57", "15:30:10"), ("10:00:00", "10:00:30")]
)
def test_trade_after_the_only_attempt_does_not_fill_the_order(
    krx_harness: TradingHarness, time_in_force: TimeInForce, accepted: str, traded: str
) -> None:
    """No worker ran between the acceptance and the trade."""
    harness, user = krx_harness, krx_harness.user()
    change_settings(harness, fill_profile="volume")
    at(harness, kst(20, accepted))
    harness.tick(70_000)
    harness.match()
    order = harness.place(user, Side.BUY, 1, limit=70_000, time_in_force=time_in_force)
    at(harness, kst(20, traded))
    harness.tick(69_000)
    assert prices(harness, user, order) == []
    harness.core.run(execute_orders, [order.id])
    assert harness.order(user, order.id).reason == "not-filled-at-once"


@pytest.mark.parametrize(("side", "kept"), [(Side.BUY, 3), (Side.SELL, 0)])
def test_waiting_market_order_can_be_reduced_but_not_changed_otherwise(
    krx_harness: TradingHarness, side: Side, kept: int
) -> None:
    """In the closing auction. What it reserves is reduced in proportion."""
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(20, "15:19"))
    harness.tick(70_000, base=70_000)
    bought(harness, user, 10)
    at(harness, kst(20, "15:21"))
    order = harness.place(user, side, 10)
    harness.amend(user, order.id, quantity=3)
    assert harness.breaches() == []
    reserved = harness.order(user, order.id).reserved_cash
    assert reserved == -(-order.reserved_cash * kept // 10)
    for change in ({"quantity": 4}, {"limit": 70_000}):
        with pytest.raises(OrderNotAmendable):
            harness.amend(user, order.id, **change)
    at(harness, kst(20, "15:30:10"))
    harness.tick(70_100)
    assert prices(harness, user, order) == [70_100]
    assert harness.order(user, order.id).executed_quantity == 3
    assert cash(harness, user)[1] == 0


@pytest.mark.parametrize("profile", FillProfile)
def test_order_outside_limits_that_only_the_second_print_shows_ends(
    krx_harness: TradingHarness, profile: FillProfile
) -> None:
    """The opening print reports no base price."""
    harness, user = krx_harness, krx_harness.user()
    change_settings(harness, fill_profile=profile)
    at(harness, kst(18, "14:00"))
    harness.tick(84_000, base=80_000)
    order = harness.place(user, Side.BUY, 10, limit=80_000, time_in_force=GTC)
    harness.tick(84_100, base=80_000)
    assert prices(harness, user, order) == []
    at(harness, kst(20, "08:45"))
    inside = harness.place(user, Side.BUY, 10, limit=20_000)
    at(harness, kst(20, "09:00:05"))
    harness.tick(20_100, volume=1)
    assert prices(harness, user, order) == [20_100]
    at(harness, kst(20, "09:00:08"))
    harness.tick(19_900, base=20_000, volume=100)
    assert prices(harness, user, order) == [20_100]
    ended = harness.order(user, order.id)
    if profile is FillProfile.VOLUME:
        assert (ended.status, ended.reason) == ("CANCELLED", "price-out-of-limits")
    else:
        assert ended.status == "FILLED"
    assert prices(harness, user, inside) == [20_000]
