"""Cancellations: one order or all of them, at any moment of their life, and everything that they held is free."""

import pytest

from tests.support.trading_harness import HYNIX, TradingHarness
from tests.trading.orders.steps import bought, cancel_all, cash, everything, rows, shares
from trading.exchange.order_types import Side, TimeInForce
from trading.orders.errors import OrderNotFound, OrderNotOpen
from trading.orders.execute import ExecutionReport


@pytest.mark.parametrize("limit", [None, 60_000, 70_000])
@pytest.mark.parametrize("side", Side)
def test_a_cancelled_order_frees_what_it_held_and_is_never_filled(
    harness: TradingHarness, side: Side, limit: int | None
) -> None:
    """Due or in the book, a buy or a sale; its wake-up and the next trades find nothing."""
    user = harness.user()
    bought(harness, user, 5)
    balance = cash(harness, user)[0]
    order = harness.place(user, side, 5, limit=limit)
    harness.cancel(user, order.id)
    assert (cash(harness, user), shares(harness, user)) == ((balance, 0), (5, 0))
    ended = harness.order(user, order.id)
    assert (ended.status, ended.reason, ended.finished_at) == (
        "CANCELLED",
        "cancelled-by-user",
        harness.clock(),
    )
    for price in (50_000, 80_000):
        harness.tick(price)
        harness.match()
    harness.run_all()
    assert harness.order(user, order.id).executions == ()
    assert harness.breaches() == []


def test_a_cancellation_before_the_execution_wins_over_what_was_found(
    harness: TradingHarness,
) -> None:
    """The matcher found a trade, nobody has executed it yet: cancelled, and what was found is forgotten."""
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.tick(69_900)
    harness.match()
    harness.cancel(user, order.id)
    assert rows(harness, "SELECT * FROM pending_fills") == []
    assert harness.run(harness.sent.pop()) == ExecutionReport()
    assert (harness.order(user, order.id).status, cash(harness, user)) == (
        "CANCELLED",
        (10_000_000, 0),
    )
    assert harness.breaches() == []


def test_a_fill_that_came_first_has_won(harness: TradingHarness) -> None:
    """Refused with the state of the order, and a second cancellation with the reason of the first; another's order is not found."""
    user, other = harness.user(), harness.user()
    harness.tick(70_000)
    filled, waiting = (
        harness.place(user, Side.BUY, 2),
        harness.place(user, Side.BUY, 2, limit=60_000),
    )
    harness.run_all()
    with pytest.raises(OrderNotOpen) as late:
        harness.cancel(user, filled.id)
    assert late.value.facts == {"order_status": "FILLED", "reason": None, "executed_quantity": 2}
    before = everything(harness)
    with pytest.raises(OrderNotFound):
        harness.cancel(other, waiting.id)
    assert everything(harness) == before
    harness.cancel(user, waiting.id)
    with pytest.raises(OrderNotOpen) as twice:
        harness.cancel(user, waiting.id)
    assert twice.value.facts == {
        "order_status": "CANCELLED",
        "reason": "cancelled-by-user",
        "executed_quantity": 0,
    }


def test_all_open_orders_of_one_user_are_cancelled_at_once(harness: TradingHarness) -> None:
    """Buys and sales of several stocks and every time in force; finished orders and other users' stay as they are."""
    user, other = harness.user(), harness.user()
    bought(harness, user, 10)
    bought(harness, user, 10, 180_000, HYNIX)
    balance = cash(harness, user)[0]
    kept = harness.place(other, Side.BUY, 1, limit=60_000)
    orders = [
        harness.place(user, Side.BUY, 3, limit=60_000, time_in_force=TimeInForce.GTC),
        harness.place(user, Side.SELL, 2),
    ]
    orders += [harness.place(user, Side.SELL, 3, code, limit=250_000) for code in (HYNIX, HYNIX)]
    harness.sent.clear()

    cancelled = cancel_all(harness, user)

    assert cancelled == [order.id for order in orders]
    assert cash(harness, user) == (balance, 0)
    assert [shares(harness, user, code) for code in ("A005930", HYNIX)] == [(10, 0), (10, 0)]
    assert harness.order(other, kept.id).status == "PENDING"
    assert cancel_all(harness, user) == []
    assert harness.breaches() == []


def test_cancelling_all_keeps_what_was_filled(volume_harness: TradingHarness) -> None:
    """Of two orders filled in part, one settled and one not, the parts stay and are booked; the rests are free."""
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    for volume in (2, 3):
        harness.place(user, Side.BUY, 10, limit=70_000)
        harness.tick(70_000, volume=volume)
        harness.match()
        harness.run(harness.sent.pop(0))
        if volume == 2:
            harness.run_all()
    assert len(cancel_all(harness, user)) == 2
    assert cash(harness, user) == (10_000_000 - 140_021, 210_031)
    assert harness.breaches() == []
    harness.run_all()
    assert cash(harness, user) == (10_000_000 - 140_021 - 210_031, 0)
    assert shares(harness, user) == (5, 0)
    assert harness.breaches() == []
