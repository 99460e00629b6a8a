"""Crediting: once, and only what was paid as agreed, whatever browser, bank and PortOne do."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.scenarios.payer import AMOUNT, Payer, run_concurrently
from tests.support.deadlines import DEADLINE_S
from tests.webapp.client import data_of, problem_of


def test_01_happy_path_complete_first(payer: Payer) -> None:
    payer.pay(webhook="hold")
    assert (payer.status, payer.gained) == ("PENDING", 0)
    payer.complete()
    assert (payer.status, payer.gained) == ("CREDITED", AMOUNT)
    payer.flush()
    assert payer.ledger_entries() == [("DEPOSIT", AMOUNT)]
    payer.assert_consistent()


def test_02_webhook_first(payer: Payer) -> None:
    payer.pay()
    assert [one["state"] for one in payer.all_webhooks()] == ["NEVER_SENT", "SUCCEEDED"]
    assert payer.status == "CREDITED"
    payer.complete()
    assert payer.ledger_entries() == [("DEPOSIT", AMOUNT)]
    payer.assert_consistent()


def test_03_concurrent_complete_and_webhook_credit_once(payer: Payer) -> None:
    """Fifty payments; two requests at the same moment and the tasks that they cause, each twice."""
    for number in range(1, 51):
        payer.pay(webhook="hold")
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(payer.send_held_webhooks), pool.submit(payer.finish)]
            for one in asked:
                one.result(DEADLINE_S)
        woken = payer.stack.harness.sent.copy()
        payer.stack.harness.sent.clear()
        assert woken
        run_concurrently(payer, [*woken, *woken])
        payer.all_webhooks()
        assert payer.gained == number * AMOUNT
    assert payer.ledger_entries() == [("DEPOSIT", AMOUNT)] * 50
    assert payer.stack.harness.breaches() == []


def test_04_browser_crash_webhook_credits(payer: Payer) -> None:
    payer.prepare()
    payer.open()
    payer.move("pay")
    payer.all_webhooks()
    assert payer.status == "CREDITED"
    payer.assert_consistent()


def test_05_no_webhook_no_complete_sweep_credits(payer: Payer) -> None:
    payer.pay(webhook="none")
    payer.stack.work()
    assert payer.gained == 0
    payer.wait_for_sweep()
    assert payer.status == "CREDITED"
    payer.assert_consistent()


def test_06_forged_amount_is_refused_by_the_window_if_pre_registered(payer: Payer) -> None:
    payer.prepare()
    assert payer.request_payment(totalAmount=1)["refusal"]["code"] == "AmountNotEqualToPredefined"
    payer.complete()
    assert (payer.status, payer.gained) == ("PENDING", 0)


def test_06_forged_amount_is_not_credited_without_pre_registration(payer: Payer) -> None:
    """As when PortOne loses the pre-registration."""
    payer.prepare()
    payer.stack.portone.control("reset")
    payer.stack.portone.open(payer.id, 1)
    payer.move("pay")
    payer.complete()
    assert (payer.status, payer.gained) == ("MISMATCHED", 0)
    assert payer.stack.harness.breaches() == []


def test_07_test_channel_is_not_credited_where_forbidden(payer: Payer) -> None:
    payer.prepare()
    payer.open(channel_type="TEST")
    payer.move("pay")
    payer.complete()
    assert (payer.status, payer.gained) == ("MISMATCHED", 0)
    assert payer.stack.harness.breaches() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"/currency": "JPY"},
        {"/storeId": "store-00000000-0000-4000-8000-00000000000d"},
        {"/id": "0" * 32},
        {"/version": "V1"},
        {"/channel/key": "channel-key-of-another"},
        {"/amount/total": AMOUNT + 1},
        {"/amount/total": float(AMOUNT)},
        {"/amount/total": True},
        {"/amount/taxFree": 1},
    ],
    ids=lambda wrong: str(*wrong.items()),
)
def test_08_wrong_currency_store_or_id_is_not_credited(
    payer: Payer, wrong: dict[str, object]
) -> None:
    payer.pay()
    payer.fail_checks(patch=wrong, times=None)
    payer.complete()
    assert (payer.status, payer.gained) == ("MISMATCHED", 0)
    assert payer.stack.harness.breaches() == []


def test_09_complete_of_another_users_payment_is_refused(payer: Payer) -> None:
    other = payer.stack.api.person()
    payer.pay(webhook="none")
    refused = payer.stack.api.post("/payments/portone/complete", other, {"payment_id": payer.id})
    problem_of(refused, "payment-not-found")
    assert payer.stack.harness.sent == []
    assert payer.gained == 0


def test_10_failed_then_retried_then_paid(payer: Payer) -> None:
    payer.prepare()
    payer.open()
    payer.move("fail")
    payer.complete()
    shown = payer.stack.payment(payer.person, payer.id)
    assert shown["status"] == "PENDING"
    assert "카드사" in shown["failure"]
    payer.open()
    payer.move("pay")
    payer.complete()
    assert payer.status == "CREDITED"
    payer.assert_consistent()


def test_11_failed_then_approved_late(payer: Payer) -> None:
    payer.prepare()
    payer.open()
    payer.move("close")
    payer.complete()
    assert (payer.status, payer.gained) == ("PENDING", 0)
    payer.move("approve-late")
    payer.all_webhooks()
    assert payer.status == "CREDITED"
    payer.assert_consistent()


def test_11_approved_after_expiry(payer: Payer) -> None:
    payer.prepare()
    payer.open()
    payer.move("close")
    payer.complete()
    payer.wait_for_sweep()
    assert payer.status == "EXPIRED"
    payer.move("approve-late")
    payer.all_webhooks()
    assert payer.status == "CREDITED"
    payer.assert_consistent()


def test_12_approval_pending_then_paid(payer: Payer) -> None:
    payer.prepare()
    payer.open()
    payer.move("pend")
    payer.complete()
    assert (payer.status, payer.gained) == ("PENDING", 0)
    payer.move("approve")
    payer.all_webhooks()
    assert payer.status == "CREDITED"
    payer.assert_consistent()


def test_13_issued_account_is_credited_by_its_deposit(payer: Payer) -> None:
    payer.prepare()
    payer.open()
    payer.move("issue-account")
    payer.complete()
    shown = payer.stack.payment(payer.person, payer.id)
    assert (shown["status"], shown["virtual_account"]["bank"], payer.gained) == (
        "PENDING",
        "KOOKMIN",
        0,
    )
    payer.move("deposit")
    payer.all_webhooks()
    assert payer.status == "CREDITED"
    payer.assert_consistent()


def test_14_ready_seen_by_complete_then_paid(payer: Payer) -> None:
    payer.pay(webhook="hold")
    payer.fail_checks(stale=True)
    payer.complete()
    assert (payer.status, payer.gained) == ("PENDING", 0)
    payer.flush()
    assert payer.status == "CREDITED"
    payer.assert_consistent()


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_15_three_bad_answers_then_a_good_one(payer: Payer, status: int) -> None:
    payer.pay(webhook="none")
    page = {"status": status, "body": "<html>", "headers": {"Content-Type": "text/html"}}
    payer.fail_checks(times=3, answer=page)
    payer.complete()
    assert (payer.status, payer.gained) == ("PENDING", 0)
    payer.wait_for_sweep()
    assert payer.status == "CREDITED"
    assert [one["status"] for one in payer.portone_requests(payer.id)][:4] == [status] * 3 + [200]
    payer.assert_consistent()


@pytest.mark.parametrize(
    "wrong", [{"drop": "after"}, {"truncate": True}], ids=["dropped", "cut off"]
)
def test_15_malformed_answers_then_a_good_one(payer: Payer, wrong: dict[str, object]) -> None:
    payer.pay(webhook="none")
    payer.fail_checks(times=3, **wrong)
    payer.complete()
    assert payer.gained == 0
    payer.wait_for_sweep()
    payer.assert_consistent()


def test_16_five_of_each_webhook(payer: Payer) -> None:
    payer.stack.portone.control("faults", "PUT", webhooks={"copies": 5, "at_once": True})
    payer.prepare()
    payer.open()
    payer.move("pay")
    assert [len(one["attempts"]) for one in payer.all_webhooks()] == [5, 5]
    assert payer.ledger_entries() == [("DEPOSIT", AMOUNT)]
    payer.assert_consistent()


def test_24_unknown_status_delays_the_credit(payer: Payer) -> None:
    payer.pay(webhook="none")
    payer.fail_checks(patch={"/status": "PAID_TWICE_OVER"})
    payer.complete()
    assert payer.gained == 0
    payer.wait_for_sweep()
    assert payer.status == "CREDITED"
    payer.assert_consistent()


def test_24_unknown_method_and_new_members_are_credited(payer: Payer) -> None:
    payer.pay(webhook="none")
    new = {
        "/method": {"type": "PaymentMethodTelepathy"},
        "/brandNew": [{}],
        "/channelGroup": None,
        "/customData": "{",
    }
    payer.fail_checks(patch=new, remove=["/disputes"], times=None)
    payer.complete()
    assert payer.status == "CREDITED"
    payer.assert_consistent()


@pytest.mark.parametrize(
    "identifier", ["..", ".", "../cancel", "%2e%2e", "A" * 32, "a" * 33, "", "\0" * 32, "가" * 32]
)
def test_29_invalid_payment_id_is_rejected_before_any_request(
    payer: Payer, identifier: str
) -> None:
    """From the browser, the payer and PortOne."""
    api, before = payer.stack.api, len(payer.portone_requests(""))
    problem_of(
        api.post("/payments/portone/complete", payer.person, {"payment_id": identifier}),
        "validation-failed",
    )
    answer = api.client.get(f"/api/v1/payments/{identifier or '_'}", headers=payer.person.headers)
    assert answer.status_code in (404, 405)
    data = {"paymentId": identifier, "storeId": payer.stack.harness.settings.portone_store_id}
    sent = payer.stack.portone.control("webhooks/send", data=data)
    assert sent["attempts"][0]["response"]["code"] == "200"
    assert payer.stack.harness.sent == []
    assert len(payer.portone_requests("")) == before
    assert data_of(api.get("/payments", payer.person))["items"] == []
