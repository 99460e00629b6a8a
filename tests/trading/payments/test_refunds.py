"""Refunds: cash is reserved, PortOne cancels once despite retries, unknown outcomes are checked."""

import json
from typing import Any
from uuid import UUID

import pytest

from tests.support.payments_stack import PaymentsStack, owner_of
from tests.trading.orders.steps import cash, rows
from tests.trading.payments.test_check_payment import CASH, alerts, check
from tests.webapp.client import Person, problem_of
from trading.payments.refunds import abandon_refund
from trading.tasks import Task, TaskRequest

JSON = {"Content-Type": "application/json"}


def process(stack: PaymentsStack, refund: dict[str, Any]) -> str:
    """Process the refund as a worker does and return its status."""
    stack.harness.run(TaskRequest(Task.REFUND_PAYMENT, (UUID(refund["id"]),)))
    (row,) = rows(
        stack.harness,
        "SELECT status FROM payment_refunds WHERE id = :id",
        id=UUID(refund["id"]).bytes,
    )
    return str(row["status"])


def refused(status: int, kind: str) -> dict[str, Any]:
    return {
        "method": "POST",
        "path": ".*/cancel",
        "answer": {"status": status, "body": json.dumps({"type": kind}), "headers": JSON},
    }


def assert_settled(stack: PaymentsStack, user: Person, payment_id: str, *, left: int) -> None:
    """Assert that ledger and PortOne agree on the rest, and that nothing is reserved."""
    assert cash(stack.harness, owner_of(user)) == (CASH + left, 0)
    amount = stack.portone.payments()[payment_id]["amount"]
    assert amount["total"] - amount["cancelled"] == left
    assert stack.harness.breaches() == []


def test_partial_refunds_up_to_the_whole_payment(stack: PaymentsStack) -> None:
    """Each is reserved, sent and recorded; a cancelled payment refuses further refunds."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    for amount in (3_000, 2_000):
        refund = stack.refund(user, payment_id, amount)
        assert (refund["status"], refund["amount"]) == ("REQUESTED", amount)
        stack.work()
    assert stack.payment(user, payment_id)["status"] == "PARTIALLY_CANCELLED"
    assert stack.refund(user, payment_id)["amount"] == 5_000
    stack.work()
    shown = stack.payment(user, payment_id)
    assert shown["status"] == "CANCELLED"
    assert [one["status"] for one in shown["refunds"]] == ["SUCCEEDED"] * 3
    assert [(one["amount"], one["trigger"]) for one in shown["cancellations"]] == [
        (a, "API") for a in (3_000, 2_000, 5_000)
    ]
    assert_settled(stack, user, payment_id, left=0)
    problem_of(stack.api.post(f"/payments/{payment_id}/cancel", user, {}), "payment-not-refundable")


def test_reserved_refund_cannot_be_spent_or_refunded_again(stack: PaymentsStack) -> None:
    """An open refund reduces both the refundable amount and the available cash."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    stack.refund(user, payment_id, 7_000)
    assert cash(stack.harness, owner_of(user)) == (CASH + 10_000, 7_000)
    more = problem_of(
        stack.api.post(f"/payments/{payment_id}/cancel", user, {"amount": 3_001}),
        "refund-exceeds-payment",
    )
    assert (more["needed"], more["refundable"]) == (3_001, 3_000)
    spent = problem_of(
        stack.api.post("/balance/withdraw", user, {"amount": CASH + 3_001}), "insufficient-cash"
    )
    assert spent["available"] == CASH + 3_000
    assert stack.harness.breaches() == []


def test_refund_of_spent_money_is_refused(stack: PaymentsStack) -> None:
    user = stack.api.person()
    payment_id = stack.paid(user)
    stack.api.post("/balance/withdraw", user, {"amount": CASH + 1})
    short = problem_of(
        stack.api.post(f"/payments/{payment_id}/cancel", user, {}), "insufficient-cash"
    )
    assert (short["needed"], short["available"]) == (10_000, 9_999)


def test_webhook_of_a_refund_may_arrive_before_the_answer(stack: PaymentsStack) -> None:
    """The check finds the refund by the mark in the reason; the answer changes nothing."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    refund = stack.refund(user, payment_id, 4_000)
    stack.portone.inject_fault(method="POST", path=".*/cancel", drop="after")
    assert process(stack, refund) == "REQUESTED"
    assert cash(stack.harness, owner_of(user)) == (CASH + 10_000, 4_000)
    check(stack, payment_id)
    assert stack.payment(user, payment_id)["refunds"][0]["status"] == "SUCCEEDED"
    assert process(stack, refund) == "SUCCEEDED"
    assert_settled(stack, user, payment_id, left=6_000)


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "before"},
        {"drop": "after"},
        {"truncate": True},
        {"answer": {"status": 502, "body": '{"type": "PG_PROVIDER"}', "headers": JSON}},
        {
            "answer": {
                "status": 409,
                "body": '{"type": "IDEMPOTENCY_OUTSTANDING_REQUEST"}',
                "headers": JSON,
            }
        },
        {"answer": {"status": 503, "body": "", "headers": {}}},
    ],
)
def test_missing_answer_is_checked_then_repeated_with_the_same_key(
    stack: PaymentsStack, fault: dict[str, Any]
) -> None:
    """The cash stays reserved, and PortOne cancels once, whatever it had carried out before."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    refund = stack.refund(user, payment_id, 4_000)
    stack.portone.inject_fault(method="POST", path=".*/cancel", **fault)
    assert process(stack, refund) == "REQUESTED"
    assert cash(stack.harness, owner_of(user)) == (CASH + 10_000, 4_000)
    stack.sweep_until_quiet(turns=3)
    assert_settled(stack, user, payment_id, left=6_000)
    assert len(stack.portone.payments()[payment_id]["cancellations"]) == 1
    assert alerts(stack, payment_id) == []


@pytest.mark.parametrize("approved", [True, False])
def test_slow_payment_gateway_keeps_the_refund_in_progress(
    stack: PaymentsStack, approved: bool
) -> None:
    """The cash stays reserved until the gateway decides; a refusal sends no webhook."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.pay(payment_id, 10_000, slow_cancellations=True)
    check(stack, payment_id)
    refund = stack.refund(user, payment_id, 4_000)
    assert process(stack, refund) == "IN_PROGRESS"
    stack.sweep_until_quiet(turns=3)
    assert cash(stack.harness, owner_of(user)) == (CASH + 10_000, 4_000)
    stack.portone.move(
        payment_id, "approve-cancellation" if approved else "reject-cancellation", webhook="none"
    )
    stack.sweep_until_quiet(turns=10)
    (shown,) = stack.payment(user, payment_id)["refunds"]
    assert (shown["status"], shown["failure"]) == (
        ("SUCCEEDED", None) if approved else ("FAILED", "CANCELLATION_FAILED")
    )
    assert_settled(stack, user, payment_id, left=6_000 if approved else 10_000)


@pytest.mark.parametrize(
    ("status", "kind", "called"),
    [
        (409, "PAYMENT_NOT_PAID", []),
        (409, "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT", []),
        (409, "MAX_CANCEL_COUNT_REACHED", ["refund-refused"]),
        (400, "INVALID_REQUEST", ["refund-refused"]),
    ],
)
def test_definite_refusal_releases_the_cash(
    stack: PaymentsStack, status: int, kind: str, called: list[str]
) -> None:
    """After a check that shows no cancellation; an alert opens where an operator is needed."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    refund = stack.refund(user, payment_id, 4_000)
    stack.portone.inject_fault(**refused(status, kind))
    assert process(stack, refund) == "REQUESTED"
    assert process(stack, refund) == "FAILED"
    assert stack.payment(user, payment_id)["refunds"][0]["failure"] == kind
    assert alerts(stack, payment_id) == called
    assert_settled(stack, user, payment_id, left=10_000)


def test_refused_secret_keeps_the_refund_open(stack: PaymentsStack) -> None:
    """An alert opens, and the refund continues once the secret is corrected."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    refund = stack.refund(user, payment_id, 4_000)
    stack.portone.inject_fault(**refused(401, "UNAUTHORIZED"))
    assert process(stack, refund) == "REQUESTED"
    assert alerts(stack, payment_id) == ["refund-refused"]
    assert process(stack, refund) == "SUCCEEDED"
    assert_settled(stack, user, payment_id, left=6_000)


def test_cancellation_in_the_console_during_a_refund(stack: PaymentsStack) -> None:
    """The console's cancellation is recorded, and the refund that cannot succeed any more fails."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    refund = stack.refund(user, payment_id, 6_000)
    stack.portone.move(payment_id, "console-cancel", amount=5_000, webhook="none")
    assert process(stack, refund) == "REQUESTED"
    assert process(stack, refund) == "FAILED"
    assert stack.payment(user, payment_id)["refunds"][0]["failure"] == "NOTHING_LEFT"
    assert_settled(stack, user, payment_id, left=5_000)
    assert stack.refund(user, payment_id)["amount"] == 5_000
    stack.work()
    assert_settled(stack, user, payment_id, left=0)


def test_chargeback_during_a_refund_leaves_no_debt(stack: PaymentsStack) -> None:
    """The chargeback takes the cash that the refund had reserved."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    refund = stack.refund(user, payment_id)
    stack.api.post("/balance/withdraw", user, {"amount": CASH})
    stack.portone.move(payment_id, "chargeback", webhook="none")
    check(stack, payment_id)
    assert process(stack, refund) == "FAILED"
    assert stack.balance(user)["debt"] == 0
    assert cash(stack.harness, owner_of(user)) == (0, 0)
    assert stack.harness.breaches() == []


def test_refunds_of_one_payment_are_sent_one_at_a_time(stack: PaymentsStack) -> None:
    """The cancellable amount sent with the second depends on the first."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    first, second = (stack.refund(user, payment_id, amount) for amount in (3_000, 4_000))
    stack.portone.inject_fault(method="POST", path=".*/cancel", drop="before")
    assert process(stack, first) == "REQUESTED"
    assert process(stack, second) == "REQUESTED"
    assert (
        rows(stack.harness, "SELECT COUNT(*) AS sent FROM payment_refunds WHERE send_count > 0")[0][
            "sent"
        ]
        == 1
    )
    stack.sweep_until_quiet(turns=4)
    assert_settled(stack, user, payment_id, left=3_000)


def test_unanswered_refund_becomes_stuck_and_is_not_resent(
    stack: PaymentsStack,
) -> None:
    """PortOne forgets a key after three hours; later only checks are safe."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    refund = stack.refund(user, payment_id, 4_000)
    stack.portone.inject_fault(method="POST", path=".*/cancel", drop="before", times=None)
    for _ in range(20):
        stack.harness.clock.advance(minutes=15)
        assert process(stack, refund) == "REQUESTED"
    sent = [
        one
        for one in stack.portone.control("requests", "GET")["requests"]
        if one["path"].endswith("/cancel")
    ]
    assert alerts(stack, payment_id) == ["refund-stuck"]
    assert len({json.dumps(one, sort_keys=True) for one in rows_of_requests(sent)}) == 1
    (row,) = rows(stack.harness, "SELECT send_count FROM payment_refunds")
    assert row["send_count"] == 10

    assert stack.harness.core.run(abandon_refund, UUID(refund["id"]))
    assert not stack.harness.core.run(abandon_refund, UUID(refund["id"]))
    assert_settled(stack, user, payment_id, left=10_000)


def rows_of_requests(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the requests without what differs between equal requests."""
    return [{name: one.get(name) for name in ("method", "path", "body", "key")} for one in sent]


def test_late_money_of_an_abandoned_refund_is_recorded(
    stack: PaymentsStack,
) -> None:
    user = stack.api.person()
    payment_id = stack.paid(user)
    refund = stack.refund(user, payment_id, 4_000)
    stack.portone.inject_fault(method="POST", path=".*/cancel", drop="after")
    assert process(stack, refund) == "REQUESTED"
    stack.harness.core.run(abandon_refund, UUID(refund["id"]))
    check(stack, payment_id)
    assert stack.payment(user, payment_id)["refunds"][0]["status"] == "SUCCEEDED"
    assert_settled(stack, user, payment_id, left=6_000)


def test_refund_succeeds_when_the_gateway_rewrites_its_reason(stack: PaymentsStack) -> None:
    """A check assigns the cancellation to nobody; the answer under the refund's key assigns it."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    refund = stack.refund(user, payment_id, 3_000)
    stack.portone.inject_fault(method="POST", path=".*/cancel", drop="after")
    assert process(stack, refund) == "REQUESTED"
    stack.portone.inject_fault(method="GET", patch={"/cancellations/0/reason": "환불"}, times=None)
    check(stack, payment_id)
    assert stack.payment(user, payment_id)["cancellations"][0]["refund_id"] is None
    assert cash(stack.harness, owner_of(user)) == (CASH + 7_000, 3_000)
    assert process(stack, refund) == "SUCCEEDED"
    assert stack.payment(user, payment_id)["cancellations"][0]["refund_id"] == refund["id"]
    assert_settled(stack, user, payment_id, left=7_000)


@pytest.mark.parametrize("reason", ["단순 변심", "R-1 <b>&amp;</b> 👨‍👩‍👧", "가" * 50])
def test_refund_shows_the_reason_as_the_user_wrote_it(stack: PaymentsStack, reason: str) -> None:
    user = stack.api.person()
    payment_id = stack.paid(user)
    body = {"amount": 3_000, "reason": reason}
    accepted = stack.api.post(f"/payments/{payment_id}/cancel", user, body).json["data"]
    assert accepted["reason"] == reason
    assert stack.payment(user, payment_id)["refunds"][0]["reason"] == reason


def test_mark_in_a_users_reason_is_ignored(stack: PaymentsStack) -> None:
    """The refund's own mark comes first in the reason."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    first = stack.refund(user, payment_id, 3_000)
    body = {"amount": 3_000, "reason": f"R-{UUID(first['id']).hex}"}
    stack.api.post(f"/payments/{payment_id}/cancel", user, body)
    stack.sweep_until_quiet(turns=3)
    assert [one["status"] for one in stack.payment(user, payment_id)["refunds"]] == [
        "SUCCEEDED"
    ] * 2
    assert_settled(stack, user, payment_id, left=4_000)


def test_payment_into_a_virtual_account_is_not_refundable(stack: PaymentsStack) -> None:
    """The request is refused at once, and nothing is reserved or sent."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.open(payment_id, 10_000, webhook="none")
    for move in ("issue-account", "deposit"):
        stack.portone.move(payment_id, move, webhook="none")
        stack.complete(user, payment_id)
        stack.work()
    paid = stack.payment(user, payment_id)
    assert (paid["status"], paid["method"]) == ("CREDITED", "PaymentMethodVirtualAccount")
    assert paid["refundable_amount"] == 0

    for body in ({}, {"amount": 1_000, "reason": "단순 변심"}):
        answer = stack.api.post(f"/payments/{payment_id}/cancel", user, body)
        refused = problem_of(answer, "refund-needs-bank-account")
        assert refused["method"] == "PaymentMethodVirtualAccount"

    assert stack.balance(user)["reserved_cash"] == 0
    assert stack.payment(user, payment_id)["refunds"] == []


def test_method_is_kept_when_a_report_leaves_it_out(stack: PaymentsStack) -> None:
    """PortOne may do so; the virtual account was named when it was issued."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.open(payment_id, 10_000, webhook="none")
    stack.portone.move(payment_id, "issue-account", webhook="none")
    stack.complete(user, payment_id)
    stack.work()
    stack.portone.move(payment_id, "deposit", webhook="none")
    stack.portone.inject_fault(method="GET", patch={"/method": None})
    stack.complete(user, payment_id)
    stack.work()

    assert stack.payment(user, payment_id)["status"] == "CREDITED"
    answer = stack.api.post(f"/payments/{payment_id}/cancel", user, {})
    problem_of(answer, "refund-needs-bank-account")
