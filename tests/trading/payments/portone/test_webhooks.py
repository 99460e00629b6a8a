"""A webhook is accepted if PortOne signed these octets within the last minutes."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.portone import WEBHOOKS
from trading.payments.portone.webhooks import (
    BODY_OCTETS_MAX,
    InvalidWebhook,
    Webhook,
    WebhookFault,
    WebhookVerifier,
)

S1, S2 = WEBHOOKS["secrets"]["S1"], WEBHOOKS["secrets"]["S2"]
CASES = {case["name"]: case for case in WEBHOOKS["cases"]}
A = CASES["A"]
BODY: bytes = A["body"].encode()
SIGNED: dict[str, str] = {
    "webhook-id": A["webhook_id"],
    "webhook-timestamp": A["webhook_timestamp"],
    "webhook-signature": A["signatures"]["S1"],
}
NOW = datetime.fromtimestamp(int(A["webhook_timestamp"]), UTC) + timedelta(seconds=10)
HINT = Webhook(
    id=A["webhook_id"],
    type="Transaction.Paid",
    payment_id="tu0123456789abcdef0123456789abcd",
    store_id="store-00000000-0000-4000-8000-000000000001",
)


def signed(body: bytes, *, secret: str = S1, **headers: str) -> dict[str, str]:
    """Return headers with PortOne's signature of ``body`` and of the given headers."""
    named = {**SIGNED, **{f"webhook-{name}": value for name, value in headers.items()}}
    content = f"{named['webhook-id']}.{named['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {**named, "webhook-signature": f"v1,{signature}"}


def fault(
    body: bytes, headers: dict[str, str], *, secrets: tuple[str, ...] = (S1,), now: datetime = NOW
) -> str:
    """Return the reason of the refusal, which must not repeat any content."""
    with pytest.raises(InvalidWebhook) as refusal:
        WebhookVerifier(secrets).verify(body, headers, now=now)
    assert str(refusal.value) == str(refusal.value.fault)
    return str(refusal.value)


def verify(
    body: bytes, headers: dict[str, str], *, secrets: tuple[str, ...] = (S1,), now: datetime = NOW
) -> Webhook:
    return WebhookVerifier(secrets).verify(body, headers, now=now)


@pytest.mark.parametrize("secret", ["S1", "S2"])
@pytest.mark.parametrize("name", CASES)
def test_known_signatures(name: str, secret: str) -> None:
    """Signatures by PortOne's SDK, the reference library and openssl."""
    case = CASES[name]
    body = case["body"].encode()
    assert hashlib.sha256(body).hexdigest() == case["body_sha256"]
    headers = {
        "webhook-id": case["webhook_id"],
        "webhook-timestamp": case["webhook_timestamp"],
        "webhook-signature": case["signatures"][secret],
    }
    at = datetime.fromtimestamp(int(case["webhook_timestamp"]), UTC)

    webhook = verify(body, headers, secrets=(WEBHOOKS["secrets"][secret],), now=at)

    document = json.loads(body)
    assert webhook.id == case["webhook_id"]
    assert webhook.type == document["type"]
    assert (webhook.payment_id, webhook.store_id) == (
        document["data"].get("paymentId"),
        document["data"].get("storeId"),
    )


def test_webhook_names_payment_and_store() -> None:
    assert verify(BODY, SIGNED) == HINT


def test_header_names_may_be_in_any_case() -> None:
    """Proxies in between may change it."""
    for spelled in (str.title, str.upper, str.capitalize):
        assert verify(BODY, {spelled(name): value for name, value in SIGNED.items()}) == HINT


@pytest.mark.parametrize("secrets", [(S1,), (S2,), (S1, S2), (S2, S1)])
@pytest.mark.parametrize("signatures", [("S1",), ("S2",), ("S1", "S2"), ("S2", "S1")])
def test_secret_can_be_replaced_without_a_gap(
    secrets: tuple[str, ...], signatures: tuple[str, ...]
) -> None:
    """While two are active, PortOne may sign with either or both."""
    headers = {
        **SIGNED,
        "webhook-signature": " ".join(A["signatures"][name] for name in signatures),
    }
    if {WEBHOOKS["secrets"][name] for name in signatures} & set(secrets):
        assert verify(BODY, headers, secrets=secrets) == HINT
    else:
        assert fault(BODY, headers, secrets=secrets) == WebhookFault.SIGNATURE_WRONG


@pytest.mark.parametrize(
    ("seconds", "accepted"),
    [(0, True), (300, True), (-300, True), (301, False), (-301, False), (10**9, False)],
)
def test_webhook_may_be_five_minutes_old(seconds: int, accepted: bool) -> None:
    """Or five minutes early, because clocks differ; a replayed one is refused."""
    at = NOW - timedelta(seconds=10 + seconds)
    if accepted:
        assert verify(BODY, SIGNED, now=at) == HINT
    else:
        assert fault(BODY, SIGNED, now=at) == WebhookFault.TIMESTAMP_TOO_FAR


@pytest.mark.parametrize(
    "timestamp",
    [
        "1767225600.0",
        "1e9",
        "+1767225600",
        " 1767225600",
        "-1",
        "now",
        "٣",
        "0x10",
        "1_767_225_600",
        "9" * 13,
    ],
)
def test_timestamp_is_whole_seconds(timestamp: str) -> None:
    """Even a correctly signed one."""
    assert fault(BODY, signed(BODY, timestamp=timestamp)) == WebhookFault.TIMESTAMP_MALFORMED


@pytest.mark.parametrize("name", SIGNED)
def test_every_header_is_required(name: str) -> None:
    """An empty header counts as missing."""
    others = {other: value for other, value in SIGNED.items() if other != name}
    assert fault(BODY, others) == fault(BODY, {**others, name: ""}) == WebhookFault.HEADER_MISSING


GOOD = A["signatures"]["S1"]


@pytest.mark.parametrize(
    "signature",
    [
        "v1",
        "v1,",
        ",",
        " ",
        GOOD.removeprefix("v1,"),
        GOOD.replace("v1,", "v1a,"),
        GOOD.replace("v1,", "v2,"),
        GOOD.replace("v1,", "V1,"),
        GOOD.replace("v1,", "v1,,"),
        GOOD.replace("v1,", "v1 "),
        GOOD + ",",
        GOOD + "=",
        GOOD.rstrip("="),
        GOOD[:-2] + "A=",
        GOOD + "\t",
        GOOD.lower(),
        GOOD.replace("v1,", "v1,é"),
        "v1,서명",
        "v1,\udcff",
        "v1,\x00",
        GOOD + "," + GOOD,
        A["signatures"]["S2"],
        "v1," + base64.b64encode(bytes(32)).decode(),
    ],
)
def test_other_signature_is_refused(signature: str) -> None:
    """It never causes a server error, whatever the header contains."""
    assert fault(BODY, {**SIGNED, "webhook-signature": signature}) == WebhookFault.SIGNATURE_WRONG


@pytest.mark.parametrize(
    "others",
    ["garbage {}", "{} garbage", "v1, {}", "{}  v1,x", " {} ", "v1,서명 {}", "v1a,x {} v2,y"],
)
def test_valid_signature_counts_among_others(others: str) -> None:
    """New schemes are added beside the old one, and malformed signatures are ignored."""
    assert verify(BODY, {**SIGNED, "webhook-signature": others.format(GOOD)}) == HINT


@pytest.mark.parametrize(
    "body",
    [
        BODY + b"\n",
        BODY[:-1],
        BODY.replace(b"Paid", b"paid"),
        json.dumps(json.loads(BODY)).encode(),
        b"\xef\xbb\xbf" + BODY,
        b"",
    ],
)
def test_signature_covers_the_raw_octets(body: bytes) -> None:
    """JSON that was parsed and written again is another body."""
    assert fault(body, SIGNED) == WebhookFault.SIGNATURE_WRONG


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_signature_covers_id_and_timestamp(name: str) -> None:
    """A copy under another id, or with a new time, is refused."""
    assert (
        fault(BODY, {**SIGNED, name: str(int(A["webhook_timestamp"]) + 1)})
        == WebhookFault.SIGNATURE_WRONG
    )


def test_non_ascii_id_is_refused() -> None:
    assert fault(BODY, {**SIGNED, "webhook-id": "\udcff"}) == WebhookFault.SIGNATURE_WRONG


def test_oversized_body_is_refused_before_anything_is_computed() -> None:
    """A body of the maximum size is read."""
    largest = BODY[:-1] + b" " * (BODY_OCTETS_MAX - len(BODY)) + b"}"
    assert verify(largest, signed(largest)) == HINT
    assert fault(largest + b" ", signed(largest + b" ")) == WebhookFault.BODY_TOO_LARGE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'["Transaction.Paid"]',
        b"null",
        b'"Transaction.Paid"',
        b"payment_id=a&tx_id=b&status=Paid",
        b'{"payment_id":"a","tx_id":"b","status":"Paid"}',
        b'{"type":null}',
        b'{"type":["Transaction.Paid"]}',
        b"\xef\xbb\xbf" + BODY,
        b'{"type":"\xff"}',
        b'{"type":"\\ud800"}',
        b"{" * 1_000,
        b"[" * 60_000,
        b'{"type":"a","data":' + b"9" * 5_000 + b"}",
        BODY + b"{}",
    ],
)
def test_signed_body_that_is_not_a_webhook_is_refused(body: bytes) -> None:
    """Among them the older version that the console offers, and text that breaks parsers."""
    assert fault(body, signed(body)) == WebhookFault.BODY_MALFORMED


@pytest.mark.parametrize(
    "data",
    [
        {},
        None,
        [],
        "text",
        {"paymentId": None, "storeId": 7},
        {"billingKey": "b"},
        {"paymentId": ["a"]},
    ],
)
def test_webhook_about_something_else_names_no_payment(data: object) -> None:
    """PortOne may add types and subjects."""
    body = json.dumps(
        {"type": "BillingKey.Issued", "timestamp": "…", "data": data, "more": 1}
    ).encode()
    assert verify(body, signed(body)) == Webhook(id=A["webhook_id"], type="BillingKey.Issued")


@pytest.mark.parametrize(
    "secrets",
    [
        (),
        (S1, S2, S1),
        ("",),
        ("whsec_",),
        ("whsec_====",),
        ("whsec_not base64!",),
        ("비밀",),
        (S1, ""),
        ("whsec_A",),
    ],
)
def test_verifier_rejects_invalid_secrets(secrets: tuple[str, ...]) -> None:
    """An empty secret would let anybody sign; the message does not contain the secret."""
    with pytest.raises(ValueError, match=r"webhook secret") as refusal:
        WebhookVerifier(secrets)
    assert S1.removeprefix("whsec_") not in str(refusal.value)


@pytest.mark.parametrize(
    "secret", [S1, S1.removeprefix("whsec_"), S1.rstrip("="), S1.removeprefix("whsec_").rstrip("=")]
)
def test_secret_format_of_the_console_is_accepted(secret: str) -> None:
    """With prefix and padding, or without what was lost in copying."""
    assert verify(BODY, SIGNED, secrets=(secret,)) == HINT


@given(
    st.binary(max_size=300),
    st.dictionaries(st.sampled_from([*SIGNED, "Webhook-Id"]), st.text(max_size=80)),
)
def test_unsigned_requests_are_refused(body: bytes, headers: dict[str, str]) -> None:
    """Any content in any form is refused without another error."""
    for sent in (headers, {**SIGNED, **headers}):
        if body != BODY:
            fault(body, sent)


@given(st.binary(min_size=1, max_size=32), st.text(max_size=50), st.integers(-300, 300))
def test_signed_request_in_time_is_accepted(key: bytes, word: str, seconds: int) -> None:
    secret = f"whsec_{base64.b64encode(key).decode()}"
    body = json.dumps({"type": word}).encode()
    headers = signed(body, secret=secret, timestamp=str(int(NOW.timestamp()) + seconds))
    assert verify(body, headers, secrets=(S2, secret)).type == word


class TestAgainstTheReferenceLibraries:
    """We accept and refuse what the reference libraries do; where they differ, the test says so."""

    def results(self, library: Any, body: bytes, headers: dict[str, str]) -> tuple[bool, bool]:
        """Return whether the library and we accept it, at the same moment."""
        try:
            library(body, headers)
            accepted_by_library = True
        except Exception:  # noqa: BLE001 - they raise whatever they like; that is one of the reasons for our own
            accepted_by_library = False
        try:
            verify(body, headers, now=datetime.now(UTC))
            accepted = True
        except InvalidWebhook:
            accepted = False
        return accepted_by_library, accepted

    def variants(self) -> dict[str, tuple[bytes, dict[str, str]]]:
        now = str(int(datetime.now(UTC).timestamp()))
        good = signed(BODY, timestamp=now)
        signature = good["webhook-signature"]
        others = {
            "another scheme": signature.replace("v1,", "v2,"),
            "none": "v1,",
            "two, the second good": f"{A['signatures']['S2']} {signature}",
            "another secret's": signed(BODY, secret=S2, timestamp=now)["webhook-signature"],
        }
        return {
            "good": (BODY, good),
            "pretty": (
                CASES["C"]["body"].encode(),
                signed(CASES["C"]["body"].encode(), timestamp=now),
            ),
            "altered": (BODY + b" ", good),
            "old": (BODY, signed(BODY, timestamp=str(int(now) - 400))),
            "early": (BODY, signed(BODY, timestamp=str(int(now) + 400))),
            "no id": (BODY, {name: value for name, value in good.items() if name != "webhook-id"}),
            "no JSON": (b"Paid", signed(b"Paid", timestamp=now)),
            **{
                name: (BODY, {**good, "webhook-signature": value}) for name, value in others.items()
            },
        }

    def test_standardwebhooks_agrees(self) -> None:
        standardwebhooks = import_module("standardwebhooks")
        reference = standardwebhooks.Webhook(S1)
        for name, (body, headers) in self.variants().items():
            accepted_by_library, accepted = self.results(reference.verify, body, headers)
            assert (
                accepted_by_library
                == accepted
                == (name in {"good", "pretty", "two, the second good"})
            ), name
        at = datetime.now(UTC).replace(microsecond=0)
        assert (
            reference.sign("id-1", at, BODY.decode())
            == signed(BODY, id="id-1", timestamp=str(int(at.timestamp())))["webhook-signature"]
        )

    def test_portones_sdk_agrees(self) -> None:
        sdk = import_module("portone_server_sdk.webhook")
        for name, (body, headers) in self.variants().items():
            accepted_by_library, accepted = self.results(
                lambda b, h: sdk.verify(S1, b.decode(), h), body, headers
            )
            assert (
                accepted_by_library
                == accepted
                == (name in {"good", "pretty", "two, the second good"})
            ), name
