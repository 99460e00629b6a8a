"""What each use case tells of an account: which events, in which order, with which members."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.statements import statements_counted
from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import (
    bought,
    cancel_all,
    deposit,
    do,
    events,
    rows,
    set_status,
    withdraw,
)
from trading.account_events.stream import AccountEvent, EventKind
from trading.exchange.order_types import Side, TimeInForce
from trading.ledger.errors import InsufficientCash
from trading.orders.close import cancel_order
from trading.orders.expire import end_delisted
from trading.orders.records import OrderRecord


def told_by(books: TradingHarness, user: UUID, act: Callable[[], object]) -> list[AccountEvent]:
    """The events that an act of one user adds."""
    before = len(events(books, user))
    act()
    return events(books, user, after=before)


def brief(told: list[AccountEvent]) -> list[tuple[str, str | int]]:
    """Of each event the kind and what tells it from others of its kind."""
    key = {"order": "status", "fill": "quantity", "cash": "transaction_type", "holding": "quantity"}
    return [(event.kind, event.data[key[event.kind]]) for event in told]


def order_data(order: OrderRecord, **changed: Any) -> dict[str, Any]:
    return {
        "id": str(order.id),
        "client_order_id": order.client_order_id,
        "stock_code": order.stock_code,
        "side": order.side,
        "order_type": order.order_type,
        "time_in_force": order.time_in_force,
        "quantity": order.quantity,
        "price": order.price,
        "status": "PENDING",
        "reason": None,
        "executed_quantity": 0,
        **changed,
    }


def test_registering_tells_of_the_starting_cash(books: TradingHarness) -> None:
    user = books.user()

    (event,) = events(books, user)

    assert (event.id, event.kind, event.occurred_at, event.user_id) == (
        1,
        EventKind.CASH,
        books.clock(),
        user,
    )
    (transaction,) = rows(books, "SELECT id FROM transactions")
    assert event.data == {
        "id": str(UUID(bytes=transaction["id"])),
        "transaction_type": "DEPOSIT",
        "order_id": None,
        "amount": 10_000_000,
        "commission": 0,
        "tax": 0,
        "cash_balance_before": 0,
        "cash_balance_after": 10_000_000,
    }


def test_cash_that_moves_is_told(books: TradingHarness) -> None:
    user = books.user()

    came, went = told_by(
        books, user, lambda: (deposit(books, user, 500_000), withdraw(books, user, 200_000))
    )

    assert (came.id, went.id) == (2, 3)
    assert (came.data["transaction_type"], came.data["cash_balance_after"]) == (
        "DEPOSIT",
        10_500_000,
    )
    assert (went.data["transaction_type"], went.data["cash_balance_before"]) == (
        "WITHDRAW",
        10_500_000,
    )


def test_a_purchase_and_a_sale_tell_all_their_stages(books: TradingHarness) -> None:
    """Accepted; filled, and so FILLED; paid; held. Each stage's events come with its rows, and the sale's profit with the holding."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 10, client_order_id="it's \\ mine")
    for _ in range(3):
        books.run(books.sent.pop(0))
    (execution,) = books.order(user, order.id).executions

    accepted, fill, filled, paid, held = events(books, user, after=1)

    assert accepted.data == order_data(order)
    assert fill.data == {
        "id": str(execution.id),
        "order_id": str(order.id),
        "stock_code": "A005930",
        "side": "BUY",
        "price": 70_000,
        "quantity": 10,
        "amount": 700_000,
        "commission": 105,
        "tax": 0,
        "transaction_tax": 0,
        "rural_tax": 0,
    }
    assert filled.data == order_data(order, status="FILLED", executed_quantity=10)
    assert (paid.data["transaction_type"], paid.data["order_id"]) == ("BUY", str(order.id))
    assert (paid.data["amount"], paid.data["commission"], paid.data["cash_balance_after"]) == (
        700_000,
        105,
        9_299_895,
    )
    assert held.data == {
        "stock_code": "A005930",
        "quantity": 10,
        "average_price": 70_000,
        "cost": 700_000,
        "realized_profit": 0,
    }
    assert [event.id for event in (accepted, fill, filled, paid, held)] == [2, 3, 4, 5, 6]

    books.tick(71_000)
    sold = told_by(books, user, lambda: (books.place(user, Side.SELL, 10), books.run_all()))

    assert brief(sold) == [
        ("order", "PENDING"),
        ("fill", 10),
        ("order", "FILLED"),
        ("cash", "SELL"),
        ("holding", 0),
    ]
    assert (sold[1].data["tax"], sold[1].data["transaction_tax"], sold[1].data["rural_tax"]) == (
        1_420,
        355,
        1_065,
    )
    profit = 710_000 - 106 - 1_420 - 700_000 - 105
    assert sold[-1].data == {"stock_code": "A005930", "quantity": 0, "average_price": None, "cost": 0, "realized_profit": profit}  # fmt: skip


def test_an_amendment_tells_the_new_terms(books: TradingHarness) -> None:
    user = books.user()
    order = books.place(user, Side.BUY, 10, limit=60_000)

    (amended,) = told_by(books, user, lambda: books.amend(user, order.id, limit=61_000, quantity=4))

    assert amended.data == order_data(order, price=61_000, quantity=4)


def test_a_cancellation_and_a_cancel_all_tell_each_order(books: TradingHarness) -> None:
    user = books.user()
    orders = [books.place(user, Side.BUY, 1, limit=60_000 + 100 * n) for n in range(3)]

    (one,) = told_by(books, user, lambda: books.cancel(user, orders[1].id))
    others = told_by(books, user, lambda: cancel_all(books, user))

    assert one.data == order_data(orders[1], status="CANCELLED", reason="cancelled-by-user")
    assert [event.data["id"] for event in others] == [str(orders[0].id), str(orders[2].id)]
    assert told_by(books, user, lambda: cancel_all(books, user)) == []


def test_orders_that_end_tell_why(books: TradingHarness) -> None:
    """The day's end, a stock that is delisted while its order waits or is due, and a buy that the account can't pay any more."""
    user = books.user()
    books.tick(70_000)
    books.place(user, Side.BUY, 1, limit=60_000)
    books.place(user, Side.BUY, 2, limit=60_000, time_in_force=TimeInForce.GTC)
    books.place(user, Side.BUY, 130)
    books.tick(100_000)

    def ends(act: Callable[[], object]) -> list[tuple[int, str, str]]:
        told = told_by(books, user, act)
        return [
            (event.data["quantity"], event.data["status"], event.data["reason"]) for event in told
        ]

    assert ends(books.run_all) == [(130, "REJECTED", "insufficient-cash")]
    books.clock.advance(hours=24)
    books.match()
    assert ends(books.expire) == [(1, "EXPIRED", "day-ended")]
    books.tick(70_000)
    books.place(user, Side.BUY, 3)
    set_status(books, "DELISTED")
    now = books.clock()
    settings = books.settings
    assert ends(
        lambda: do(books, lambda session: end_delisted(session, settings=settings, now=now))
    ) == [(2, "CANCELLED", "stock-not-tradable")]
    assert ends(books.run_all) == [(3, "REJECTED", "stock-not-tradable")]


def test_parts_are_told_one_by_one(volume_books: TradingHarness) -> None:
    """Two trades fill four and three of ten, found by one look; an IOC order is filled in part, and its rest ends with that."""
    books = volume_books
    user = books.user()
    books.tick(70_500)
    order = books.place(user, Side.BUY, 10, limit=70_000)
    for volume in (4, 3):
        books.tick(70_000, volume=volume)
    books.match()
    told = told_by(books, user, lambda: books.run(books.sent.pop(0)))
    assert brief(told) == [("fill", 4), ("fill", 3), ("order", "PARTIALLY_FILLED")]
    assert told[-1].data == order_data(order, status="PARTIALLY_FILLED", executed_quantity=7)
    books.run_all()
    assert brief(events(books, user)[-3:]) == [("cash", "BUY"), ("cash", "BUY"), ("holding", 7)]
    (cancelled,) = told_by(books, user, lambda: books.cancel(user, order.id))
    assert (cancelled.data["status"], cancelled.data["executed_quantity"]) == ("CANCELLED", 7)

    ioc = books.place(user, Side.BUY, 10, limit=70_000, time_in_force=TimeInForce.IOC)
    books.tick(70_000, volume=6)
    books.match()
    told = told_by(books, user, lambda: books.run(books.sent.pop(0)))
    assert brief(told) == [("fill", 6), ("order", "PARTIALLY_FILLED"), ("order", "CANCELLED")]
    assert told[-1].data == order_data(
        ioc, status="CANCELLED", reason="not-filled-at-once", executed_quantity=6
    )


def test_what_is_refused_or_done_before_tells_nothing(books: TradingHarness) -> None:
    """A refused order, a second settlement, a second run of each stage."""
    user = books.user()
    bought(books, user, 1)

    def refused() -> None:
        with pytest.raises(InsufficientCash):
            books.place(user, Side.BUY, 1_000)

    assert told_by(books, user, refused) == []
    books.place(user, Side.BUY, 1)
    for _ in range(3):
        wakeup = books.sent.pop(0)
        books.run(wakeup)
        assert told_by(books, user, lambda wakeup=wakeup: books.run(wakeup)) == []  # type: ignore[misc]
    assert books.breaches() == []


def test_a_batch_numbers_each_users_events_in_one_go(books: TradingHarness) -> None:
    """Six orders of three users in one execution: three statements for their events, however many they are."""
    users = [books.user() for _ in range(3)]
    books.tick(70_000)
    for user in users * 2:
        books.place(user, Side.BUY, 1)
    wakeups = [books.sent.pop(0) for _ in range(6)]

    with statements_counted(books.core.database.engine) as statements:
        books.run(wakeups[0])

    about_events = [statement for statement in statements if "account_event" in statement]
    assert [statement.split("(")[0].split(" WHERE")[0].strip() for statement in about_events] == [
        "INSERT INTO account_event_heads",
        "SELECT last_id FROM account_event_heads",
        "INSERT INTO account_events",
    ]
    for user in users:
        told = events(books, user, after=3)
        assert [event.id for event in told] == [4, 5, 6, 7]
        assert brief(told) == [("fill", 1), ("order", "FILLED")] * 2


def test_several_use_cases_of_one_transaction_number_once(books: TradingHarness) -> None:
    """Events of one transaction stand in the order in which things happened, and none is there before the end of all."""
    user = books.user()
    orders = [books.place(user, Side.BUY, 1, limit=60_000) for _ in range(2)]
    seen: list[int] = []

    def cancel_both(session: Session) -> None:
        for order in orders:
            cancel_order(session, user_id=user, order_id=order.id, now=books.clock())
            seen.append(session.scalar(text("SELECT COUNT(*) FROM account_events")) or 0)

    told = told_by(books, user, lambda: do(books, cancel_both))

    assert seen == [3, 3]
    assert [(event.id, event.data["id"]) for event in told] == [
        (4, str(orders[0].id)),
        (5, str(orders[1].id)),
    ]


def test_a_retried_transaction_tells_once(books: TradingHarness) -> None:
    """The first run's events go with its rows."""
    user = books.user()
    order = books.place(user, Side.BUY, 1, limit=60_000)
    failed: list[int] = []

    def fail_once(session: Session) -> None:
        cancel_order(session, user_id=user, order_id=order.id, now=books.clock())
        if not failed:
            failed.append(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        do(books, fail_once)
    told = told_by(books, user, lambda: do(books, fail_once))

    assert brief(told) == [("order", "CANCELLED")]
    assert [event.id for event in events(books, user)] == [1, 2, 3]
