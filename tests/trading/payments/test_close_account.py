"""Closing an account: its orders end, its data is erased, and payments may prevent it."""

from functools import partial
from uuid import UUID

import pytest

from tests.support.payments_stack import PaymentsStack
from tests.support.trading_harness import HYNIX, TradingHarness
from tests.trading.orders.steps import do, events, rows, set_status
from tests.trading.threads import outcome, run_together
from tests.webapp.client import Api, Person, api_on, data_of, problem_of
from trading.errors import DomainError, Unauthorized
from trading.exchange.order_types import Side
from trading.payments.close_account import CloseAccount, close_account


def closing(user: UUID, **more: bool) -> CloseAccount:
    return CloseAccount(user_id=user, verified_hash="", **more)


def open_orders(harness: TradingHarness) -> int:
    statement = "SELECT id FROM orders WHERE status IN ('PENDING', 'PARTIALLY_FILLED')"
    return len(rows(harness, statement))


def reserved(harness: TradingHarness) -> list[int]:
    return [
        int(row["total"])
        for table, column in (
            ("virtual_balances", "reserved_cash"),
            ("portfolios", "reserved_quantity"),
        )
        for row in rows(harness, f"SELECT COALESCE(SUM({column}), 0) AS total FROM {table}")
    ]


def test_open_orders_end_and_release_what_they_reserve(harness: TradingHarness) -> None:
    """Buys, sales, an order that waits for a print, and one of a halted stock."""
    harness.tick(70_000)
    harness.tick(200_000, HYNIX)
    user, other = harness.user(), harness.user()
    harness.place(user, Side.BUY, 10)
    harness.run_all()
    harness.place(user, Side.BUY, 3, limit=60_000)
    harness.place(user, Side.SELL, 4, limit=80_000)
    harness.place(user, Side.BUY, 1, HYNIX, limit=150_000)
    harness.place(other, Side.BUY, 1, limit=60_000)
    set_status(harness, "HALTED", HYNIX)

    for _ in ("closed", "repeated after a COMMIT of unknown outcome"):
        harness.core.run(close_account, closing(user))

    ended = rows(harness, "SELECT status, reason FROM orders WHERE status <> 'FILLED'")
    assert sorted(tuple(row.values()) for row in ended) == [
        ("CANCELLED", "account-closed"),
        ("CANCELLED", "account-closed"),
        ("CANCELLED", "account-closed"),
        ("PENDING", None),
    ]
    assert reserved(harness) == [60_009, 0]
    harness.run_all()
    assert harness.breaches() == []


def test_matched_but_unsettled_fills_are_settled_after_the_closing(
    harness: TradingHarness,
) -> None:
    """A fill that is executed counts; one that is only matched is discarded with its order."""
    harness.tick(70_000)
    user = harness.user()
    harness.place(user, Side.BUY, 10)
    harness.run(harness.sent.pop(0))
    harness.place(user, Side.BUY, 5, limit=65_000)
    harness.clock.advance(seconds=1)
    harness.tick(64_000)
    harness.match()
    assert len(rows(harness, "SELECT order_id FROM pending_fills")) == 1

    harness.core.run(close_account, closing(user))
    harness.run_all()

    assert open_orders(harness) == 0
    assert reserved(harness) == [0, 0]
    (holding,) = rows(harness, "SELECT quantity FROM portfolios")
    assert holding["quantity"] == 10
    assert harness.breaches() == []


def test_orders_that_race_with_the_closing_end_or_are_refused(
    server_harness: TradingHarness,
) -> None:
    """Whatever the order of the transactions, a closed account has no open order."""
    harness = server_harness
    harness.tick(70_000)
    for _ in range(5):
        user = harness.user()
        harness.place(user, Side.BUY, 10)
        harness.run_all()
        buy = partial(harness.place, user, Side.BUY, 1, limit=60_000)
        sell = partial(harness.place, user, Side.SELL, 1, limit=80_000)
        run_together(
            outcome(partial(harness.core.run, close_account, closing(user)), DomainError),  # type: ignore[arg-type]
            *[outcome(work, DomainError) for work in (buy, sell, buy, sell)],  # type: ignore[arg-type]
        )
        assert open_orders(harness) == 0
        assert reserved(harness) == [0, 0]
    assert harness.breaches() == []


def test_order_of_a_closed_account_is_refused(harness: TradingHarness) -> None:
    """As in a request that was authenticated just before."""
    harness.tick(70_000)
    user = harness.user()
    harness.core.run(close_account, closing(user))

    with pytest.raises(Unauthorized):
        harness.place(user, Side.BUY, 1, limit=60_000)
    assert rows(harness, "SELECT id FROM orders") == []


def test_changed_password_prevents_the_closing(harness: TradingHarness) -> None:
    user = harness.user()
    with pytest.raises(Unauthorized):
        harness.core.run(close_account, CloseAccount(user_id=user, verified_hash="another"))


def test_closing_is_audited(harness: TradingHarness) -> None:
    """An open order of an account that was closed since the rule is a breach; before it is not."""
    harness.tick(70_000)
    harness.place(harness.user(), Side.BUY, 1, limit=60_000)
    close = f"UPDATE users SET deleted_at = '{harness.clock():%Y-%m-%d %H:%M:%S.%f}'"
    do(harness, lambda session: session.connection().exec_driver_sql(close))
    assert harness.breaches() == []

    rule = "INSERT INTO rule_changes VALUES ('closed-accounts', '2026-01-01 00:00:00.000000')"
    do(harness, lambda session: session.connection().exec_driver_sql(rule))

    (breach,) = harness.breaches()
    assert breach.name.startswith("5g")


def test_payment_under_way_prevents_the_closing(stack: PaymentsStack) -> None:
    """Until it has expired; then nothing is left to lose."""
    user = stack.api.person()
    payment_id = stack.prepare(user)

    refused = problem_of(stack.api.close(user, forfeit_refundable=True), "payment-under-way")

    assert refused["payment_ids"] == [payment_id]
    stack.sweep_until_quiet(minutes=10)
    assert stack.payment(user, payment_id)["status"] == "EXPIRED"
    data_of(stack.api.close(stack.api.signed_in(user.email)))


def test_refundable_payment_prevents_the_closing_unless_forfeited(stack: PaymentsStack) -> None:
    user = stack.api.person()
    payment_id = stack.paid(user, 10_000)
    stack.refund(user, payment_id, 4_000)
    problem_of(stack.api.close(user), "payment-under-way")
    stack.work()

    refused = problem_of(stack.api.close(user), "refunds-forfeited")

    assert (refused["refundable"], refused["payment_ids"]) == (6_000, [payment_id])
    assert "6,000원" in refused["detail"]
    data_of(stack.api.close(user, forfeit_refundable=True))
    problem_of(stack.api.get("/users/me", user), "unauthorized")
    assert stack.harness.breaches() == []


def test_fully_refunded_payment_does_not_prevent_the_closing(stack: PaymentsStack) -> None:
    user = stack.api.person()
    stack.refund(user, stack.paid(user))
    stack.work()

    data_of(stack.api.close(user))


def test_payments_that_race_with_the_closing_belong_to_an_open_account(
    server_stack: PaymentsStack,
) -> None:
    """Either the payment is refused, or the closing."""
    for _ in range(3):
        user = server_stack.api.person()

        def prepare(person: Person = user) -> int:
            body = {"amount": 10_000, "order_name": "충전", "currency": "KRW"}
            api = server_stack.api.another_client()
            return api.post("/payments/portone/prepare", person, body).status_code

        def close(person: Person = user) -> int:
            return server_stack.api.another_client().close(person).status_code

        assert sorted(run_together(prepare, close)) in ([200, 401], [201, 409])


@pytest.fixture
def api(harness: TradingHarness) -> Api:
    return api_on(harness)


def test_wrong_password_closes_nothing(api: Api) -> None:
    """So does a request without one, and each is a 4xx with a code."""
    person = api.person()

    problem_of(api.ask("DELETE", "/users/me", person, json={"password": "x"}), "wrong-password")
    problem_of(api.ask("DELETE", "/users/me", person, json={}), "validation-failed")
    problem_of(api.ask("DELETE", "/users/me", person), "validation-failed")
    problem_of(api.close(person, forfeit_refundable="yes"), "validation-failed")

    data_of(api.get("/users/me", person))


def test_events_of_the_ended_orders_are_recorded(harness: TradingHarness) -> None:
    harness.tick(70_000)
    user = harness.user()
    order = harness.place(user, Side.BUY, 3, limit=60_000)
    harness.core.run(close_account, closing(user))

    (ended,) = [
        event for event in events(harness, user) if event.data.get("reason") == "account-closed"
    ]
    assert ended.data["id"] == str(order.id)
