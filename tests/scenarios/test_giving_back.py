"""Reversals by us or by others, reported in any order: each cancellation is recorded once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.scenarios.payer import AMOUNT, Payer, run_concurrently
from tests.support.deadlines import DEADLINE_S
from tests.webapp.client import data_of, problem_of
from trading.payments.portone.client import Requester
from trading.payments.portone.errors import PortoneApiError
from trading.tasks import Task, TaskRequest


def paid(payer: Payer, **opening: Any) -> None:
    """Create a payment that was paid and credited; ``opening`` are members of its opening."""
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
    assert payer.ledger_entries() == [("DEPOSIT", AMOUNT), ("REFUND", AMOUNT)]
    payer.assert_consistent()


def test_17_first_partial_cancellation_is_reported_after_the_second(payer: Payer) -> None:
    """Reports older than the newest one applied undo nothing."""
    paid(payer)
    payer.move("console-cancel", amount=3_000, webhook="hold")
    payer.move("console-cancel", amount=2_000, webhook="hold")
    payer.fail_checks(stale=True, nth=2)
    payer.flush()
    assert (payer.status, payer.gained) == ("PARTIALLY_CANCELLED", 5_000)
    payer.assert_consistent()


def test_18_partial_refunds_up_to_the_whole_payment(payer: Payer) -> None:
    paid(payer)
    assert payer.refund(3_000)["status"] == "SUCCEEDED"
    assert payer.refund(3_000)["status"] == "SUCCEEDED"
    api, path = payer.stack.api, f"/payments/{payer.id}/cancel"
    problem_of(api.post(path, payer.person, {"amount": 4_001}), "refund-exceeds-payment")
    assert payer.refund()["amount"] == 4_000
    problem_of(api.post(path, payer.person, {}), "payment-not-refundable")
    payer.all_webhooks()
    assert (payer.status, payer.gained) == ("CANCELLED", 0)
    assert payer.ledger_entries() == [
        ("DEPOSIT", AMOUNT),
        ("REFUND", 3_000),
        ("REFUND", 3_000),
        ("REFUND", 4_000),
    ]
    payer.assert_consistent()


@pytest.mark.parametrize("webhook", ["sent", "not sent"])
def test_19_refund_whose_answer_is_lost_is_repeated_with_the_same_key(
    payer: Payer, webhook: str
) -> None:
    """With and without its webhook there is one cancellation in the end, and one REFUND."""
    paid(payer)
    mailing = "auto" if webhook == "sent" else "none"
    payer.stack.portone.control(
        "faults",
        "PUT",
        webhooks={"mailing": mailing},
        rest=[{"path": ".*/cancel", "drop": "after"}],
    )
    payer.refund(3_000)
    payer.all_webhooks()
    payer.wait_for_sweep()
    assert payer.ledger_entries() == [("DEPOSIT", AMOUNT), ("REFUND", 3_000)]
    assert (
        len({(one["idempotencyKey"], one["body"]) for one in payer.portone_requests("/cancel")})
        == 1
    )
    assert len(payer.stack.portone.payments()[payer.id]["cancellations"]) == 1
    assert payer.stack.balance(payer.person)["reserved_cash"] == 0
    payer.assert_consistent()


def test_19_refund_request_that_was_lost_is_repeated_with_the_same_key(payer: Payer) -> None:
    paid(payer)
    payer.stack.portone.inject_fault(path=".*/cancel", drop="before", times=2)
    assert payer.refund(3_000)["status"] == "REQUESTED"
    assert payer.stack.balance(payer.person)["reserved_cash"] == 3_000
    payer.wait_for_sweep()
    asked = payer.portone_requests("/cancel")
    assert len(asked) == 3
    assert len({(one["idempotencyKey"], one["body"]) for one in asked}) == 1
    assert payer.ledger_entries() == [("DEPOSIT", AMOUNT), ("REFUND", 3_000)]
    payer.assert_consistent()


def test_20_concurrent_requests_with_one_key_give_200_and_409(payer: Payer) -> None:
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
            return refused.type if refused.outcome_is_unknown else "settled"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(cancel, range(2))) == [
            "IDEMPOTENCY_OUTSTANDING_REQUEST",
            "SUCCEEDED",
        ]
    assert sorted(one["status"] for one in payer.portone_requests("/cancel")) == [200, 409]
    payer.all_webhooks()
    payer.assert_consistent()


def test_20_two_workers_process_one_refund(payer: Payer) -> None:
    paid(payer)
    payer.stack.portone.inject_fault(path=".*/cancel", delay_ms=1_000)
    payer.stack.refund(payer.person, payer.id, 3_000)
    [task] = payer.stack.harness.sent
    payer.stack.harness.sent.clear()
    run_concurrently(payer, [task, task])
    payer.all_webhooks()
    payer.wait_for_sweep()
    assert payer.ledger_entries() == [("DEPOSIT", AMOUNT), ("REFUND", 3_000)]
    payer.assert_consistent()


@pytest.mark.parametrize(
    ("word", "status", "gained"),
    [("approve", "SUCCEEDED", AMOUNT - 3_000), ("reject", "FAILED", AMOUNT)],
)
def test_21_asynchronous_cancellation_is_approved_or_rejected(
    payer: Payer, word: str, status: str, gained: int
) -> None:
    paid(payer, slow_cancellations=True)
    refund = payer.refund(3_000)
    assert refund["status"] == "IN_PROGRESS"
    balance = payer.stack.balance(payer.person)
    assert (payer.gained, balance["reserved_cash"]) == (AMOUNT, 3_000)
    payer.move(f"{word}-cancellation")
    payer.all_webhooks()
    payer.wait_for_sweep()
    [ended] = payer.stack.payment(payer.person, payer.id)["refunds"]
    assert (ended["id"], ended["status"], payer.gained) == (refund["id"], status, gained)
    assert payer.stack.balance(payer.person)["reserved_cash"] == 0
    payer.assert_consistent()


@pytest.mark.parametrize("move", ["console-cancel", "chargeback"])
def test_22_and_23_spent_money_is_taken_back(payer: Payer, move: str) -> None:
    """The account gets a debt and cannot buy until it is paid."""
    api, harness = payer.stack.api, payer.stack.harness
    starting = harness.settings.starting_cash
    paid(payer)
    harness.tick(100_000)
    data_of(api.order(payer.person, quantity=90), 201)
    harness.run_all()
    data_of(api.post("/balance/withdraw", payer.person, {"amount": payer.cash - 1_000}), 201)
    payer.move(move)
    payer.all_webhooks()
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


def test_23_refund_and_chargeback_of_the_same_money(payer: Payer) -> None:
    """The later one finds nothing left; nothing stays reserved or is reversed twice."""
    paid(payer)
    payer.stack.refund(payer.person, payer.id)
    payer.move("chargeback")
    payer.all_webhooks()
    payer.wait_for_sweep()
    assert (payer.status, payer.gained) == ("CANCELLED", 0)
    assert payer.ledger_entries() == [("DEPOSIT", AMOUNT), ("REFUND", AMOUNT)]
    balance = payer.stack.balance(payer.person)
    assert (balance["reserved_cash"], balance["debt"]) == (0, 0)
    payer.assert_consistent()


def test_28_repeated_webhook_credits_nothing(payer: Payer) -> None:
    payer.pay()
    webhooks = payer.all_webhooks()
    assert payer.gained == AMOUNT
    for _ in range(3):
        payer.stack.portone.control(f"webhooks/{webhooks[-1]['id']}/redeliver")
        payer.stack.work()
    assert payer.ledger_entries() == [("DEPOSIT", AMOUNT)]
    payer.assert_consistent()


def test_18_refunds_do_not_exceed_the_available_cash(payer: Payer) -> None:
    paid(payer)
    data_of(
        payer.stack.api.post("/balance/withdraw", payer.person, {"amount": payer.cash - 1_000}), 201
    )
    refused = payer.stack.api.post(f"/payments/{payer.id}/cancel", payer.person, {"amount": 1_001})
    problem_of(refused, "insufficient-cash")
    assert payer.refund(1_000)["status"] == "SUCCEEDED"
    assert payer.cash == 0
    assert payer.stack.harness.breaches() == []


def test_19_task_for_an_ended_refund_does_nothing(payer: Payer) -> None:
    paid(payer)
    payer.stack.refund(payer.person, payer.id, 3_000)
    [task] = payer.stack.harness.sent
    payer.stack.work()
    asked = len(payer.portone_requests("/cancel"))
    payer.stack.harness.run(TaskRequest(Task.REFUND_PAYMENT, task.ids))
    assert len(payer.portone_requests("/cancel")) == asked
    payer.all_webhooks()
    payer.assert_consistent()
