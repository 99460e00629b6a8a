"""Money comes in: whatever browser, bank, webhooks and PortOne do, it is credited once, and only when it was paid as agreed."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.scenarios.payer import AMOUNT, Payer, at_once
from tests.support.deadlines import DEADLINE_S
from tests.webapp.client import data_of, problem_of


def test_01_happy_path_complete_first(payer: Payer) -> None:
    payer.pay(webhook="hold")
    assert (payer.status, payer.gained) == ("PENDING", 0)
    payer.complete()
    assert (payer.status, payer.gained) == ("CREDITED", AMOUNT)
    payer.flush()
    assert payer.movements() == [("DEPOSIT", AMOUNT)]
    payer.agree()


def test_02_webhook_first(payer: Payer) -> None:
    payer.pay()
    assert [one["state"] for one in payer.told()] == ["NEVER_SENT", "SUCCEEDED"]
    assert payer.status == "CREDITED"
    payer.complete()
    assert payer.movements() == [("DEPOSIT", AMOUNT)]
    payer.agree()


def test_03_both_at_once_fifty_times_exactly_one_credit_each(payer: Payer) -> None:
    """Of two requests at the same moment, and of the workers that they wake, each twice."""
    for number in range(1, 51):
        payer.pay(webhook="hold")
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(payer.hear), pool.submit(payer.finish)]
            for one in asked:
                one.result(DEADLINE_S)
        woken = payer.stack.harness.sent.copy()
        payer.stack.harness.sent.clear()
        assert woken
        at_once(payer, [*woken, *woken])
        payer.told()
        assert payer.gained == number * AMOUNT
    assert payer.movements() == [("DEPOSIT", AMOUNT)] * 50
    assert payer.stack.harness.breaches() == []


def test_04_browser_dies_webhook_only(payer: Payer) -> None:
    payer.prepare()
    payer.open()
    payer.move("pay")
    payer.told()
    assert payer.status == "CREDITED"
    payer.agree()


def test_05_no_webhook_no_complete_sweep_credits(payer: Payer) -> None:
    payer.pay(webhook="none")
    payer.stack.work()
    assert payer.gained == 0
    payer.look_later()
    assert payer.status == "CREDITED"
    payer.agree()


def test_06_forged_amount_is_refused_by_the_window_where_it_was_announced(payer: Payer) -> None:
    payer.prepare()
    assert payer.request_payment(totalAmount=1)["refusal"]["code"] == "AmountNotEqualToPredefined"
    payer.complete()
    assert (payer.status, payer.gained) == ("PENDING", 0)


def test_06_forged_amount_is_not_credited_where_it_was_not(payer: Payer) -> None:
    """As when PortOne forgot what was announced."""
    payer.prepare()
    payer.stack.portone.control("reset")
    payer.stack.portone.open(payer.id, 1)
    payer.move("pay")
    payer.complete()
    assert (payer.status, payer.gained) == ("MISMATCHED", 0)
    assert payer.stack.harness.breaches() == []


def test_07_test_channel_where_none_is_allowed(payer: Payer) -> None:
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
def test_08_wrong_currency_store_or_id(payer: Payer, wrong: dict[str, object]) -> None:
    payer.pay()
    payer.looks_go_wrong(patch=wrong, times=None)
    payer.complete()
    assert (payer.status, payer.gained) == ("MISMATCHED", 0)
    assert payer.stack.harness.breaches() == []


def test_09_someone_elses_payment_id_at_complete(payer: Payer) -> None:
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
    payer.agree()


def test_11_failed_then_approved_late(payer: Payer) -> None:
    payer.prepare()
    payer.open()
    payer.move("close")
    payer.complete()
    assert (payer.status, payer.gained) == ("PENDING", 0)
    payer.move("approve-late")
    payer.told()
    assert payer.status == "CREDITED"
    payer.agree()


def test_11_approved_after_it_was_given_up_here(payer: Payer) -> None:
    payer.prepare()
    payer.open()
    payer.move("close")
    payer.complete()
    payer.look_later()
    assert payer.status == "EXPIRED"
    payer.move("approve-late")
    payer.told()
    assert payer.status == "CREDITED"
    payer.agree()


def test_12_approval_pending_then_paid(payer: Payer) -> None:
    payer.prepare()
    payer.open()
    payer.move("pend")
    payer.complete()
    assert (payer.status, payer.gained) == ("PENDING", 0)
    payer.move("approve")
    payer.told()
    assert payer.status == "CREDITED"
    payer.agree()


def test_13_an_issued_account_is_no_money_its_deposit_is(payer: Payer) -> None:
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
    payer.told()
    assert payer.status == "CREDITED"
    payer.agree()


def test_14_ready_seen_by_complete_then_paid(payer: Payer) -> None:
    payer.pay(webhook="hold")
    payer.looks_go_wrong(stale=True)
    payer.complete()
    assert (payer.status, payer.gained) == ("PENDING", 0)
    payer.flush()
    assert payer.status == "CREDITED"
    payer.agree()


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_15_three_bad_answers_then_a_good_one(payer: Payer, status: int) -> None:
    payer.pay(webhook="none")
    page = {"status": status, "body": "<html>", "headers": {"Content-Type": "text/html"}}
    payer.looks_go_wrong(times=3, answer=page)
    payer.complete()
    assert (payer.status, payer.gained) == ("PENDING", 0)
    payer.look_later()
    assert payer.status == "CREDITED"
    assert [one["status"] for one in payer.asked_of_portone(payer.id)][:4] == [status] * 3 + [200]
    payer.agree()


@pytest.mark.parametrize(
    "wrong", [{"drop": "after"}, {"truncate": True}], ids=["dropped", "cut off"]
)
def test_15_broken_answers_then_a_good_one(payer: Payer, wrong: dict[str, object]) -> None:
    payer.pay(webhook="none")
    payer.looks_go_wrong(times=3, **wrong)
    payer.complete()
    assert payer.gained == 0
    payer.look_later()
    payer.agree()


def test_16_five_of_each_webhook(payer: Payer) -> None:
    payer.stack.portone.control("faults", "PUT", webhooks={"copies": 5, "at_once": True})
    payer.prepare()
    payer.open()
    payer.move("pay")
    assert [len(one["attempts"]) for one in payer.told()] == [5, 5]
    assert payer.movements() == [("DEPOSIT", AMOUNT)]
    payer.agree()


def test_24_unknown_status_loses_no_credit(payer: Payer) -> None:
    payer.pay(webhook="none")
    payer.looks_go_wrong(patch={"/status": "PAID_TWICE_OVER"})
    payer.complete()
    assert payer.gained == 0
    payer.look_later()
    assert payer.status == "CREDITED"
    payer.agree()


def test_24_unknown_method_and_new_members_are_no_hindrance(payer: Payer) -> None:
    payer.pay(webhook="none")
    new = {
        "/method": {"type": "PaymentMethodTelepathy"},
        "/brandNew": [{}],
        "/channelGroup": None,
        "/customData": "{",
    }
    payer.looks_go_wrong(patch=new, remove=["/disputes"], times=None)
    payer.complete()
    assert payer.status == "CREDITED"
    payer.agree()


@pytest.mark.parametrize(
    "identifier", ["..", ".", "../cancel", "%2e%2e", "A" * 32, "a" * 33, "", "\0" * 32, "가" * 32]
)
def test_29_what_is_no_payment_id_is_rejected_before_any_http(
    payer: Payer, identifier: str
) -> None:
    """By the three ways in: the browser's, the payer's and PortOne's."""
    api, before = payer.stack.api, len(payer.asked_of_portone(""))
    problem_of(
        api.post("/payments/portone/complete", payer.person, {"payment_id": identifier}),
        "validation-failed",
    )
    looked = api.client.get(f"/api/v1/payments/{identifier or '_'}", headers=payer.person.headers)
    assert looked.status_code in (404, 405)
    data = {"paymentId": identifier, "storeId": payer.stack.harness.settings.portone_store_id}
    sent = payer.stack.portone.control("webhooks/send", data=data)
    assert sent["attempts"][0]["response"]["code"] == "200"
    assert payer.stack.harness.sent == []
    assert len(payer.asked_of_portone("")) == before
    assert data_of(api.get("/payments", payer.person))["items"] == []
