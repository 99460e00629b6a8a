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
    books: TradingHarness, side: Side, limit: int | None
) -> None:
    """Due or in the book, a buy or a sale; its wake-up and the next trades find nothing."""
    user = books.user()
    bought(books, user, 5)
    balance = cash(books, user)[0]
    order = books.place(user, side, 5, limit=limit)
    books.cancel(user, order.id)
    assert (cash(books, user), shares(books, user)) == ((balance, 0), (5, 0))
    ended = books.order(user, order.id)
    assert (ended.status, ended.reason, ended.finished_at) == (
        "CANCELLED",
        "cancelled-by-user",
        books.clock(),
    )
    for price in (50_000, 80_000):
        books.tick(price)
        books.match()
    books.run_all()
    assert books.order(user, order.id).executions == ()
    assert books.breaches() == []


def test_a_cancellation_before_the_execution_wins_over_what_was_found(
    books: TradingHarness,
) -> None:
    """The matcher found a trade, nobody has executed it yet: cancelled, and what was found is forgotten."""
    user = books.user()
    books.tick(70_500)
    order = books.place(user, Side.BUY, 1, limit=70_000)
    books.tick(69_900)
    books.match()
    books.cancel(user, order.id)
    assert rows(books, "SELECT * FROM pending_fills") == []
    assert books.run(books.sent.pop()) == ExecutionReport()
    assert (books.order(user, order.id).status, cash(books, user)) == ("CANCELLED", (10_000_000, 0))
    assert books.breaches() == []


def test_a_fill_that_came_first_has_won(books: TradingHarness) -> None:
    """Refused with the state of the order, and a second cancellation with the reason of the first; another's order is not found."""
    user, other = books.user(), books.user()
    books.tick(70_000)
    filled, waiting = books.place(user, Side.BUY, 2), books.place(user, Side.BUY, 2, limit=60_000)
    books.run_all()
    with pytest.raises(OrderNotOpen) as late:
        books.cancel(user, filled.id)
    assert late.value.facts == {"order_status": "FILLED", "reason": None, "executed_quantity": 2}
    before = everything(books)
    with pytest.raises(OrderNotFound):
        books.cancel(other, waiting.id)
    assert everything(books) == before
    books.cancel(user, waiting.id)
    with pytest.raises(OrderNotOpen) as twice:
        books.cancel(user, waiting.id)
    assert twice.value.facts == {
        "order_status": "CANCELLED",
        "reason": "cancelled-by-user",
        "executed_quantity": 0,
    }


def test_all_open_orders_of_one_user_are_cancelled_at_once(books: TradingHarness) -> None:
    """Buys and sales of several stocks and every time in force; finished orders and other users' stay as they are."""
    user, other = books.user(), books.user()
    bought(books, user, 10)
    bought(books, user, 10, 180_000, HYNIX)
    balance = cash(books, user)[0]
    kept = books.place(other, Side.BUY, 1, limit=60_000)
    orders = [
        books.place(user, Side.BUY, 3, limit=60_000, time_in_force=TimeInForce.GTC),
        books.place(user, Side.SELL, 2),
    ]
    orders += [books.place(user, Side.SELL, 3, code, limit=250_000) for code in (HYNIX, HYNIX)]
    books.sent.clear()

    cancelled = cancel_all(books, user)

    assert cancelled == [order.id for order in orders]
    assert cash(books, user) == (balance, 0)
    assert [shares(books, user, code) for code in ("A005930", HYNIX)] == [(10, 0), (10, 0)]
    assert books.order(other, kept.id).status == "PENDING"
    assert cancel_all(books, user) == []
    assert books.breaches() == []


def test_cancelling_all_keeps_what_was_filled(volume_books: TradingHarness) -> None:
    """Of two orders filled in part, one settled and one not, the parts stay and are booked; the rests are free."""
    books = volume_books
    user = books.user()
    books.tick(70_500)
    for volume in (2, 3):
        books.place(user, Side.BUY, 10, limit=70_000)
        books.tick(70_000, volume=volume)
        books.match()
        books.run(books.sent.pop(0))
        if volume == 2:
            books.run_all()
    assert len(cancel_all(books, user)) == 2
    assert cash(books, user) == (10_000_000 - 140_021, 210_031)
    assert books.breaches() == []
    books.run_all()
    assert cash(books, user) == (10_000_000 - 140_021 - 210_031, 0)
    assert shares(books, user) == (5, 0)
    assert books.breaches() == []
