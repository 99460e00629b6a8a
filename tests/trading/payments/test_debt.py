"""Debt: money that was taken back after it was spent is repaid before anything else."""

from typing import Any

import pytest

from tests.support.payments_stack import PaymentsStack, owner_of
from tests.trading.orders.steps import cash
from tests.trading.payments.test_check_payment import CASH, alerts, check
from tests.webapp.client import Person, data_of, problem_of


def overdrawn(stack: PaymentsStack, *, spent: int = 4_000) -> tuple[Person, str]:
    """Return a user in debt and the payment that caused it.

    The user paid 10,000 won, spent ``spent`` won of it and everything owned before; then the bank
    took the payment back.
    """
    user = stack.api.person()
    payment_id = stack.paid(user)
    data_of(stack.api.post("/balance/withdraw", user, {"amount": CASH + spent}), 201)
    stack.portone.move(payment_id, "chargeback")
    check(stack, payment_id)
    return user, payment_id


def test_chargeback_of_spent_money_leaves_a_debt(stack: PaymentsStack) -> None:
    """The whole payment is reversed, the balance is negative by the debt, and an alert opens."""
    user, payment_id = overdrawn(stack)
    balance = stack.balance(user)
    assert (balance["cash_balance"], balance["available_cash"], balance["debt"]) == (
        -4_000,
        0,
        4_000,
    )
    assert stack.payment(user, payment_id)["status"] == "CANCELLED"
    assert alerts(stack, payment_id) == ["chargeback", "overdrawn"]
    assert stack.harness.breaches() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/balance/withdraw", {"amount": 1}),
        ("/trading/orders", {"stock_code": "A005930", "side": "BUY", "quantity": 1}),
        ("/trading/orders/preview", {"stock_code": "A005930", "side": "BUY", "quantity": 1}),
    ],
)
def test_buys_and_withdrawals_are_refused_until_the_debt_is_paid(
    stack: PaymentsStack, path: str, body: dict[str, Any]
) -> None:
    """The refusal states the debt."""
    user, _ = overdrawn(stack)
    stack.harness.tick(70_000)
    assert problem_of(stack.api.post(path, user, body), "account-overdrawn")["debt"] == 4_000
    data_of(stack.api.post("/balance/deposit", user, {"amount": 4_001}), 201)
    assert stack.balance(user)["debt"] == 0
    assert stack.api.post(path, user, body).get_json().get("code") != "account-overdrawn"
    assert stack.harness.breaches() == []


def in_debt_with_shares(stack: PaymentsStack) -> tuple[Person, str]:
    """Return a user with ten shares, a debt of 10,000 won and another payment, with its id."""
    user = stack.api.person()
    stack.harness.tick(70_000)
    stack.api.bought(user, 10)
    other, taken_back = stack.paid(user, 20_000), stack.paid(user, 10_000)
    available = stack.balance(user)["available_cash"]
    data_of(stack.api.post("/balance/withdraw", user, {"amount": available}), 201)
    stack.portone.move(taken_back, "chargeback")
    check(stack, taken_back)
    assert stack.balance(user)["debt"] == 10_000
    return user, other


@pytest.mark.parametrize(
    "terms",
    [{}, {"order_type": "LIMIT", "price": 70_000}, {"order_type": "LIMIT", "price": 69_900}],
    ids=str,
)
def test_sale_pays_the_debt(stack: PaymentsStack, terms: dict[str, Any]) -> None:
    """A holder with a debt previews and places a sale; its proceeds pay the debt."""
    user, _ = in_debt_with_shares(stack)
    body = {"stock_code": "A005930", "side": "SELL", "quantity": 2, **terms}
    preview = data_of(stack.api.post("/trading/orders/preview", user, body))

    sale = data_of(stack.api.post("/trading/orders", user, body), 201)
    stack.harness.run_all()

    sold = data_of(stack.api.get(f"/trading/orders/{sale['id']}", user))
    assert (sold["status"], sold["executed_amount"]) == ("FILLED", 140_000)
    balance = stack.balance(user)
    assert preview["price"] in (70_000, terms.get("price"))
    costs = sold["executions"][0]["commission"] + sold["executions"][0]["tax"]
    assert (balance["debt"], balance["available_cash"]) == (0, 140_000 - costs - 10_000)
    assert stack.harness.breaches() == []


def test_debt_forbids_refunds_of_other_payments(stack: PaymentsStack) -> None:
    """The money of another payment is kept for the debt."""
    user, other = in_debt_with_shares(stack)

    refused = stack.api.post(f"/payments/{other}/cancel", user, {})

    assert problem_of(refused, "account-overdrawn")["debt"] == 10_000


@pytest.mark.parametrize(
    "change", [{"price": 79_000}, {"quantity": 5}, {"quantity": 10}, {"price": 80_000}], ids=str
)
def test_sale_of_a_holder_with_debt_can_be_amended(
    stack: PaymentsStack, change: dict[str, int]
) -> None:
    user, _ = in_debt_with_shares(stack)
    sale = stack.api.limit_order(user, "SELL", 6, 80_000)
    path = f"/trading/orders/{sale['id']}"

    amended = data_of(stack.api.ask("PATCH", path, user, json=change))
    stack.harness.tick(80_000)
    stack.harness.match()
    stack.harness.run_all()

    assert {name: amended[name] for name in change} == change
    assert data_of(stack.api.get(path, user))["status"] == "FILLED"
    assert stack.balance(user)["debt"] == 0
    assert stack.harness.breaches() == []


def test_chargeback_cancels_open_buys_first(stack: PaymentsStack) -> None:
    """The cash of cancelled buys prevents a debt; sales stay open."""
    user = stack.api.person()
    stack.harness.tick(70_000)
    stack.api.bought(user, 1)
    payment_id = stack.paid(user)
    buy = stack.api.limit_order(user, "BUY", 1, 60_000)
    sale = stack.api.limit_order(user, "SELL", 1, 80_000)
    available = stack.balance(user)["available_cash"]
    data_of(stack.api.post("/balance/withdraw", user, {"amount": available}), 201)

    stack.portone.move(payment_id, "chargeback")
    check(stack, payment_id)

    ended = data_of(stack.api.get(f"/trading/orders/{buy['id']}", user))
    assert (ended["status"], ended["reason"]) == ("CANCELLED", "account-overdrawn")
    assert data_of(stack.api.get(f"/trading/orders/{sale['id']}", user))["status"] == "PENDING"
    balance = stack.balance(user)
    assert (balance["debt"], balance["reserved_cash"]) == (0, 0)
    assert balance["available_cash"] > 0
    assert stack.harness.breaches() == []


def test_chargeback_keeps_open_buys_when_cash_suffices(stack: PaymentsStack) -> None:
    user = stack.api.person()
    payment_id = stack.paid(user)
    stack.harness.tick(70_000)
    buy = stack.api.limit_order(user, "BUY", 1, 60_000)
    stack.portone.move(payment_id, "chargeback")
    check(stack, payment_id)
    assert data_of(stack.api.get(f"/trading/orders/{buy['id']}", user))["status"] == "PENDING"


def test_unsettled_fill_is_settled_despite_the_debt(stack: PaymentsStack) -> None:
    """An execution must be paid, so its cash stays reserved and adds to the debt."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    stack.harness.tick(70_000)
    available = stack.balance(user)["available_cash"]
    stack.api.order(user, "BUY", 1)
    stack.harness.run(stack.harness.sent.pop(0))
    left = stack.balance(user)["available_cash"]
    data_of(stack.api.post("/balance/withdraw", user, {"amount": left}), 201)
    settlement = list(stack.harness.sent)
    stack.portone.move(payment_id, "chargeback", webhook="none")
    check(stack, payment_id)
    assert stack.balance(user)["debt"] == 10_000
    stack.harness.sent[:] = settlement
    stack.harness.run_all()
    assert cash(stack.harness, owner_of(user))[1] == 0
    assert stack.balance(user)["debt"] < 10_000
    assert available > left
    assert stack.harness.breaches() == []


def test_new_payment_pays_the_debt(stack: PaymentsStack) -> None:
    user, _ = overdrawn(stack)
    stack.paid(user, 5_000)
    balance = stack.balance(user)
    assert (balance["cash_balance"], balance["debt"], balance["available_cash"]) == (
        1_000,
        0,
        1_000,
    )
    assert stack.harness.breaches() == []


def test_debt_fails_a_refund_that_was_not_sent(stack: PaymentsStack) -> None:
    """Its cash is needed for the debt; a refund that was sent cannot be recalled."""
    user = stack.api.person()
    other, taken_back = stack.paid(user, 20_000), stack.paid(user, 10_000)
    refund = stack.refund(user, other, 20_000)
    stack.harness.sent.clear()
    data_of(stack.api.post("/balance/withdraw", user, {"amount": CASH + 10_000}), 201)
    stack.portone.move(taken_back, "chargeback", webhook="none")
    check(stack, taken_back)
    assert stack.balance(user)["debt"] == 10_000
    stack.sweep_until_quiet(turns=1)
    (shown,) = stack.payment(user, other)["refunds"]
    assert (shown["id"], shown["status"], shown["failure"]) == (
        refund["id"],
        "FAILED",
        "ACCOUNT_OVERDRAWN",
    )
    assert stack.balance(user)["debt"] == 0
    assert stack.harness.breaches() == []
