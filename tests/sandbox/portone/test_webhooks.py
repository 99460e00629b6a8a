"""Webhooks of the stand-in and their faults, checked with a real receiver and two verifiers."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
import standardwebhooks

from sandbox.portone.faults import Tampering
from sandbox.portone.merchant import API_SECRET, STORE_ID, WEBHOOK_SECRET
from sandbox.portone.server_state import WebhookSettings
from sandbox.portone.webhooks import MANUAL_MAX, WAITS, signature
from tests.fixtures.portone import WEBHOOKS
from tests.sandbox.portone.harness import ID, Shop, play, walk
from tests.support.http_server import Request, Server, answer, serving
from tests.support.servers import wait_until
from trading.payments.portone.webhooks import InvalidWebhook, WebhookFault, WebhookVerifier

SECOND_SECRET = WEBHOOKS["secrets"]["S2"]


def received(scene: Callable[[Shop, Server], None], *, scale: float = 0, **mail: Any) -> None:
    """Run a scene with a webhook receiver, which answers 200 unless the scene changes that."""
    with serving(lambda _: answer(200, {})) as receiver:
        play(
            lambda shop: scene(shop, receiver),
            mail=WebhookSettings(url=f"{receiver.url}/hook", scale=scale, **mail),
        )


def arrived(receiver: Server, count: int) -> list[Request]:
    wait_until(lambda: len(receiver.requests) >= count, what=f"{count} webhooks have come")
    return receiver.requests


def deliveries(shop: Shop) -> list[dict[str, Any]]:
    return list(shop.control("webhooks", method="GET")["webhooks"])


def settled(shop: Shop) -> list[dict[str, Any]]:
    wait_until(
        lambda: all(d["state"] != "PENDING" for d in deliveries(shop)),
        what="nothing waits",
    )
    return deliveries(shop)


@pytest.mark.parametrize("case", WEBHOOKS["cases"], ids=lambda case: case["name"])
def test_signatures_match_known_answers(case: dict[str, Any]) -> None:
    secrets = WEBHOOKS["secrets"]
    for name, known in case["signatures"].items():
        signed = signature(
            case["webhook_id"], case["webhook_timestamp"], case["body"].encode(), [secrets[name]]
        )
        assert signed == known


def test_every_change_sends_a_webhook_that_two_verifiers_accept() -> None:
    """In any order, and with two signatures while a secret is being replaced."""
    theirs = import_module("portone_server_sdk.webhook")

    def scene(shop: Shop, receiver: Server) -> None:
        walk(shop, "pay", "console-cancel 3000", "chargeback")
        webhooks = arrived(receiver, 4)
        for request in webhooks:
            for secret in (WEBHOOK_SECRET, SECOND_SECRET):
                assert theirs.verify(secret, request.body.decode(), request.headers)
                standardwebhooks.Webhook(secret).verify(request.body, request.headers)
                hint = WebhookVerifier([secret]).verify(
                    request.body, request.headers, now=datetime.now(UTC)
                )
                assert (hint.payment_id, hint.store_id) == (ID, STORE_ID)
        kinds = {request.members["type"].removeprefix("Transaction.") for request in webhooks}
        assert kinds == {"Ready", "Paid", "PartialCancelled", "Cancelled"}
        named = {request.members["data"].get("cancellationId") for request in webhooks}
        assert {c.id for c in shop.payment_state().cancellations} == named - {None}

    received(scene, secrets=[SECOND_SECRET, WEBHOOK_SECRET])


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        (("pend", "approve"), ["Ready", "PayPending", "Paid"]),
        (("pend", "reject"), ["Ready", "PayPending", "Failed"]),
        (("close", "approve-late"), ["Ready", "Failed", "Paid"]),
        (("issue-account", "deposit"), ["Ready", "VirtualAccountIssued", "Paid"]),
        (("issue-account", "close-account"), ["Ready", "VirtualAccountIssued"]),
        (
            ("pay", "dispute-open", "dispute-resolve"),
            ["Ready", "Paid", "DisputeCreated", "DisputeResolved"],
        ),
    ],
)
def test_bank_events_send_webhooks(moves: tuple[str, ...], expected: list[str]) -> None:
    def scene(shop: Shop, receiver: Server) -> None:
        walk(shop, *moves)
        arrived(receiver, len(expected))
        assert [d["type"].removeprefix("Transaction.") for d in settled(shop)] == expected

    received(scene)


def test_webhook_is_sent_six_times_with_the_same_bytes() -> None:
    """No more than that, and the payment's log has the result."""

    def scene(shop: Shop, receiver: Server) -> None:
        receiver.reply = lambda _: answer(500, {})
        walk(shop)
        wait_until(
            lambda: len(receiver.requests) == len(WAITS),
            what="it was tried six times",
        )
        assert len({request.body for request in receiver.requests}) == 1
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
        wait_until(
            lambda: len(deliveries(shop)[0]["attempts"]) == len(WAITS),
            what="it is written down",
        )
        [entry] = shop.call("GET", f"/payments/{ID}?storeId={STORE_ID}").json()["webhooks"]
        assert (entry["status"], entry["currentExecutionCount"]) == (
            "FAILED_NOT_OK_RESPONSE",
            len(WAITS),
        )
        assert entry["response"]["code"] == "500"

    received(scene)


def test_waits_follow_the_clock_of_the_stand_in() -> None:
    """None is longer than 4 h 16 min, and advancing the clock ends it at once."""

    def scene(shop: Shop, receiver: Server) -> None:
        receiver.reply = lambda _: answer(503, {})
        walk(shop)
        wait_until(lambda: deliveries(shop)[0]["attempts"], what="it was tried once")
        before = len(receiver.requests)
        receiver.reply = lambda _: answer(200, {})
        shop.control("clock/advance", {"seconds": int(WAITS[-1].total_seconds())})
        arrived(receiver, before + 1)
        wait_until(
            lambda: deliveries(shop)[0]["state"] == "SUCCEEDED",
            what="it is delivered",
        )

    received(scene, scale=1)


def test_notice_urls_must_have_an_allowed_host() -> None:
    """`noticeUrls` come from a browser, so other hosts must never be called."""

    def scene(shop: Shop, receiver: Server) -> None:
        shop.begin(
            noticeUrls=[f"{receiver.url}/mine", "http://192.0.2.1/not-mine", "file:///etc/passwd"]
        )
        assert arrived(receiver, 1)[0].target == "/mine"
        assert [d["state"] for d in settled(shop)] == ["SUCCEEDED", "NOT_ALLOWED", "NOT_ALLOWED"]

    received(scene)


def test_held_webhooks_are_sent_in_any_order_and_number() -> None:
    def scene(shop: Shop, receiver: Server) -> None:
        shop.control("faults", {"webhooks": {"mailing": "hold"}}, method="PUT")
        walk(shop, "pay", "console-cancel")
        held = deliveries(shop)
        assert [d["state"] for d in held] == ["HELD"] * 3
        assert receiver.requests == []
        backwards = [d["id"] for d in reversed(held)]
        shop.control("webhooks/flush", {"order": backwards, "times": 2})
        assert [request.headers["webhook-id"] for request in receiver.requests] == [
            i for i in backwards for _ in "ab"
        ]
        shop.control(f"webhooks/{backwards[0]}/redeliver")
        assert receiver.requests[-1].headers["webhook-id"] == backwards[0]

    received(scene)


def test_webhooks_get_lost_and_duplicated() -> None:
    def scene(shop: Shop, receiver: Server) -> None:
        shop.control(
            "faults", {"webhooks": {"lost": 2, "copies": 5, "at_once": True}}, method="PUT"
        )
        walk(shop)
        arrived(receiver, 5)
        wait_until(
            lambda: deliveries(shop)[0]["state"] == "SUCCEEDED",
            what="it is delivered",
        )
        assert [a.get("fault") for a in deliveries(shop)[0]["attempts"]][:2] == ["lost", "lost"]
        shop.control("faults", {}, method="PUT")
        shop.move("pay", webhook="none")
        assert deliveries(shop)[-1]["state"] == "NEVER_SENT"

    received(scene)


FAULTS_OF = {
    Tampering.WRONG_SECRET: WebhookFault.SIGNATURE_WRONG,
    Tampering.ALTERED_BODY: WebhookFault.SIGNATURE_WRONG,
    Tampering.MISSING_ID: WebhookFault.HEADER_MISSING,
    Tampering.MISSING_TIMESTAMP: WebhookFault.HEADER_MISSING,
    Tampering.MISSING_SIGNATURE: WebhookFault.HEADER_MISSING,
    Tampering.TITLE_CASE: None,
    Tampering.TIMESTAMP_EARLY: WebhookFault.TIMESTAMP_TOO_FAR,
    Tampering.TIMESTAMP_LATE: WebhookFault.TIMESTAMP_TOO_FAR,
    Tampering.TIMESTAMP_FRACTION: WebhookFault.TIMESTAMP_MALFORMED,
    Tampering.TIMESTAMP_TEXT: WebhookFault.TIMESTAMP_MALFORMED,
    Tampering.OTHER_SCHEME: WebhookFault.SIGNATURE_WRONG,
    Tampering.GARBAGE_FIRST: None,
    Tampering.NOT_ASCII: WebhookFault.SIGNATURE_WRONG,
}


def test_every_tampering_has_its_effect() -> None:
    """Checked with the product's verifier."""

    def scene(shop: Shop, receiver: Server) -> None:
        assert set(FAULTS_OF) == set(Tampering)
        for tampering, fault in FAULTS_OF.items():
            now = datetime.now(UTC)
            shop.control(
                "webhooks/send",
                {"data": {"paymentId": ID, "storeId": STORE_ID}, "tampering": tampering},
            )
            request = receiver.requests[-1]
            verify = WebhookVerifier([WEBHOOK_SECRET]).verify
            if fault is None:
                assert verify(request.body, request.headers, now=now).payment_id == ID
                continue
            with pytest.raises(InvalidWebhook) as refused:
                verify(request.body, request.headers, now=now)
            assert refused.value.fault is fault

    received(scene)


def test_any_content_can_be_sent_as_a_webhook() -> None:
    """Any type and data, or bytes that are not JSON, signed or unsigned."""

    def scene(shop: Shop, receiver: Server) -> None:
        shop.control("webhooks/send", {"type": "BillingKey.Issued", "data": [1]})
        assert receiver.requests[-1].members["data"] == [1]
        octets = b"\xff\xfe payment_id=1"
        form = {
            "octets": base64.b64encode(octets).decode(),
            "content_type": "application/x-www-form-urlencoded",
        }
        sent = shop.control("webhooks/send", form)
        assert (receiver.requests[-1].body, sent["state"]) == (octets, "SUCCEEDED")
        assert receiver.requests[-1].headers["content-type"] == "application/x-www-form-urlencoded"
        assert shop.control("webhooks/send", {"url": "http://192.0.2.1/"})["state"] == "NOT_ALLOWED"

    received(scene)


def test_webhook_can_be_resent_manually_ten_times() -> None:
    """PortOne's SDK requests it; id and bytes do not change."""
    sdk = import_module("portone_server_sdk.payment")
    errors = import_module("portone_server_sdk.errors")

    def scene(shop: Shop, receiver: Server) -> None:
        theirs = sdk.PaymentClient(secret=API_SECRET, base_url=shop.url, store_id=STORE_ID)
        with theirs._sync_client:
            with pytest.raises(errors.PaymentNotFoundError):
                theirs.resend_webhook(payment_id=ID)
            walk(shop, "pay")
            [_, paid] = settled(shop)
            for _ in range(MANUAL_MAX):
                again = theirs.resend_webhook(payment_id=ID).webhook
                assert (again.id, again.trigger, again.status) == (
                    paid["id"],
                    "MANUAL",
                    "SUCCEEDED",
                )
            with pytest.raises(errors.MaxWebhookRetryCountReachedError):
                theirs.resend_webhook(payment_id=ID)
            with pytest.raises(errors.WebhookNotFoundError):
                theirs.resend_webhook(payment_id=ID, webhook_id="none")
        same = [
            request.body
            for request in receiver.requests
            if request.headers["webhook-id"] == paid["id"]
        ]
        assert len(same) == MANUAL_MAX + 1
        assert len(set(same)) == 1
        assert json.loads(same[0])["type"] == "Transaction.Paid"

    received(scene)
