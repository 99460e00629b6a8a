"""Refunds: cash is held, PortOne is asked once however often it has to be asked, and what is not known is looked up."""

import json
from typing import Any
from uuid import UUID

import pytest

from tests.support.payments_stack import PaymentsStack, owner_of
from tests.trading.orders.steps import cash, rows
from tests.trading.payments.test_verify import CASH, alerts, look
from tests.webapp.client import Person, problem_of
from trading.payments.refunds import abandon_refund
from trading.tasks import Task, TaskRequest

JSON = {"Content-Type": "application/json"}


def pursue(stack: PaymentsStack, refund: dict[str, Any]) -> str:
    """What a worker does when it is woken for this refund; its status then."""
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


def settled(stack: PaymentsStack, who: Person, payment_id: str, *, left: int) -> None:
    """The books hold what is left of the payment, nothing is reserved, and PortOne's ledger says the same."""
    assert cash(stack.harness, owner_of(who)) == (CASH + left, 0)
    amount = stack.portone.payments()[payment_id]["amount"]
    assert amount["total"] - amount["cancelled"] == left
    assert stack.harness.breaches() == []


def test_parts_and_the_rest_are_refunded(stack: PaymentsStack) -> None:
    """Each is held, sent and booked; the payment ends as cancelled, and nothing more can be asked of it."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    for amount in (3_000, 2_000):
        refund = stack.refund(who, payment_id, amount)
        assert (refund["status"], refund["amount"]) == ("REQUESTED", amount)
        stack.work()
    assert stack.payment(who, payment_id)["status"] == "PARTIALLY_CANCELLED"
    assert stack.refund(who, payment_id)["amount"] == 5_000
    stack.work()
    shown = stack.payment(who, payment_id)
    assert shown["status"] == "CANCELLED"
    assert [one["status"] for one in shown["refunds"]] == ["SUCCEEDED"] * 3
    assert [(one["amount"], one["trigger"]) for one in shown["cancellations"]] == [
        (a, "API") for a in (3_000, 2_000, 5_000)
    ]
    settled(stack, who, payment_id, left=0)
    problem_of(stack.api.post(f"/payments/{payment_id}/cancel", who, {}), "payment-not-refundable")


def test_what_is_held_can_not_be_spent_or_refunded_twice(stack: PaymentsStack) -> None:
    """A refund under way counts against the payment and against the cash."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    stack.refund(who, payment_id, 7_000)
    assert cash(stack.harness, owner_of(who)) == (CASH + 10_000, 7_000)
    more = problem_of(
        stack.api.post(f"/payments/{payment_id}/cancel", who, {"amount": 3_001}),
        "refund-exceeds-payment",
    )
    assert (more["needed"], more["refundable"]) == (3_001, 3_000)
    spent = problem_of(
        stack.api.post("/balance/withdraw", who, {"amount": CASH + 3_001}), "insufficient-cash"
    )
    assert spent["available"] == CASH + 3_000
    assert stack.harness.breaches() == []


def test_what_was_spent_is_not_refunded(stack: PaymentsStack) -> None:
    who = stack.api.person()
    payment_id = stack.paid(who)
    stack.api.post("/balance/withdraw", who, {"amount": CASH + 1})
    short = problem_of(
        stack.api.post(f"/payments/{payment_id}/cancel", who, {}), "insufficient-cash"
    )
    assert (short["needed"], short["available"]) == (10_000, 9_999)


def test_the_webhook_of_a_refund_may_come_first(stack: PaymentsStack) -> None:
    """A look books the cancellation by the refund's id in its reason; the answer then finds it booked."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    refund = stack.refund(who, payment_id, 4_000)
    stack.portone.inject_fault(method="POST", path=".*/cancel", drop="after")
    assert pursue(stack, refund) == "REQUESTED"
    assert cash(stack.harness, owner_of(who)) == (CASH + 10_000, 4_000)
    look(stack, payment_id)
    assert stack.payment(who, payment_id)["refunds"][0]["status"] == "SUCCEEDED"
    assert pursue(stack, refund) == "SUCCEEDED"
    settled(stack, who, payment_id, left=6_000)


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
def test_an_answer_that_does_not_come_is_no_answer(
    stack: PaymentsStack, fault: dict[str, Any]
) -> None:
    """The hold stays, the next attempt looks first and then asks under the same key: one cancellation, whatever was carried out before."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    refund = stack.refund(who, payment_id, 4_000)
    stack.portone.inject_fault(method="POST", path=".*/cancel", **fault)
    assert pursue(stack, refund) == "REQUESTED"
    assert cash(stack.harness, owner_of(who)) == (CASH + 10_000, 4_000)
    stack.sweep_until_quiet(turns=3)
    settled(stack, who, payment_id, left=6_000)
    assert len(stack.portone.payments()[payment_id]["cancellations"]) == 1
    assert alerts(stack, payment_id) == []


@pytest.mark.parametrize("approved", [True, False])
def test_a_payment_gateway_that_takes_its_time(stack: PaymentsStack, approved: bool) -> None:
    """REQUESTED keeps the hold until the gateway has decided; a refusal is told by no webhook, so it is looked for."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.pay(payment_id, 10_000, slow_cancellations=True)
    look(stack, payment_id)
    refund = stack.refund(who, payment_id, 4_000)
    assert pursue(stack, refund) == "IN_PROGRESS"
    stack.sweep_until_quiet(turns=3)
    assert cash(stack.harness, owner_of(who)) == (CASH + 10_000, 4_000)
    stack.portone.move(
        payment_id, "approve-cancellation" if approved else "reject-cancellation", webhook="none"
    )
    stack.sweep_until_quiet(turns=10)
    (shown,) = stack.payment(who, payment_id)["refunds"]
    assert (shown["status"], shown["failure"]) == (
        ("SUCCEEDED", None) if approved else ("FAILED", "CANCELLATION_FAILED")
    )
    settled(stack, who, payment_id, left=6_000 if approved else 10_000)


@pytest.mark.parametrize(
    ("status", "kind", "called"),
    [
        (409, "PAYMENT_NOT_PAID", []),
        (409, "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT", []),
        (409, "MAX_CANCEL_COUNT_REACHED", ["refund-refused"]),
        (400, "INVALID_REQUEST", ["refund-refused"]),
    ],
)
def test_a_definite_refusal_releases_the_cash(
    stack: PaymentsStack, status: int, kind: str, called: list[str]
) -> None:
    """After a look that shows no such cancellation; where only a fault of ours or a person can help, one is called."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    refund = stack.refund(who, payment_id, 4_000)
    stack.portone.inject_fault(**refused(status, kind))
    assert pursue(stack, refund) == "REQUESTED"
    assert pursue(stack, refund) == "FAILED"
    assert stack.payment(who, payment_id)["refunds"][0]["failure"] == kind
    assert alerts(stack, payment_id) == called
    settled(stack, who, payment_id, left=10_000)


def test_a_secret_that_is_refused_keeps_the_refund(stack: PaymentsStack) -> None:
    """Nothing is wrong with the refund: a person is called, and it goes on when the secret is mended."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    refund = stack.refund(who, payment_id, 4_000)
    stack.portone.inject_fault(**refused(401, "UNAUTHORIZED"))
    assert pursue(stack, refund) == "REQUESTED"
    assert alerts(stack, payment_id) == ["refund-refused"]
    assert pursue(stack, refund) == "SUCCEEDED"
    settled(stack, who, payment_id, left=6_000)


def test_somebody_cancels_what_is_being_refunded(stack: PaymentsStack) -> None:
    """The console was quicker: what it gave back is booked, the refund that can't succeed any more fails, and no won is lost."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    refund = stack.refund(who, payment_id, 6_000)
    stack.portone.move(payment_id, "console-cancel", amount=5_000, webhook="none")
    assert pursue(stack, refund) == "REQUESTED"
    assert pursue(stack, refund) == "FAILED"
    assert stack.payment(who, payment_id)["refunds"][0]["failure"] == "NOTHING_LEFT"
    settled(stack, who, payment_id, left=5_000)
    assert stack.refund(who, payment_id)["amount"] == 5_000
    stack.work()
    settled(stack, who, payment_id, left=0)


def test_a_chargeback_during_a_refund_makes_no_debt(stack: PaymentsStack) -> None:
    """What the refund held is what the chargeback takes."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    refund = stack.refund(who, payment_id)
    stack.api.post("/balance/withdraw", who, {"amount": CASH})
    stack.portone.move(payment_id, "chargeback", webhook="none")
    look(stack, payment_id)
    assert pursue(stack, refund) == "FAILED"
    assert stack.balance(who)["debt"] == 0
    assert cash(stack.harness, owner_of(who)) == (0, 0)
    assert stack.harness.breaches() == []


def test_refunds_of_one_payment_wait_for_each_other(stack: PaymentsStack) -> None:
    """What is left for the second depends on the first, and PortOne is told what we think is left."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    first, second = (stack.refund(who, payment_id, amount) for amount in (3_000, 4_000))
    stack.portone.inject_fault(method="POST", path=".*/cancel", drop="before")
    assert pursue(stack, first) == "REQUESTED"
    assert pursue(stack, second) == "REQUESTED"
    assert (
        rows(stack.harness, "SELECT COUNT(*) AS sent FROM payment_refunds WHERE send_count > 0")[0][
            "sent"
        ]
        == 1
    )
    stack.sweep_until_quiet(turns=4)
    settled(stack, who, payment_id, left=3_000)


def test_a_refund_of_which_nothing_is_heard_is_stuck_and_never_sent_again(
    stack: PaymentsStack,
) -> None:
    """PortOne forgets a key after three hours, so from then on only looks are safe, and a person decides."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    refund = stack.refund(who, payment_id, 4_000)
    stack.portone.inject_fault(method="POST", path=".*/cancel", drop="before", times=None)
    for _ in range(20):
        stack.harness.clock.advance(minutes=15)
        assert pursue(stack, refund) == "REQUESTED"
    sent = [
        one
        for one in stack.portone.control("requests", "GET")["requests"]
        if one["path"].endswith("/cancel")
    ]
    assert alerts(stack, payment_id) == ["refund-stuck"]
    assert len({json.dumps(one, sort_keys=True) for one in rows_of_requests(sent)}) == 1
    (row,) = rows(stack.harness, "SELECT send_count FROM payment_refunds")
    assert row["send_count"] == 10

    now = stack.harness.clock()
    assert stack.harness.do(lambda session: abandon_refund(session, UUID(refund["id"]), now=now))
    assert not stack.harness.do(
        lambda session: abandon_refund(session, UUID(refund["id"]), now=now)
    )
    settled(stack, who, payment_id, left=10_000)


def rows_of_requests(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What makes requests alike."""
    return [{name: one.get(name) for name in ("method", "path", "body", "key")} for one in sent]


def test_money_that_went_after_all_is_booked_though_its_refund_was_given_up(
    stack: PaymentsStack,
) -> None:
    """What a person decided can't change where the money is."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    refund = stack.refund(who, payment_id, 4_000)
    stack.portone.inject_fault(method="POST", path=".*/cancel", drop="after")
    assert pursue(stack, refund) == "REQUESTED"
    now = stack.harness.clock()
    stack.harness.do(lambda session: abandon_refund(session, UUID(refund["id"]), now=now))
    look(stack, payment_id)
    assert stack.payment(who, payment_id)["refunds"][0]["status"] == "SUCCEEDED"
    settled(stack, who, payment_id, left=6_000)


def test_a_gateway_that_rewrites_reasons_hides_no_refund(stack: PaymentsStack) -> None:
    """A look takes the cancellation for somebody else's; the answer under the refund's own key says that it is ours."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    refund = stack.refund(who, payment_id, 3_000)
    stack.portone.inject_fault(method="POST", path=".*/cancel", drop="after")
    assert pursue(stack, refund) == "REQUESTED"
    stack.portone.inject_fault(method="GET", patch={"/cancellations/0/reason": "환불"}, times=None)
    look(stack, payment_id)
    assert stack.payment(who, payment_id)["cancellations"][0]["refund_id"] is None
    assert cash(stack.harness, owner_of(who)) == (CASH + 7_000, 3_000)
    assert pursue(stack, refund) == "SUCCEEDED"
    assert stack.payment(who, payment_id)["cancellations"][0]["refund_id"] == refund["id"]
    settled(stack, who, payment_id, left=7_000)


def test_a_users_words_can_not_pass_for_anothers_refund(stack: PaymentsStack) -> None:
    """The mark stands first in what is sent, so what follows it is words."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    first = stack.refund(who, payment_id, 3_000)
    body = {"amount": 3_000, "reason": f"R-{UUID(first['id']).hex}"}
    stack.api.post(f"/payments/{payment_id}/cancel", who, body)
    stack.sweep_until_quiet(turns=3)
    assert [one["status"] for one in stack.payment(who, payment_id)["refunds"]] == ["SUCCEEDED"] * 2
    settled(stack, who, payment_id, left=4_000)
