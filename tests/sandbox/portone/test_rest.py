"""Payments and cancellations of the stand-in, used with the product's client."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
import requests

from sandbox.portone.merchant import STORE_ID
from sandbox.portone.payments import CANCELLATIONS_MAX, MOVES
from sandbox.portone.rest import API_SECRET, BODY_OCTETS_MAX, DEFAULT_STORE_ID, now
from tests.sandbox.portone.harness import AUTHORIZED, ID, KEY, WAYS, Shop, play, walk
from tests.support.deadlines import DEADLINE_S
from trading.payments.decide import PaymentState, decide
from trading.payments.model import PaymentStatus
from trading.payments.payment_terms import PaymentTerms
from trading.payments.portone.errors import PortoneApiError
from trading.payments.portone_payment import CancellationStatus, PortoneStatus

TERMS = PaymentTerms(
    payment_id=ID,
    store_id=STORE_ID,
    channel_keys=frozenset({"channel-key-00000000-0000-4000-8000-000000000001"}),
    amount=10_000,
    expires_at=datetime(2099, 1, 1, tzinfo=UTC),
    test_channel_allowed=True,
)


@pytest.mark.parametrize("status", WAYS)
def test_each_status_can_be_reached_and_parsed(status: str) -> None:
    def scene(shop: Shop) -> None:
        walk(shop, *WAYS[status])
        report = shop.payment_state()
        assert report.status is PortoneStatus(status)
        assert (report.payment_id, report.total, report.tax_free) == (ID, 10_000, 0)
        assert report.cancelled == sum(c.amount for c in report.succeeded_cancellations)

    play(scene)


def test_portone_sdk_parses_every_status() -> None:
    """The SDK rejects undocumented answers, so the answers conform to PortOne's documents."""
    sdk = import_module("portone_server_sdk.payment")

    def scene(shop: Shop) -> None:
        theirs = sdk.PaymentClient(secret=API_SECRET, base_url=shop.url, store_id=STORE_ID)
        with theirs._sync_client:  # It has no method that closes its connections.
            for number, (status, way) in enumerate(WAYS.items()):
                payment_id = f"{number:032x}"
                walk(shop, *way, payment_id=payment_id)
                payment = theirs.get_payment(payment_id=payment_id)
                assert (
                    type(payment).__name__.removesuffix("Payment").lower()
                    == status.replace("_", "").lower()
                )
                assert (payment.id, payment.amount.total) == (payment_id, 10_000)
                if status == "PAID":
                    assert (
                        theirs.cancel_payment(
                            payment_id=payment_id, reason="r", amount=1
                        ).cancellation.total_amount
                        == 1
                    )

    play(scene)


@pytest.mark.parametrize(
    ("moves", "status", "credit", "returned"),
    [
        ((), "PENDING", 0, 0),
        (("pay",), "CREDITED", 10_000, 0),
        (("fail",), "PENDING", 0, 0),
        (("fail", "approve-late"), "CREDITED", 10_000, 0),
        (("pend", "approve"), "CREDITED", 10_000, 0),
        (("issue-account",), "PENDING", 0, 0),
        (("issue-account", "deposit"), "CREDITED", 10_000, 0),
        (("pay", "console-cancel 3000"), "PARTIALLY_CANCELLED", 10_000, 3_000),
        (("pay", "console-cancel 3000", "chargeback"), "CANCELLED", 10_000, 10_000),
    ],
)
def test_payment_leads_to_the_right_decision(
    moves: tuple[str, ...], status: str, credit: int, returned: int
) -> None:
    """From the payer's action to the product's decision, over a real connection."""

    def scene(shop: Shop) -> None:
        walk(shop, *moves)
        decision = decide(PaymentState(terms=TERMS), shop.payment_state(), now=now())
        assert str(decision.payment.status) == status
        assert (decision.credit, sum(c.amount for c in decision.reversals)) == (credit, returned)
        assert not decision.alert

    play(scene)


def test_payment_does_not_exist_before_the_window_opens() -> None:
    """Even if it is pre-registered. Other stores and secrets do not find it either."""

    def scene(shop: Shop) -> None:
        assert shop.client.get_payment(ID) is None
        shop.client.pre_register(ID, amount=10_000)
        assert shop.client.get_payment(ID) is None
        walk(shop, "pay")
        for query in ("", f"?storeId={DEFAULT_STORE_ID}"):
            absent = shop.call("GET", f"/payments/{ID}{query}")
            assert (absent.status_code, absent.json()["type"]) == (404, "PAYMENT_NOT_FOUND")
        for secret in ("PortOne other", f"Bearer {API_SECRET}", API_SECRET):
            assert (
                shop.call(
                    "GET", f"/payments/{ID}?storeId={STORE_ID}", Authorization=secret
                ).status_code
                == 401
            )

    play(scene)


def test_window_must_open_with_the_pre_registered_amount() -> None:
    """A paid payment cannot be pre-registered or started again; a failed one can."""

    def scene(shop: Shop) -> None:
        shop.client.pre_register(ID, amount=10_000)
        assert (
            shop.post_control("open", {"amount": 1}).json()["type"] == "AmountNotEqualToPredefined"
        )
        assert (
            shop.post_control("open", {"amount": 10_000, "currency": "USD"}).json()["type"]
            == "AmountNotEqualToPredefined"
        )
        walk(shop, "fail")
        first = shop.payment_state().transaction_id
        walk(shop, "pay")
        assert shop.payment_state().transaction_id != first
        assert shop.post_control("open", {"amount": 10_000}).json()["type"] == "PaymentAlreadyPaid"
        with pytest.raises(PortoneApiError, match="409 ALREADY_PAID"):
            shop.client.pre_register(ID, amount=10_000)

    play(scene)


def test_refunds_are_limited_to_the_paid_amount() -> None:
    """In two parts, then the rest; not more than is left, not with a wrong expected rest, and not
    before payment.
    """

    def scene(shop: Shop) -> None:
        walk(shop)
        with pytest.raises(PortoneApiError, match="409 PAYMENT_NOT_PAID"):
            shop.cancel(1, of=1, key="0")
        shop.move("pay")
        assert shop.cancel(3_000, of=10_000, key="1") is CancellationStatus.SUCCEEDED
        with pytest.raises(PortoneApiError, match="409 CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN"):
            shop.cancel(3_000, of=10_000, key="2")
        assert shop.cancel(3_000, of=7_000, key="3") is CancellationStatus.SUCCEEDED
        over = {"storeId": STORE_ID, "reason": "r", "amount": 4_001}
        refused = shop.call("POST", f"/payments/{ID}/cancel", over)
        assert (refused.status_code, refused.json()["type"]) == (
            409,
            "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT",
        )
        assert shop.cancel(4_000, of=4_000, key="4") is CancellationStatus.SUCCEEDED
        with pytest.raises(PortoneApiError, match="409 PAYMENT_ALREADY_CANCELLED"):
            shop.cancel(1, of=1, key="5")
        report = shop.payment_state()
        assert (report.status, report.cancelled) == (PortoneStatus.CANCELLED, 10_000)
        assert [c.amount for c in report.succeeded_cancellations] == [3_000, 3_000, 4_000]

    play(scene)


def test_idempotency_key_makes_one_cancellation_for_three_hours() -> None:
    """A repetition gets the same answer, another body an error. After three hours the key is
    forgotten.
    """
    at = [datetime(2026, 1, 1, tzinfo=UTC)]

    def scene(shop: Shop) -> None:
        walk(shop, "pay")
        body = {"storeId": STORE_ID, "reason": "r", "amount": 1_000}
        path, key = f"/payments/{ID}/cancel", {"Idempotency-Key": f'"{KEY}"'}
        first, again = shop.call("POST", path, body, **key), shop.call("POST", path, body, **key)
        assert (first.status_code, first.content) == (again.status_code, again.content)
        assert shop.call("POST", path, {**body, "amount": 2_000}, **key).status_code == 422
        assert shop.payment_state().cancelled == 1_000
        at[0] += timedelta(hours=3, seconds=1)
        assert shop.call("POST", path, body, **key).status_code == 200
        assert shop.payment_state().cancelled == 2_000
        for bad in ('"short"', '"' + "k" * 257 + '"', "with a space in it"):
            assert shop.call("POST", path, body, **{"Idempotency-Key": bad}).status_code == 400

    play(scene, clock=lambda: at[0])


@pytest.mark.parametrize(
    ("word", "status"), [("approve", "PARTIALLY_CANCELLED"), ("reject", "CREDITED")]
)
def test_slow_cancellation_is_decided_by_the_gateway(word: str, status: str) -> None:
    """Before that it is only requested, and nothing is recorded."""

    def scene(shop: Shop) -> None:
        shop.move("open", amount=10_000, slow_cancellations=True)
        shop.move("pay")
        assert shop.cancel(3_000, of=10_000, key="1") is CancellationStatus.REQUESTED
        credited = decide(PaymentState(terms=TERMS), shop.payment_state(), now=now())
        assert (credited.payment.status, credited.reversals) == (PaymentStatus.CREDITED, ())
        shop.move(f"{word}-cancellation")
        settled = decide(credited.payment, shop.payment_state(), now=now())
        assert (str(settled.payment.status), settled.alert) == (status, False)

    play(scene)


def test_virtual_account_is_closed_once_and_refunds_need_a_refund_account() -> None:
    def scene(shop: Shop) -> None:
        walk(shop, "issue-account")
        shop.client.close_virtual_account(ID)
        assert shop.payment_state().status is PortoneStatus.FAILED
        with pytest.raises(PortoneApiError, match="409 PAYMENT_NOT_WAITING_FOR_DEPOSIT"):
            shop.client.close_virtual_account(ID)
        walk(shop, "issue-account", "deposit")
        with pytest.raises(PortoneApiError, match="400 INVALID_REQUEST"):
            shop.cancel(1_000, of=10_000, key="1")

    play(scene)


def test_partial_cancellations_are_limited_in_number() -> None:
    """As by some payment gateways."""

    def scene(shop: Shop) -> None:
        walk(shop, "pay", *["console-cancel 1"] * CANCELLATIONS_MAX)
        with pytest.raises(PortoneApiError, match="409 MAX_CANCEL_COUNT_REACHED"):
            shop.cancel(1, of=10_000 - CANCELLATIONS_MAX, key="1")
        assert shop.payment_state().cancelled == CANCELLATIONS_MAX

    play(scene)


def test_undefined_transitions_are_rejected() -> None:
    """From every status, and the payment does not change."""

    def scene(shop: Shop) -> None:
        names = {name for _, name in MOVES}
        for status, way in WAYS.items():
            if status in {"PAID", "PARTIAL_CANCELLED"}:
                continue  # These end the payment; CANCELLED is the last status.
            walk(shop, *way)
            for name in names - {name for before, name in MOVES if before == status}:
                assert shop.post_control(name, {}).status_code == 409
            assert shop.payment_state().status is PortoneStatus(status)
            for end in {
                "PAY_PENDING": ("reject",),
                "VIRTUAL_ACCOUNT_ISSUED": ("close-account",),
            }.get(status, ()):
                shop.move(end)

    play(scene)


def test_invalid_and_unsupported_requests_are_rejected() -> None:
    def scene(shop: Shop) -> None:
        walk(shop, "pay")
        path = f"/payments/{ID}"
        for body in (
            None,
            [],
            {},
            {"reason": ""},
            {"reason": 1},
            *({"reason": "r", "amount": a} for a in (0, -1, 1.0, True, "1")),
        ):
            sent = {"storeId": STORE_ID, **body} if isinstance(body, dict) else body
            assert shop.call("POST", f"{path}/cancel", sent).json()["type"] == "INVALID_REQUEST"
        for body in (
            {},
            {"amount": 0},
            {"amount": "1"},
            {"amount": 1, "more": 1},
            {"amount": 1, "currency": 1},
            [],
        ):
            assert shop.post_control("open", body).status_code == 400
        assert shop.post_control("open", {"amount": 1}, kind="text/plain").status_code == 415
        assert shop.call("POST", f"{path}/cancel", "x" * BODY_OCTETS_MAX).status_code == 413
        assert shop.post_control("approve-cancellation", {}).status_code == 409
        pinned = {"storeId": STORE_ID, "totalAmount": 1, "currency": "WON!"}
        assert shop.call("POST", f"{path}/pre-register", pinned).status_code == 400
        assert (
            requests.post(
                f"{shop.url}{path}/cancel", data=b"{", headers=AUTHORIZED, timeout=DEADLINE_S
            ).status_code
            == 400
        )
        for method, other in (
            ("GET", "/payment-events"),
            ("POST", f"{path}/capture"),
            ("DELETE", path),
        ):
            assert shop.call(method, other).status_code == 501

    play(scene)
