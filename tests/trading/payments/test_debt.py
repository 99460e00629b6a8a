"""Money that is taken back after it was spent: the account owes it, nothing goes out of it before, and everything that comes in pays."""

from typing import Any

import pytest

from tests.support.payments_stack import PaymentsStack, owner_of
from tests.trading.orders.steps import cash
from tests.trading.payments.test_verify import CASH, alerts, look
from tests.webapp.client import Person, data_of, problem_of


def overdrawn(stack: PaymentsStack, *, spent: int = 4_000) -> tuple[Person, str]:
    """A user who paid 10,000, spent ``spent`` of it and all that he had before, and whose bank then took the payment back."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    data_of(stack.api.post("/balance/withdraw", who, {"amount": CASH + spent}), 201)
    stack.portone.move(payment_id, "chargeback")
    look(stack, payment_id)
    return who, payment_id


def test_what_was_spent_is_owed(stack: PaymentsStack) -> None:
    """The whole payment went back, the balance is below zero by the debt, and a person is called."""
    who, payment_id = overdrawn(stack)
    balance = stack.balance(who)
    assert (balance["cash_balance"], balance["available_cash"], balance["debt"]) == (
        -4_000,
        0,
        4_000,
    )
    assert stack.payment(who, payment_id)["status"] == "CANCELLED"
    assert alerts(stack, payment_id) == ["chargeback", "overdrawn"]
    assert stack.harness.breaches() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/balance/withdraw", {"amount": 1}),
        ("/trading/orders", {"stock_code": "A005930", "side": "BUY", "quantity": 1}),
        ("/trading/orders", {"stock_code": "A005930", "side": "SELL", "quantity": 1}),
        ("/trading/orders/preview", {"stock_code": "A005930", "side": "BUY", "quantity": 1}),
    ],
)
def test_nothing_goes_out_before_a_debt_is_paid(
    stack: PaymentsStack, path: str, body: dict[str, Any]
) -> None:
    """Orders of either side and withdrawals are refused with the debt, and taken again once it is paid."""
    who, _ = overdrawn(stack)
    stack.harness.tick(70_000)
    assert problem_of(stack.api.post(path, who, body), "account-overdrawn")["debt"] == 4_000
    data_of(stack.api.post("/balance/deposit", who, {"amount": 4_001}), 201)
    assert stack.balance(who)["debt"] == 0
    assert stack.api.post(path, who, body).get_json().get("code") != "account-overdrawn"
    assert stack.harness.breaches() == []


def test_an_order_of_one_who_owes_is_not_amended_and_no_other_payment_refunded(
    stack: PaymentsStack,
) -> None:
    """A resting sale lives on as it is; another payment's money is kept for the debt."""
    who = stack.api.person()
    stack.harness.tick(70_000)
    stack.api.bought(who, 10)
    sale = stack.api.limit_order(who, "SELL", 10, 80_000)
    other, taken_back = stack.paid(who, 20_000), stack.paid(who, 10_000)
    available = stack.balance(who)["available_cash"]
    data_of(stack.api.post("/balance/withdraw", who, {"amount": available}), 201)
    stack.portone.move(taken_back, "chargeback")
    look(stack, taken_back)
    amended = stack.api.ask("PATCH", f"/trading/orders/{sale['id']}", who, json={"price": 79_000})
    problem_of(amended, "account-overdrawn")
    problem_of(stack.api.post(f"/payments/{other}/cancel", who, {}), "account-overdrawn")

    stack.harness.tick(80_000)
    stack.harness.match()
    stack.harness.run_all()

    assert data_of(stack.api.get(f"/trading/orders/{sale['id']}", who))["status"] == "FILLED"
    assert stack.balance(who)["debt"] == 0
    assert stack.harness.breaches() == []


def test_open_buys_give_their_cash_first(stack: PaymentsStack) -> None:
    """Their cash is still the user's, so there is no debt while it is enough; the sales stay."""
    who = stack.api.person()
    stack.harness.tick(70_000)
    stack.api.bought(who, 1)
    payment_id = stack.paid(who)
    buy = stack.api.limit_order(who, "BUY", 1, 60_000)
    sale = stack.api.limit_order(who, "SELL", 1, 80_000)
    available = stack.balance(who)["available_cash"]
    data_of(stack.api.post("/balance/withdraw", who, {"amount": available}), 201)

    stack.portone.move(payment_id, "chargeback")
    look(stack, payment_id)

    ended = data_of(stack.api.get(f"/trading/orders/{buy['id']}", who))
    assert (ended["status"], ended["reason"]) == ("CANCELLED", "account-overdrawn")
    assert data_of(stack.api.get(f"/trading/orders/{sale['id']}", who))["status"] == "PENDING"
    balance = stack.balance(who)
    assert (balance["debt"], balance["reserved_cash"]) == (0, 0)
    assert balance["available_cash"] > 0
    assert stack.harness.breaches() == []


def test_buys_are_left_alone_when_the_cash_is_enough(stack: PaymentsStack) -> None:
    who = stack.api.person()
    payment_id = stack.paid(who)
    stack.harness.tick(70_000)
    buy = stack.api.limit_order(who, "BUY", 1, 60_000)
    stack.portone.move(payment_id, "chargeback")
    look(stack, payment_id)
    assert data_of(stack.api.get(f"/trading/orders/{buy['id']}", who))["status"] == "PENDING"


def test_a_fill_that_is_not_settled_yet_is_paid_all_the_same(stack: PaymentsStack) -> None:
    """What was bought has to be paid, so its cash stays reserved and becomes a part of the debt."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    stack.harness.tick(70_000)
    available = stack.balance(who)["available_cash"]
    stack.api.order(who, "BUY", 1)
    stack.harness.run(stack.harness.sent.pop(0))
    left = stack.balance(who)["available_cash"]
    data_of(stack.api.post("/balance/withdraw", who, {"amount": left}), 201)
    settlement = list(stack.harness.sent)
    stack.portone.move(payment_id, "chargeback", webhook="none")
    look(stack, payment_id)
    assert stack.balance(who)["debt"] == 10_000
    stack.harness.sent[:] = settlement
    stack.harness.run_all()
    assert cash(stack.harness, owner_of(who))[1] == 0
    assert stack.balance(who)["debt"] < 10_000
    assert available > left
    assert stack.harness.breaches() == []


def test_a_new_payment_pays_a_debt(stack: PaymentsStack) -> None:
    who, _ = overdrawn(stack)
    stack.paid(who, 5_000)
    balance = stack.balance(who)
    assert (balance["cash_balance"], balance["debt"], balance["available_cash"]) == (
        1_000,
        0,
        1_000,
    )
    assert stack.harness.breaches() == []


def test_a_refund_that_was_not_sent_yet_fails_for_one_who_owes(stack: PaymentsStack) -> None:
    """His cash is needed for the debt; what was sent already can't be called back."""
    who = stack.api.person()
    other, taken_back = stack.paid(who, 20_000), stack.paid(who, 10_000)
    refund = stack.refund(who, other, 20_000)
    stack.harness.sent.clear()
    data_of(stack.api.post("/balance/withdraw", who, {"amount": CASH + 10_000}), 201)
    stack.portone.move(taken_back, "chargeback", webhook="none")
    look(stack, taken_back)
    assert stack.balance(who)["debt"] == 10_000
    stack.sweep_until_quiet(turns=1)
    (shown,) = stack.payment(who, other)["refunds"]
    assert (shown["id"], shown["status"], shown["failure"]) == (
        refund["id"],
        "FAILED",
        "ACCOUNT_OVERDRAWN",
    )
    assert stack.balance(who)["debt"] == 0
    assert stack.harness.breaches() == []
