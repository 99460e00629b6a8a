"""Events of each use case: kinds, order and members."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.support.statements import statements_counted
from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import (
    bought,
    cancel_all,
    deposit,
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
from trading.unit_of_work import UnitOfWork


def events_of(harness: TradingHarness, user: UUID, act: Callable[[], object]) -> list[AccountEvent]:
    """Return the events that an action adds for a user."""
    before = len(events(harness, user))
    act()
    return events(harness, user, after=before)


def summarize(emitted: list[AccountEvent]) -> list[tuple[str, str | int]]:
    """Return each event's kind and the value that distinguishes it."""
    key = {"order": "status", "fill": "quantity", "cash": "transaction_type", "holding": "quantity"}
    return [(event.kind, event.data[key[event.kind]]) for event in emitted]


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


def test_registration_emits_the_starting_cash(harness: TradingHarness) -> None:
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


def test_deposit_and_withdrawal_emit_cash_events(harness: TradingHarness) -> None:
    user = harness.user()

    came, went = events_of(
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


def test_purchase_and_sale_emit_an_event_for_every_stage(harness: TradingHarness) -> None:
    """Accepted, filled, paid, held; each stage's events are written with its rows."""
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
    sold = events_of(harness, user, lambda: (harness.place(user, Side.SELL, 10), harness.run_all()))

    assert summarize(sold) == [
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
    assert sold[-1].data == {
        "stock_code": "A005930",
        "quantity": 0,
        "average_price": None,
        "cost": 0,
        "realized_profit": profit,
    }


def test_amendment_emits_the_new_terms(harness: TradingHarness) -> None:
    user = harness.user()
    order = harness.place(user, Side.BUY, 10, limit=60_000)

    (amended,) = events_of(
        harness, user, lambda: harness.amend(user, order.id, limit=61_000, quantity=4)
    )

    assert amended.data == order_data(order, price=61_000, quantity=4)


def test_cancellation_and_cancel_all_emit_an_event_for_each_order(harness: TradingHarness) -> None:
    user = harness.user()
    orders = [harness.place(user, Side.BUY, 1, limit=60_000 + 100 * n) for n in range(3)]

    (one,) = events_of(harness, user, lambda: harness.cancel(user, orders[1].id))
    others = events_of(harness, user, lambda: cancel_all(harness, user))

    assert one.data == order_data(orders[1], status="CANCELLED", reason="cancelled-by-user")
    assert [event.data["id"] for event in others] == [str(orders[0].id), str(orders[2].id)]
    assert events_of(harness, user, lambda: cancel_all(harness, user)) == []


def test_ended_orders_emit_the_reason(harness: TradingHarness) -> None:
    """End of the day, a delisted stock (waiting or due), and a buy that the account cannot pay."""
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 1, limit=60_000)
    harness.place(user, Side.BUY, 2, limit=60_000, time_in_force=TimeInForce.GTC)
    harness.place(user, Side.BUY, 130)
    harness.tick(100_000)

    def ends(act: Callable[[], object]) -> list[tuple[int, str, str]]:
        emitted = events_of(harness, user, act)
        return [
            (event.data["quantity"], event.data["status"], event.data["reason"])
            for event in emitted
        ]

    assert ends(harness.run_all) == [(130, "REJECTED", "insufficient-cash")]
    harness.clock.advance(hours=24)
    harness.match()
    assert ends(harness.expire) == [(1, "EXPIRED", "day-ended")]
    harness.tick(70_000)
    harness.place(user, Side.BUY, 3)
    set_status(harness, "DELISTED")
    assert ends(lambda: harness.core.run(end_delisted)) == [(2, "CANCELLED", "stock-not-tradable")]
    assert ends(harness.run_all) == [(3, "REJECTED", "stock-not-tradable")]


def test_partial_fills_emit_an_event_for_each_fill(volume_harness: TradingHarness) -> None:
    """One scan fills four and three of ten; an IOC order is filled in part and cancelled."""
    harness = volume_harness
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    for volume in (4, 3):
        harness.tick(70_000, volume=volume)
    harness.match()
    emitted = events_of(harness, user, lambda: harness.run(harness.sent.pop(0)))
    assert summarize(emitted) == [("fill", 4), ("fill", 3), ("order", "PARTIALLY_FILLED")]
    assert emitted[-1].data == order_data(order, status="PARTIALLY_FILLED", executed_quantity=7)
    harness.run_all()
    assert summarize(events(harness, user)[-3:]) == [
        ("cash", "BUY"),
        ("cash", "BUY"),
        ("holding", 7),
    ]
    (cancelled,) = events_of(harness, user, lambda: harness.cancel(user, order.id))
    assert (cancelled.data["status"], cancelled.data["executed_quantity"]) == ("CANCELLED", 7)

    ioc = harness.place(user, Side.BUY, 10, limit=70_000, time_in_force=TimeInForce.IOC)
    harness.tick(70_000, volume=6)
    harness.match()
    emitted = events_of(harness, user, lambda: harness.run(harness.sent.pop(0)))
    assert summarize(emitted) == [
        ("fill", 6),
        ("order", "PARTIALLY_FILLED"),
        ("order", "CANCELLED"),
    ]
    assert emitted[-1].data == order_data(
        ioc, status="CANCELLED", reason="not-filled-at-once", executed_quantity=6
    )


def test_refusals_and_repetitions_emit_nothing(harness: TradingHarness) -> None:
    """A refused order, a second settlement, a second run of each stage."""
    user = harness.user()
    bought(harness, user, 1)

    def refused() -> None:
        with pytest.raises(InsufficientCash):
            harness.place(user, Side.BUY, 1_000)

    assert events_of(harness, user, refused) == []
    harness.place(user, Side.BUY, 1)
    for _ in range(3):
        request = harness.sent.pop(0)
        harness.run(request)
        assert events_of(harness, user, lambda request=request: harness.run(request)) == []  # type: ignore[misc]
    assert harness.breaches() == []


def test_batch_numbers_events_with_a_constant_number_of_statements(harness: TradingHarness) -> None:
    """Six orders of three users in one execution: three statements for all their events."""
    users = [harness.user() for _ in range(3)]
    harness.tick(70_000)
    for user in users * 2:
        harness.place(user, Side.BUY, 1)
    requests = [harness.sent.pop(0) for _ in range(6)]

    with statements_counted(harness.core.database.engine) as statements:
        harness.run(requests[0])

    about_events = [statement for statement in statements if "account_event" in statement]
    assert [statement.split("(")[0].split(" WHERE")[0].strip() for statement in about_events] == [
        "INSERT INTO account_event_heads",
        "SELECT last_id FROM account_event_heads",
        "INSERT INTO account_events",
    ]
    for user in users:
        emitted = events(harness, user, after=3)
        assert [event.id for event in emitted] == [4, 5, 6, 7]
        assert summarize(emitted) == [("fill", 1), ("order", "FILLED")] * 2


def test_use_cases_in_one_transaction_are_numbered_once(harness: TradingHarness) -> None:
    """Events are in the order of the changes and are written only at the end."""
    user = harness.user()
    orders = [harness.place(user, Side.BUY, 1, limit=60_000) for _ in range(2)]
    seen: list[int] = []

    def cancel_both(uow: UnitOfWork) -> None:
        for order in orders:
            cancel_order(uow, user_id=user, order_id=order.id)
            seen.append(uow.session.scalar(text("SELECT COUNT(*) FROM account_events")) or 0)

    emitted = events_of(harness, user, lambda: harness.core.run(cancel_both))

    assert seen == [3, 3]
    assert [(event.id, event.data["id"]) for event in emitted] == [
        (4, str(orders[0].id)),
        (5, str(orders[1].id)),
    ]


def test_retried_transaction_emits_once(harness: TradingHarness) -> None:
    """The first run's events are rolled back with its rows."""
    user = harness.user()
    order = harness.place(user, Side.BUY, 1, limit=60_000)
    failed: list[int] = []

    def fail_once(uow: UnitOfWork) -> None:
        cancel_order(uow, user_id=user, order_id=order.id)
        if not failed:
            failed.append(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        harness.core.run(fail_once)
    emitted = events_of(harness, user, lambda: harness.core.run(fail_once))

    assert summarize(emitted) == [("order", "CANCELLED")]
    assert [event.id for event in events(harness, user)] == [1, 2, 3]
