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


def told_by(harness: TradingHarness, user: UUID, act: Callable[[], object]) -> list[AccountEvent]:
    """The events that an act of one user adds."""
    before = len(events(harness, user))
    act()
    return events(harness, user, after=before)


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


def test_registering_tells_of_the_starting_cash(harness: TradingHarness) -> None:
    user = harness.user()

    (event,) = events(harness, user)

    assert (event.id, event.kind, event.occurred_at, event.user_id) == (
        1,
        EventKind.CASH,
        harness.clock(),
        user,
    )
    (transaction,) = rows(harness, "SELECT id FROM transactions")
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


def test_cash_that_moves_is_told(harness: TradingHarness) -> None:
    user = harness.user()

    came, went = told_by(
        harness, user, lambda: (deposit(harness, user, 500_000), withdraw(harness, user, 200_000))
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


def test_a_purchase_and_a_sale_tell_all_their_stages(harness: TradingHarness) -> None:
    """Accepted; filled, and so FILLED; paid; held. Each stage's events come with its rows, and the sale's profit with the holding."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 10, client_order_id="it's \\ mine")
    for _ in range(3):
        harness.run(harness.sent.pop(0))
    (execution,) = harness.order(user, order.id).executions

    accepted, fill, filled, paid, held = events(harness, user, after=1)

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

    harness.tick(71_000)
    sold = told_by(harness, user, lambda: (harness.place(user, Side.SELL, 10), harness.run_all()))

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


def test_an_amendment_tells_the_new_terms(harness: TradingHarness) -> None:
    user = harness.user()
    order = harness.place(user, Side.BUY, 10, limit=60_000)

    (amended,) = told_by(
        harness, user, lambda: harness.amend(user, order.id, limit=61_000, quantity=4)
    )

    assert amended.data == order_data(order, price=61_000, quantity=4)


def test_a_cancellation_and_a_cancel_all_tell_each_order(harness: TradingHarness) -> None:
    user = harness.user()
    orders = [harness.place(user, Side.BUY, 1, limit=60_000 + 100 * n) for n in range(3)]

    (one,) = told_by(harness, user, lambda: harness.cancel(user, orders[1].id))
    others = told_by(harness, user, lambda: cancel_all(harness, user))

    assert one.data == order_data(orders[1], status="CANCELLED", reason="cancelled-by-user")
    assert [event.data["id"] for event in others] == [str(orders[0].id), str(orders[2].id)]
    assert told_by(harness, user, lambda: cancel_all(harness, user)) == []


def test_orders_that_end_tell_why(harness: TradingHarness) -> None:
    """The day's end, a stock that is delisted while its order waits or is due, and a buy that the account can't pay any more."""
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 1, limit=60_000)
    harness.place(user, Side.BUY, 2, limit=60_000, time_in_force=TimeInForce.GTC)
    harness.place(user, Side.BUY, 130)
    harness.tick(100_000)

    def ends(act: Callable[[], object]) -> list[tuple[int, str, str]]:
        told = told_by(harness, user, act)
        return [
            (event.data["quantity"], event.data["status"], event.data["reason"]) for event in told
        ]

    assert ends(harness.run_all) == [(130, "REJECTED", "insufficient-cash")]
    harness.clock.advance(hours=24)
    harness.match()
    assert ends(harness.expire) == [(1, "EXPIRED", "day-ended")]
    harness.tick(70_000)
    harness.place(user, Side.BUY, 3)
    set_status(harness, "DELISTED")
    now = harness.clock()
    settings = harness.settings
    assert ends(
        lambda: do(harness, lambda session: end_delisted(session, settings=settings, now=now))
    ) == [(2, "CANCELLED", "stock-not-tradable")]
    assert ends(harness.run_all) == [(3, "REJECTED", "stock-not-tradable")]


def test_parts_are_told_one_by_one(volume_harness: TradingHarness) -> None:
    """Two trades fill four and three of ten, found by one look; an IOC order is filled in part, and its rest ends with that."""
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    for volume in (4, 3):
        harness.tick(70_000, volume=volume)
    harness.match()
    told = told_by(harness, user, lambda: harness.run(harness.sent.pop(0)))
    assert brief(told) == [("fill", 4), ("fill", 3), ("order", "PARTIALLY_FILLED")]
    assert told[-1].data == order_data(order, status="PARTIALLY_FILLED", executed_quantity=7)
    harness.run_all()
    assert brief(events(harness, user)[-3:]) == [("cash", "BUY"), ("cash", "BUY"), ("holding", 7)]
    (cancelled,) = told_by(harness, user, lambda: harness.cancel(user, order.id))
    assert (cancelled.data["status"], cancelled.data["executed_quantity"]) == ("CANCELLED", 7)

    ioc = harness.place(user, Side.BUY, 10, limit=70_000, time_in_force=TimeInForce.IOC)
    harness.tick(70_000, volume=6)
    harness.match()
    told = told_by(harness, user, lambda: harness.run(harness.sent.pop(0)))
    assert brief(told) == [("fill", 6), ("order", "PARTIALLY_FILLED"), ("order", "CANCELLED")]
    assert told[-1].data == order_data(
        ioc, status="CANCELLED", reason="not-filled-at-once", executed_quantity=6
    )


def test_what_is_refused_or_done_before_tells_nothing(harness: TradingHarness) -> None:
    """A refused order, a second settlement, a second run of each stage."""
    user = harness.user()
    bought(harness, user, 1)

    def refused() -> None:
        with pytest.raises(InsufficientCash):
            harness.place(user, Side.BUY, 1_000)

    assert told_by(harness, user, refused) == []
    harness.place(user, Side.BUY, 1)
    for _ in range(3):
        wakeup = harness.sent.pop(0)
        harness.run(wakeup)
        assert told_by(harness, user, lambda wakeup=wakeup: harness.run(wakeup)) == []  # type: ignore[misc]
    assert harness.breaches() == []


def test_a_batch_numbers_each_users_events_in_one_go(harness: TradingHarness) -> None:
    """Six orders of three users in one execution: three statements for their events, however many they are."""
    users = [harness.user() for _ in range(3)]
    harness.tick(70_000)
    for user in users * 2:
        harness.place(user, Side.BUY, 1)
    wakeups = [harness.sent.pop(0) for _ in range(6)]

    with statements_counted(harness.core.database.engine) as statements:
        harness.run(wakeups[0])

    about_events = [statement for statement in statements if "account_event" in statement]
    assert [statement.split("(")[0].split(" WHERE")[0].strip() for statement in about_events] == [
        "INSERT INTO account_event_heads",
        "SELECT last_id FROM account_event_heads",
        "INSERT INTO account_events",
    ]
    for user in users:
        told = events(harness, user, after=3)
        assert [event.id for event in told] == [4, 5, 6, 7]
        assert brief(told) == [("fill", 1), ("order", "FILLED")] * 2


def test_several_use_cases_of_one_transaction_number_once(harness: TradingHarness) -> None:
    """Events of one transaction stand in the order in which things happened, and none is there before the end of all."""
    user = harness.user()
    orders = [harness.place(user, Side.BUY, 1, limit=60_000) for _ in range(2)]
    seen: list[int] = []

    def cancel_both(session: Session) -> None:
        for order in orders:
            cancel_order(session, user_id=user, order_id=order.id, now=harness.clock())
            seen.append(session.scalar(text("SELECT COUNT(*) FROM account_events")) or 0)

    told = told_by(harness, user, lambda: do(harness, cancel_both))

    assert seen == [3, 3]
    assert [(event.id, event.data["id"]) for event in told] == [
        (4, str(orders[0].id)),
        (5, str(orders[1].id)),
    ]


def test_a_retried_transaction_tells_once(harness: TradingHarness) -> None:
    """The first run's events go with its rows."""
    user = harness.user()
    order = harness.place(user, Side.BUY, 1, limit=60_000)
    failed: list[int] = []

    def fail_once(session: Session) -> None:
        cancel_order(session, user_id=user, order_id=order.id, now=harness.clock())
        if not failed:
            failed.append(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        do(harness, fail_once)
    told = told_by(harness, user, lambda: do(harness, fail_once))

    assert brief(told) == [("order", "CANCELLED")]
    assert [event.id for event in events(harness, user)] == [1, 2, 3]
