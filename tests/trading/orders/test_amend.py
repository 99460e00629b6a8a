"""Amendments: reservations, time priority and pending fills."""

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import (
    bought,
    bought_in_part,
    cash,
    change_settings,
    everything,
    rows,
    set_status,
    shares,
)
from trading.errors import ValidationFailed
from trading.exchange.order_types import Side, TimeInForce
from trading.ledger.errors import InsufficientCash, InsufficientQuantity
from trading.orders.errors import InvalidTickSize, OrderNotAmendable, OrderNotFound, OrderNotOpen
from trading.orders.records import OrderRecord
from trading.stocks.errors import StockNotTradable
from trading.tasks import Task, TaskRequest


def accepted_position_of(harness: TradingHarness, order: OrderRecord) -> int:
    """Return the stream position after which trades fill an order."""
    (row,) = rows(harness, "SELECT accepted_position FROM orders WHERE id = :id", id=order.id.bytes)
    return int(row["accepted_position"])


@pytest.mark.parametrize(
    ("limit", "quantity", "reserved"),
    [
        (70_100, None, 701_000 + 105),
        (69_900, None, 699_000 + 104),
        (None, 11, 770_115),
        (None, 3, 210_031),
        (71_000, 1, 71_010),
    ],
)  # fmt: skip
def test_buy_amendment_adjusts_the_reservation_exactly(
    harness: TradingHarness, limit: int | None, quantity: int | None, reserved: int
) -> None:
    user = harness.user()
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    harness.amend(user, order.id, limit=limit, quantity=quantity)
    amended = harness.order(user, order.id)
    assert (amended.price, amended.quantity) == (limit or 70_000, quantity or 10)
    assert (amended.reserved_cash, cash(harness, user)) == (reserved, (10_000_000, reserved))
    assert harness.breaches() == []


@pytest.mark.parametrize(("quantity", "reserved"), [(10, 10), (1, 1), (4, 4), (None, 4)])
def test_sell_amendment_adjusts_the_share_reservation(
    harness: TradingHarness, quantity: int | None, reserved: int
) -> None:
    """More shares, fewer, as many as before, or only another price."""
    user = harness.user()
    bought(harness, user, 10)
    order = harness.place(user, Side.SELL, 4, limit=80_000)
    harness.amend(user, order.id, quantity=quantity, limit=81_000)
    assert shares(harness, user) == (10, reserved)
    assert harness.breaches() == []


def test_unaffordable_amendment_is_refused_and_changes_nothing(harness: TradingHarness) -> None:
    """The error names the missing won or shares; the quantity it offers is accepted."""
    user = harness.user()
    bought(harness, user, 5)
    buy, sale = (
        harness.place(user, Side.BUY, 10, limit=70_000),
        harness.place(user, Side.SELL, 2, limit=80_000),
    )
    available = 10_000_000 - 350_052 - 700_105
    before = everything(harness)
    with pytest.raises(InsufficientCash) as refused:
        harness.amend(user, buy.id, quantity=200)
    assert refused.value.facts == {
        "needed": 13_301_995,
        "available": available,
        "largest_quantity": 137,
    }
    with pytest.raises(InsufficientQuantity) as empty:
        harness.amend(user, sale.id, quantity=6)
    assert empty.value.facts == {
        "needed": 4,
        "held": 5,
        "reserved": 2,
        "reserved_by": [str(sale.id)],
    }
    assert everything(harness) == before
    harness.amend(user, buy.id, quantity=137)
    assert harness.breaches() == []


def test_refused_amendments_change_nothing(harness: TradingHarness) -> None:
    """Off the grid, out of range, another user's order, not amendable, finished, halted."""
    user, other = harness.user(), harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 10, limit=60_000)
    market = harness.place(user, Side.BUY, 1)
    ioc = harness.place(user, Side.BUY, 1, limit=70_000, time_in_force=TimeInForce.IOC)
    before = everything(harness)
    for quantity in (0, -1, 1_000_001):
        with pytest.raises(ValidationFailed):
            harness.amend(user, order.id, quantity=quantity)
    with pytest.raises(InvalidTickSize):
        harness.amend(user, order.id, limit=60_050)
    with pytest.raises(OrderNotFound):
        harness.amend(other, order.id, limit=61_000)
    for immediate in (market, ioc):
        with pytest.raises(OrderNotAmendable):
            harness.amend(user, immediate.id, quantity=2)
    assert everything(harness) == before
    harness.run_all()
    with pytest.raises(OrderNotOpen) as late:
        harness.amend(user, market.id, quantity=2)
    assert late.value.facts == {"order_status": "FILLED", "reason": None, "executed_quantity": 1}
    set_status(harness, "HALTED")
    with pytest.raises(StockNotTradable):
        harness.amend(user, order.id, limit=61_000)
    assert harness.breaches() == []


def test_smaller_quantity_keeps_priority_and_other_amendments_lose_it(
    volume_harness: TradingHarness,
) -> None:
    """Of three orders at one price the first is made smaller and the second larger: a trade fills
    them in the order first, third, second.
    """
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    first, second, third = orders = [
        harness.place(user, Side.BUY, 10, limit=70_000) for _ in range(3)
    ]
    harness.tick(70_500)
    places = [accepted_position_of(harness, order) for order in orders]
    harness.amend(user, first.id, quantity=5)
    harness.amend(user, second.id, quantity=12)
    assert accepted_position_of(harness, first) == places[0]
    assert accepted_position_of(harness, second) > places[1]
    harness.tick(70_000, volume=16)
    harness.match()
    harness.run_all()
    assert [
        harness.order(user, order.id).executed_quantity for order in (first, second, third)
    ] == [
        5,
        1,
        10,
    ]
    harness.amend(user, second.id, limit=70_100)
    assert harness.breaches() == []


def test_trade_before_the_amendment_does_not_fill_the_new_terms(
    harness: TradingHarness,
) -> None:
    user = harness.user()
    harness.tick(69_000)
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=60_000)
    harness.tick(65_000)
    harness.tick(70_000)
    harness.amend(user, order.id, limit=66_000)
    assert harness.match().filled == 0
    harness.tick(65_500)
    assert harness.match().filled == 1
    harness.run_all()
    assert [fill.price for fill in harness.order(user, order.id).executions] == [66_000]


def test_marketable_amendment_fills_at_the_last_trade(harness: TradingHarness) -> None:
    """It is a new arrival: dispatched at once and filled at the last trade."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 3, limit=60_000)
    harness.amend(user, order.id, limit=71_000)
    assert harness.sent == [TaskRequest(Task.EXECUTE_ORDERS, (order.id,))]
    harness.run_all()
    (fill,) = harness.order(user, order.id).executions
    assert (fill.price, fill.rule) == (70_000, "limit-at-last-trade")
    assert cash(harness, user) == (10_000_000 - 210_031, 0)
    assert harness.breaches() == []


def test_due_order_amended_away_from_the_market_rests(harness: TradingHarness) -> None:
    """Its task runs after the amendment and changes nothing."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 3, limit=70_000)
    harness.amend(user, order.id, limit=60_000)
    harness.run_all()
    assert harness.order(user, order.id).status == "PENDING"
    assert harness.breaches() == []


@pytest.mark.parametrize(
    ("limit", "quantity"), [(69_900, None), (70_100, None), (None, 12), (69_900, 2)]
)
def test_amendment_discards_pending_fills(
    volume_harness: TradingHarness, limit: int | None, quantity: int | None
) -> None:
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    for volume in (3, 50):
        harness.tick(70_000, volume=volume)
    harness.match()
    harness.amend(user, order.id, limit=limit, quantity=quantity)
    assert rows(harness, "SELECT * FROM pending_fills") == []
    assert harness.breaches() == []
    harness.run_all()
    assert harness.order(user, order.id).executed_quantity == 0
    harness.tick(69_800, volume=100)
    harness.match()
    harness.run_all()
    (fill,) = harness.order(user, order.id).executions
    assert (fill.quantity, harness.order(user, order.id).status) == (quantity or 10, "FILLED")
    assert fill.price <= (limit or 70_000)
    assert harness.breaches() == []


@pytest.mark.parametrize("quantity", [3, 5, 8])
def test_smaller_quantity_keeps_pending_fills_up_to_the_new_quantity(
    volume_harness: TradingHarness, quantity: int
) -> None:
    """Five shares are pending: an order of three is filled with three, one of five with all, one of
    eight with five, and the rest waits.
    """
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    for volume in (2, 3):
        harness.tick(70_000, volume=volume)
        harness.match()
    harness.amend(user, order.id, quantity=quantity)
    assert harness.breaches() == []
    harness.match()
    harness.run_all()
    amended = harness.order(user, order.id)
    assert amended.executed_quantity == min(quantity, 5)
    assert amended.status == ("FILLED" if quantity <= 5 else "PARTIALLY_FILLED")
    assert rows(harness, "SELECT * FROM pending_fills") == []
    assert harness.breaches() == []


@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize(
    ("limit", "quantity"), [(71_000, None), (60_000, None), (None, 20), (60_000, 5), (None, 5)]
)
def test_partly_filled_order_is_amended_at_any_stage(
    volume_harness: TradingHarness, stages: int, limit: int | None, quantity: int | None
) -> None:
    """Four of ten are executed, settled or applied: their cost is unchanged and the rest is
    reserved under the new terms.
    """
    harness = volume_harness
    user, order = bought_in_part(harness, stages=stages)

    harness.amend(user, order.id, limit=limit, quantity=quantity)

    rest = ((quantity or 10) - 4) * (limit or 70_000)
    rest += rest * 150 // 1_000_000
    assert cash(harness, user) == (
        (10_000_000, 280_042 + rest) if stages == 1 else (9_719_958, rest)
    )
    assert harness.breaches() == []
    harness.run_all()
    assert cash(harness, user) == (9_719_958, rest)
    assert harness.breaches() == []


def test_order_cannot_be_amended_below_its_executed_quantity(
    volume_harness: TradingHarness,
) -> None:
    """Four are bought: four or fewer are refused, and the error names five as the minimum."""
    harness = volume_harness
    user, order = bought_in_part(harness)
    for quantity in (3, 4):
        with pytest.raises(ValidationFailed) as refused:
            harness.amend(user, order.id, quantity=quantity)
        assert refused.value.facts == {"field": "quantity", "minimum": 5}
    harness.amend(user, order.id, quantity=5)
    assert harness.breaches() == []


def test_amendment_reserves_at_the_current_commission(harness: TradingHarness) -> None:
    user = harness.user()
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    change_settings(harness, commission_ppm=3_000)
    harness.amend(user, order.id, quantity=9)
    assert cash(harness, user)[1] == 630_000 + 1_890
    assert harness.breaches() == []
