"""Cancellation of one order or of all orders, at any stage."""

import pytest

from tests.support.trading_harness import HYNIX, TradingHarness
from tests.trading.orders.steps import bought, cancel_all, cash, everything, rows, shares
from trading.exchange.order_types import Side, TimeInForce
from trading.orders.errors import OrderNotFound, OrderNotOpen
from trading.orders.execute import ExecutionReport


@pytest.mark.parametrize("limit", [None, 60_000, 70_000])
@pytest.mark.parametrize("side", Side)
def test_cancelled_order_releases_its_reservation_and_is_never_filled(
    harness: TradingHarness, side: Side, limit: int | None
) -> None:
    """Due or in the book, buy or sale; its task and later trades change nothing."""
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


def test_cancellation_before_execution_discards_pending_fills(
    harness: TradingHarness,
) -> None:
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


def test_cancelling_a_filled_or_cancelled_order_is_refused(harness: TradingHarness) -> None:
    """The error has the order's state and reason; another user's order is not found."""
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


def test_cancel_all_cancels_every_open_order_of_one_user(harness: TradingHarness) -> None:
    """Finished orders and those of other users are unchanged."""
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


def test_cancel_all_keeps_partial_fills(volume_harness: TradingHarness) -> None:
    """Of two partly filled orders, one settled and one not, the fills are settled and the rest is
    released.
    """
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
