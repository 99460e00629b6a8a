"""The payment endpoints, including hostile input."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from werkzeug.test import TestResponse

from tests.support.payments_stack import PaymentsStack, payments_stack
from tests.support.statements import statements_counted
from tests.trading.orders.steps import change_settings, everything, rows
from tests.webapp.client import api_on, data_of, problem_of
from trading.config.settings import PORTONE_DEVELOPMENT_STORE_ID, PORTONE_DEVELOPMENT_WEBHOOK_SECRET
from trading.tasks import Task

PREPARE, COMPLETE, WEBHOOK = (
    f"/payments/portone/{path}" for path in ("prepare", "complete", "webhook")
)
BODY = {"amount": 10_000, "order_name": "프리미엄 구독", "currency": "KRW"}
OTHER_SECRET = "whsec_b3VyLW93bi1zZWNyZXQtb2Ytc29tZS1sZW5ndGg="


@pytest.fixture
def stack(migrated_sqlite: str, valkey_url: str) -> Iterator[PaymentsStack]:
    with payments_stack(migrated_sqlite, valkey_url) as stack:
        yield stack


def webhook(
    stack: PaymentsStack,
    payment_id: str,
    *,
    secret: str = PORTONE_DEVELOPMENT_WEBHOOK_SECRET,
    kind: str = "Transaction.Paid",
    store_id: str = PORTONE_DEVELOPMENT_STORE_ID,
    body: bytes | None = None,
    **headers: str,
) -> TestResponse:
    """Send a webhook signed with `secret`; `headers` replace its own."""
    data = {"paymentId": payment_id, "storeId": store_id, "transactionId": "t"}
    octets = (
        json.dumps({"type": kind, "timestamp": "2026-01-01T00:00:00Z", "data": data}).encode()
        if body is None
        else body
    )
    at = str(int(stack.harness.clock().timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(
        hmac.digest(key, f"id.{at}.".encode() + octets, hashlib.sha256)
    ).decode()
    sent = {
        "Content-Type": "application/json",
        "webhook-id": "id",
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{signature}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return stack.api.post(WEBHOOK, data=octets, headers=sent)


def notification_count(stack: PaymentsStack) -> int:
    return int(
        rows(stack.harness, "SELECT SUM(notification_count) AS notifications FROM payments")[0][
            "notifications"
        ]
    )


def test_prepare_returns_what_the_browser_needs(stack: PaymentsStack) -> None:
    """The amount is stored and pinned: a window with another amount does not open."""
    who = stack.api.person()
    answer = stack.api.post(PREPARE, who, BODY)
    data = data_of(answer, 201)
    assert data == {
        "store_id": PORTONE_DEVELOPMENT_STORE_ID,
        "channel_key": stack.harness.settings.channel_keys[0],
        "payment_id": data["payment_id"],
        "order_name": "프리미엄 구독",
        "amount": 10_000,
        "currency": "KRW",
    }
    assert answer.headers["Location"] == f"/api/v1/payments/{data['payment_id']}"
    with pytest.raises(AssertionError, match="AmountNotEqualToPredefined"):
        stack.portone.open(data["payment_id"], 1)
    assert stack.payment(who, data["payment_id"])["status"] == "PENDING"


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": 999},
        {"amount": 1_000_001},
        {"amount": -1},
        {"amount": 10**30},
        {"amount": "10000"},
        {"amount": 10_000.0},
        {"amount": True},
        {"amount": None},
        {"currency": "USD"},
        {"currency": "krw"},
        {"currency": None},
        {"order_name": ""},
        {"order_name": "  "},
        {"order_name": "%%%"},
        {"order_name": "가" * 14},
        {"order_name": "a" * 41},
        {"order_name": "a\x00b"},
        {"order_name": "a\nb"},
        {"order_name": "\ud800"},
        {"order_name": "😀"},
        {"order_name": 5},
        {"payment_id": "0" * 32},
    ],
)
def test_invalid_preparation_is_refused(stack: PaymentsStack, changed: dict[str, Any]) -> None:
    """Nothing is stored, and PortOne is not asked."""
    who = stack.api.person()
    problem_of(stack.api.post(PREPARE, who, {**BODY, **changed}), "validation-failed")
    assert rows(stack.harness, "SELECT id FROM payments") == []
    assert stack.portone.control("requests", "GET")["requests"] == []


def test_order_name_is_cleaned(stack: PaymentsStack) -> None:
    who = stack.api.person()
    data = data_of(
        stack.api.post(PREPARE, who, {**BODY, "order_name": " 크레딧  10,000원 + 보너스 "}), 201
    )
    assert data["order_name"] == "크레딧 10 000원 보너스"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"drop": "before"}, "payment-service-unavailable"),
        (
            {"answer": {"status": 500, "body": "<html>", "headers": {}}},
            "payment-service-unavailable",
        ),
        (
            {
                "answer": {
                    "status": 401,
                    "body": '{"type": "UNAUTHORIZED"}',
                    "headers": {"Content-Type": "application/json"},
                }
            },
            "payment-service-refused",
        ),
    ],
)
def test_payment_refused_by_portone_is_closed(
    stack: PaymentsStack, fault: dict[str, Any], code: str
) -> None:
    """The request fails, and the same key prepares another payment."""
    who = stack.api.person()
    stack.portone.inject_fault(method="POST", path=".*/pre-register", **fault)
    key = {"Idempotency-Key": "one"}
    problem_of(stack.api.post(PREPARE, who, BODY, headers=key), code)
    (row,) = rows(stack.harness, "SELECT status, next_attempt_at, failure FROM payments")
    assert (row["status"], row["next_attempt_at"], row["failure"]) == (
        "EXPIRED",
        None,
        "pre-registration failed",
    )
    first = stack.api.post(PREPARE, who, BODY, headers=key)
    again = stack.api.post(PREPARE, who, BODY, headers=key)
    assert data_of(first, 201) == data_of(again, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    problem_of(
        stack.api.post(PREPARE, who, {**BODY, "amount": 1_000}, headers=key),
        "idempotency-key-conflict",
    )
    assert len(rows(stack.harness, "SELECT id FROM payments")) == 2


def test_cash_limit_applies_to_payments(stack: PaymentsStack) -> None:
    who = stack.api.person()
    change_settings(stack.harness, cash_max=10_005_000)
    refused = api_on(stack.harness).post(PREPARE, who, BODY)
    assert problem_of(refused, "cash-limit-exceeded")["limit"] == 10_005_000


@pytest.mark.parametrize(
    "text",
    [
        "..",
        ".",
        "../cancel",
        "",
        "0" * 31,
        "0" * 33,
        "G" * 32,
        "0" * 31 + "\x00",
        "\ud800",
        5,
        None,
    ],
)
def test_invalid_payment_id_is_refused_early(stack: PaymentsStack, text: object) -> None:
    """Nothing is looked up, and PortOne is not asked."""
    who = stack.api.person()
    problem_of(stack.api.post(COMPLETE, who, {"payment_id": text}), "validation-failed")
    assert stack.harness.sent == []
    assert stack.portone.control("requests", "GET")["requests"] == []


def test_another_users_payment_is_404(stack: PaymentsStack) -> None:
    """For every route, without effect."""
    owner, other = stack.api.person(), stack.api.person()
    payment_id = stack.paid(owner)
    before = everything(stack.harness)
    for unknown in (payment_id, uuid4().hex, "z" * 32):
        problem_of(stack.api.post(COMPLETE, other, {"payment_id": unknown}), "payment-not-found")
        problem_of(stack.api.get(f"/payments/{unknown}", other), "payment-not-found")
        problem_of(stack.api.post(f"/payments/{unknown}/cancel", other, {}), "payment-not-found")
    for path in ("..", "%2e%2e", "0" * 31, f"{payment_id}%00", payment_id.upper() + "x"):
        assert stack.api.get(f"/payments/{path}", owner).status_code == 404
    assert data_of(stack.api.get("/payments", other))["items"] == []
    assert everything(stack.harness) == before
    assert stack.harness.sent == []


@pytest.mark.parametrize(
    "body",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 10**30},
        {"amount": "1"},
        {"amount": 1.0},
        {"amount": True},
        {"reason": "가" * 51},
        {"reason": "a\x00"},
        {"reason": "\ud800"},
        {"reason": 1},
        {"to": "me"},
    ],
)
def test_invalid_refund_is_refused(stack: PaymentsStack, body: dict[str, Any]) -> None:
    who = stack.api.person()
    payment_id = stack.paid(who)
    before = everything(stack.harness)
    problem_of(stack.api.post(f"/payments/{payment_id}/cancel", who, body), "validation-failed")
    assert everything(stack.harness) == before


def test_refund_with_one_key_is_requested_once(stack: PaymentsStack) -> None:
    who = stack.api.person()
    payment_id = stack.paid(who)
    path, key = f"/payments/{payment_id}/cancel", {"Idempotency-Key": "refund-1"}
    first, again = (stack.api.post(path, who, {"amount": 1_000}, headers=key) for _ in range(2))
    assert data_of(first, 202) == data_of(again, 202)
    assert stack.payment(who, payment_id)["held_amount"] == 1_000
    problem_of(
        stack.api.post(path, who, {"amount": 2_000}, headers=key), "idempotency-key-conflict"
    )


def test_uncredited_payment_is_not_refunded(stack: PaymentsStack) -> None:
    who = stack.api.person()
    refused = problem_of(
        stack.api.post(f"/payments/{stack.prepare(who)}/cancel", who, {}), "payment-not-refundable"
    )
    assert refused["payment_status"] == "PENDING"


def test_list_is_paged_with_a_constant_statement_count(stack: PaymentsStack) -> None:
    who = stack.api.person()
    made = [stack.prepare(who) for _ in range(5)]
    first = data_of(stack.api.get("/payments?limit=3", who))
    rest = data_of(stack.api.get(f"/payments?limit=3&cursor={first['next_cursor']}", who))
    assert [one["payment_id"] for one in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    counts = []
    for limit in (1, 5):
        with statements_counted(stack.harness.core.database.engine) as sent:
            data_of(stack.api.get(f"/payments?limit={limit}", who))
        counts.append(len(sent))
    assert counts[0] == counts[1]
    assert data_of(stack.api.get("/payments?status=CREDITED", who))["items"] == []
    for wrong in ("limit=0", "limit=101", "cursor=x", "status=PAID"):
        problem_of(stack.api.get(f"/payments?{wrong}", who), "validation-failed")


def test_webhook_is_recorded_in_one_statement(stack: PaymentsStack) -> None:
    """The response is 200 at once; a task queries PortOne."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    asked = len(stack.portone.control("requests", "GET")["requests"])
    with statements_counted(stack.harness.core.database.engine) as sent:
        assert webhook(stack, payment_id).status_code == 200
    assert [one for one in sent if not one.startswith("BEGIN")] == [sent[-1]]
    assert [(one.task, one.ids) for one in stack.harness.sent] == [
        (Task.VERIFY_PAYMENT, (UUID(hex=payment_id),))
    ]
    assert len(stack.portone.control("requests", "GET")["requests"]) == asked


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"secret": OTHER_SECRET}, "signature-wrong"),
        ({"webhook_signature": "v1,"}, "signature-wrong"),
        ({"webhook_signature": "v1a,AAAA"}, "signature-wrong"),
        ({"webhook_signature": ""}, "header-missing"),
        ({"webhook_id": ""}, "header-missing"),
        ({"webhook_timestamp": "1.5"}, "timestamp-malformed"),
        ({"webhook_timestamp": "1767225600"}, "timestamp-too-far"),
        ({"body": b"[]"}, "body-malformed"),
        ({"body": b"{"}, "body-malformed"),
        ({"body": b"\xff\xfe"}, "body-malformed"),
        ({"body": b""}, "body-malformed"),
        ({"body": b"[" * 30_000}, "body-malformed"),
    ],
)
def test_invalid_webhook_is_refused(
    stack: PaymentsStack, more: dict[str, Any], reason: str
) -> None:
    """400 with the reason, and nothing is recorded."""
    payment_id = stack.prepare(stack.api.person())
    assert problem_of(webhook(stack, payment_id, **more), "webhook-refused")["reason"] == reason
    assert (notification_count(stack), stack.harness.sent) == (0, [])


@pytest.mark.parametrize(
    "more",
    [
        {"kind": "BillingKey.Issued"},
        {"kind": "Something.New"},
        {"store_id": "store-of-somebody-else"},
        {"body": b'{"type": "Transaction.Paid"}'},
        {"body": b'{"type": "Transaction.Paid", "data": [1]}'},
        {"body": b'{"type": "Transaction.Paid", "data": {"paymentId": "..", "storeId": 5}}'},
    ],
)
def test_unrelated_webhook_is_accepted_and_ignored(
    stack: PaymentsStack, more: dict[str, Any]
) -> None:
    """With 200, because PortOne would otherwise send it again for hours."""
    payment_id = stack.prepare(stack.api.person())
    assert webhook(stack, payment_id, **more).status_code == 200
    assert webhook(stack, "z" * 32).status_code == 200
    assert webhook(stack, uuid4().hex).status_code == 200
    assert (notification_count(stack), stack.harness.sent) == (0, [])


def test_unknown_transaction_event_causes_a_check(stack: PaymentsStack) -> None:
    payment_id = stack.prepare(stack.api.person())
    assert webhook(stack, payment_id, kind="Transaction.Reconsidered").status_code == 200
    assert notification_count(stack) == 1


def test_webhook_of_another_size_or_type_is_not_read(stack: PaymentsStack) -> None:
    payment_id = stack.prepare(stack.api.person())
    problem_of(webhook(stack, payment_id, body=b" " * 70_000), "payload-too-large")
    problem_of(
        webhook(stack, payment_id, Content_Type="application/x-www-form-urlencoded"),
        "unsupported-media-type",
    )
    assert notification_count(stack) == 0


def test_two_webhook_secrets_are_valid_during_rotation(stack: PaymentsStack) -> None:
    payment_id = stack.prepare(stack.api.person())
    secrets = f"{OTHER_SECRET},{PORTONE_DEVELOPMENT_WEBHOOK_SECRET}"
    restart_with(stack, portone_webhook_secrets=secrets)
    assert webhook(stack, payment_id).status_code == 200
    assert webhook(stack, payment_id, secret=OTHER_SECRET).status_code == 200
    assert notification_count(stack) == 2


def test_webhook_without_a_secret_is_refused(stack: PaymentsStack) -> None:
    """PortOne sends it again later."""
    payment_id = stack.prepare(stack.api.person())
    restart_with(stack, portone_webhook_secrets=",")
    problem_of(webhook(stack, payment_id), "payment-webhooks-off")
    assert notification_count(stack) == 0


def test_webhook_address_list(stack: PaymentsStack) -> None:
    payment_id = stack.prepare(stack.api.person())
    restart_with(stack, portone_webhook_allowed_ips="52.78.5.241")
    problem_of(webhook(stack, payment_id), "forbidden")
    restart_with(stack, portone_webhook_allowed_ips="52.78.5.241, 127.0.0.1")
    assert webhook(stack, payment_id).status_code == 200


def restart_with(stack: PaymentsStack, **changed: Any) -> None:
    """Restart the API with other settings."""
    settings = type(stack.harness.settings).model_validate(
        {
            **{
                name: getattr(stack.harness.settings, name)
                for name in stack.harness.settings.model_fields_set
            },
            **changed,
        }
    )
    stack.harness.core = replace(stack.harness.core, settings=settings)
    stack.api = api_on(stack.harness)
