"""Money goes back, by us or by others, in whatever order it becomes known: each cancellation is booked once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.scenarios.payer import AMOUNT, Payer, at_once
from tests.support.deadlines import DEADLINE_S
from tests.webapp.client import data_of, problem_of
from trading.payments.portone.client import Requester
from trading.payments.portone.errors import PortoneApiError
from trading.tasks import Task, TaskRequest


def paid(payer: Payer, **opening: Any) -> None:
    """A payment that was paid and credited; ``opening`` are members of its opening."""
    payer.prepare()
    payer.open(webhook="none", **opening)
    payer.move("pay", webhook="none")
    payer.complete()
    assert payer.status == "CREDITED"


def test_17_cancelled_arrives_before_paid(payer: Payer) -> None:
    payer.prepare()
    payer.open(webhook="none")
    payer.move("pay", webhook="hold")
    payer.move("console-cancel", webhook="hold")
    payer.flush("Cancelled")
    assert (payer.status, payer.gained) == ("CANCELLED", 0)
    payer.flush("Paid")
    assert payer.movements() == [("DEPOSIT", AMOUNT), ("REFUND", AMOUNT)]
    payer.agree()


def test_17_the_first_part_is_seen_after_the_second(payer: Payer) -> None:
    """Looks that are older than one that was taken in take nothing back."""
    paid(payer)
    payer.move("console-cancel", amount=3_000, webhook="hold")
    payer.move("console-cancel", amount=2_000, webhook="hold")
    payer.looks_go_wrong(stale=True, nth=2)
    payer.flush()
    assert (payer.status, payer.gained) == ("PARTIALLY_CANCELLED", 5_000)
    payer.agree()


def test_18_partial_refunds_then_the_rest_and_never_more(payer: Payer) -> None:
    paid(payer)
    assert payer.refund(3_000)["status"] == "SUCCEEDED"
    assert payer.refund(3_000)["status"] == "SUCCEEDED"
    api, path = payer.stack.api, f"/payments/{payer.id}/cancel"
    problem_of(api.post(path, payer.person, {"amount": 4_001}), "refund-exceeds-payment")
    assert payer.refund()["amount"] == 4_000
    problem_of(api.post(path, payer.person, {}), "payment-not-refundable")
    payer.told()
    assert (payer.status, payer.gained) == ("CANCELLED", 0)
    assert payer.movements() == [
        ("DEPOSIT", AMOUNT),
        ("REFUND", 3_000),
        ("REFUND", 3_000),
        ("REFUND", 4_000),
    ]
    payer.agree()


@pytest.mark.parametrize("told", ["told", "nothing is told"])
def test_19_cancel_whose_answer_is_lost_then_the_same_key(payer: Payer, told: str) -> None:
    """With its webhook or without it there is one cancellation in the end, and one REFUND."""
    paid(payer)
    mailing = "auto" if told == "told" else "none"
    payer.stack.portone.control(
        "faults",
        "PUT",
        webhooks={"mailing": mailing},
        rest=[{"path": ".*/cancel", "drop": "after"}],
    )
    payer.refund(3_000)
    payer.told()
    payer.look_later()
    assert payer.movements() == [("DEPOSIT", AMOUNT), ("REFUND", 3_000)]
    assert (
        len({(one["idempotencyKey"], one["body"]) for one in payer.asked_of_portone("/cancel")})
        == 1
    )
    assert len(payer.stack.portone.payments()[payer.id]["cancellations"]) == 1
    assert payer.stack.balance(payer.person)["reserved_cash"] == 0
    payer.agree()


def test_19_cancel_that_never_arrived_is_asked_again_under_the_same_key(payer: Payer) -> None:
    paid(payer)
    payer.stack.portone.inject_fault(path=".*/cancel", drop="before", times=2)
    assert payer.refund(3_000)["status"] == "REQUESTED"
    assert payer.stack.balance(payer.person)["reserved_cash"] == 3_000
    payer.look_later()
    asked = payer.asked_of_portone("/cancel")
    assert len(asked) == 3
    assert len({(one["idempotencyKey"], one["body"]) for one in asked}) == 1
    assert payer.movements() == [("DEPOSIT", AMOUNT), ("REFUND", 3_000)]
    payer.agree()


def test_20_one_key_twice_at_once_one_200_one_409(payer: Payer) -> None:
    paid(payer)
    payer.stack.portone.inject_fault(path=".*/cancel", delay_ms=3_000)
    start = Barrier(2)

    def cancel(_: int) -> str:
        start.wait(DEADLINE_S)
        try:
            return payer.stack.harness.core.portone.cancel(
                payer.id,
                amount=3_000,
                cancellable=AMOUNT,
                reason="고객 환불",
                requester=Requester.CUSTOMER,
                idempotency_key="7c1fb2d4-5f8e-4a53-9b0a-3f1c7f5e2a10",
            ).status
        except PortoneApiError as refused:
            return refused.type if refused.outcome_is_unknown else "it looks settled"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(cancel, range(2))) == [
            "IDEMPOTENCY_OUTSTANDING_REQUEST",
            "SUCCEEDED",
        ]
    assert sorted(one["status"] for one in payer.asked_of_portone("/cancel")) == [200, 409]
    payer.told()
    payer.agree()


def test_20_two_workers_pursue_one_refund(payer: Payer) -> None:
    paid(payer)
    payer.stack.portone.inject_fault(path=".*/cancel", delay_ms=1_000)
    payer.stack.refund(payer.person, payer.id, 3_000)
    [wakeup] = payer.stack.harness.sent
    payer.stack.harness.sent.clear()
    at_once(payer, [wakeup, wakeup])
    payer.told()
    payer.look_later()
    assert payer.movements() == [("DEPOSIT", AMOUNT), ("REFUND", 3_000)]
    payer.agree()


@pytest.mark.parametrize(
    ("word", "status", "gained"),
    [("approve", "SUCCEEDED", AMOUNT - 3_000), ("reject", "FAILED", AMOUNT)],
)
def test_21_asynchronous_cancel_is_approved_or_rejected(
    payer: Payer, word: str, status: str, gained: int
) -> None:
    paid(payer, slow_cancellations=True)
    refund = payer.refund(3_000)
    assert refund["status"] == "IN_PROGRESS"
    balance = payer.stack.balance(payer.person)
    assert (payer.gained, balance["reserved_cash"]) == (AMOUNT, 3_000)
    payer.move(f"{word}-cancellation")
    payer.told()
    payer.look_later()
    [ended] = payer.stack.payment(payer.person, payer.id)["refunds"]
    assert (ended["id"], ended["status"], payer.gained) == (refund["id"], status, gained)
    assert payer.stack.balance(payer.person)["reserved_cash"] == 0
    payer.agree()


@pytest.mark.parametrize("move", ["console-cancel", "chargeback"])
def test_22_and_23_money_that_was_spent_is_taken_back(payer: Payer, move: str) -> None:
    """The account owes what is missing, and buys nothing until it is paid in."""
    api, harness = payer.stack.api, payer.stack.harness
    starting = harness.settings.starting_cash
    paid(payer)
    harness.tick(100_000)
    data_of(api.order(payer.person, quantity=90), 201)
    harness.run_all()
    data_of(api.post("/balance/withdraw", payer.person, {"amount": payer.cash - 1_000}), 201)
    payer.move(move)
    payer.told()
    balance = payer.stack.balance(payer.person)
    assert (balance["cash_balance"], balance["debt"]) == (1_000 - AMOUNT, AMOUNT - 1_000)
    assert payer.status == "CANCELLED"
    [cancellation] = payer.stack.payment(payer.person, payer.id)["cancellations"]
    assert cancellation["trigger"] == move.split("-", maxsplit=1)[0].upper()
    problem_of(api.order(payer.person, quantity=1), "account-overdrawn")
    problem_of(api.post("/balance/withdraw", payer.person, {"amount": 1}), "account-overdrawn")
    data_of(api.post("/balance/deposit", payer.person, {"amount": AMOUNT}), 201)
    covered = payer.stack.balance(payer.person)
    assert (covered["cash_balance"], covered["debt"]) == (1_000, 0)
    assert starting > covered["cash_balance"]
    assert harness.breaches() == []


def test_23_a_refund_and_a_chargeback_want_the_same_money(payer: Payer) -> None:
    """Whoever comes second finds it gone; nothing stays set aside and nothing is given back twice."""
    paid(payer)
    payer.stack.refund(payer.person, payer.id)
    payer.move("chargeback")
    payer.told()
    payer.look_later()
    assert (payer.status, payer.gained) == ("CANCELLED", 0)
    assert payer.movements() == [("DEPOSIT", AMOUNT), ("REFUND", AMOUNT)]
    balance = payer.stack.balance(payer.person)
    assert (balance["reserved_cash"], balance["debt"]) == (0, 0)
    payer.agree()


def test_28_resend_webhook_of_a_processed_id_credits_nothing(payer: Payer) -> None:
    payer.pay()
    told = payer.told()
    assert payer.gained == AMOUNT
    for _ in range(3):
        payer.stack.portone.control(f"webhooks/{told[-1]['id']}/redeliver")
        payer.stack.work()
    assert payer.movements() == [("DEPOSIT", AMOUNT)]
    payer.agree()


def test_18_refunds_ask_for_no_more_than_the_cash_that_is_there(payer: Payer) -> None:
    paid(payer)
    data_of(
        payer.stack.api.post("/balance/withdraw", payer.person, {"amount": payer.cash - 1_000}), 201
    )
    refused = payer.stack.api.post(f"/payments/{payer.id}/cancel", payer.person, {"amount": 1_001})
    problem_of(refused, "insufficient-cash")
    assert payer.refund(1_000)["status"] == "SUCCEEDED"
    assert payer.cash == 0
    assert payer.stack.harness.breaches() == []


def test_19_a_wake_up_for_a_refund_that_is_over_does_nothing(payer: Payer) -> None:
    paid(payer)
    payer.stack.refund(payer.person, payer.id, 3_000)
    [wakeup] = payer.stack.harness.sent
    payer.stack.work()
    asked = len(payer.asked_of_portone("/cancel"))
    payer.stack.harness.run(TaskRequest(Task.REFUND_PAYMENT, wakeup.ids))
    assert len(payer.asked_of_portone("/cancel")) == asked
    payer.told()
    payer.agree()
