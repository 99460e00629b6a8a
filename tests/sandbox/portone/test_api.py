"""API endpoints besides query, pre-registration and cancellation, used with PortOne's SDK.

The SDK rejects undocumented answers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest

from sandbox.portone.merchant import API_SECRET, DEFAULT_STORE_ID, STORE_ID
from sandbox.portone.server_state import WebhookSettings
from tests.fixtures.portone import payment
from tests.sandbox.portone.harness import ID, WAYS, Shop, play, press, walk

MANUAL = "channel-key-00000000-0000-4000-8000-000000000004"
TEST = "channel-key-00000000-0000-4000-8000-000000000002"
sdk = import_module("portone_server_sdk.payment")
common = import_module("portone_server_sdk.common")
errors = import_module("portone_server_sdk.errors")


@contextmanager
def official(shop: Shop, *, store_id: str = STORE_ID, secret: str = API_SECRET) -> Iterator[Any]:
    theirs = sdk.PaymentClient(secret=secret, base_url=shop.url, store_id=store_id)
    with theirs._sync_client:  # It has no method that closes its connections.
        yield theirs


@pytest.mark.parametrize("status", WAYS)
def test_payment_has_the_documented_members(status: str) -> None:
    """In each status: all required members, with the documented types."""
    golden = payment(status)

    def scene(shop: Shop) -> None:
        walk(shop, *WAYS[status])
        reported = shop.call("GET", f"/payments/{ID}?storeId={STORE_ID}").json()
        assert set(golden) - set(reported) <= {"customData", "customer", "cashReceipt"}
        for name in set(golden) & set(reported):
            assert type(reported[name]) is type(golden[name]), name
        assert set(reported["amount"]) == set(golden["amount"])
        assert set(reported["channel"]) == set(golden["channel"])

    play(scene)


def test_filter_returns_pages_of_payments() -> None:
    def scene(shop: Shop) -> None:
        for number, way in enumerate(WAYS.values()):
            walk(shop, *way, payment_id=f"{number:032x}")
        shop.move("open", payment_id="t" * 32, amount=1, channel_key=TEST)
        with official(shop) as theirs:
            everything = theirs.get_payments()
            assert (everything.page.total_count, everything.page.size) == (len(WAYS) + 1, 10)
            assert everything.items[0].id == "t" * 32
            second = theirs.get_payments(page=common.PageInput(number=1, size=3))
            assert [p.id for p in second.items] == [p.id for p in everything.items[3:6]]
            pending = theirs.get_payments(filter=sdk.PaymentFilterInput(status=["PENDING"]))
            assert [type(p).__name__ for p in pending.items] == ["PayPendingPayment"]
            tests = theirs.get_payments(filter=sdk.PaymentFilterInput(is_test=True))
            assert [p.id for p in tests.items] == ["t" * 32]
            elsewhere = theirs.get_payments(
                filter=sdk.PaymentFilterInput(store_id=DEFAULT_STORE_ID)
            )
            assert elsewhere.items == []
            tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
            assert (
                theirs.get_payments(
                    filter=sdk.PaymentFilterInput(from_=tomorrow, until=tomorrow)
                ).items
                == []
            )
            with pytest.raises(errors.InvalidRequestError):
                theirs.get_payments(page=common.PageInput(number=60_000, size=10))

    play(scene)


def test_cursor_returns_every_payment_of_a_store_once() -> None:
    """With any page size; and none for a secret of another store."""

    def scene(shop: Shop) -> None:
        for number in range(5):
            walk(shop, payment_id=f"{number:032x}")
        with official(shop) as theirs:
            found, cursor = [], None
            while items := theirs.get_all_payments_by_cursor(cursor=cursor, size=2).items:
                found += [item.payment.id for item in items]
                cursor = items[-1].cursor
            assert found == [f"{number:032x}" for number in range(5)]
            with pytest.raises(errors.InvalidRequestError):
                theirs.get_all_payments_by_cursor(cursor="none")
        assert shop.call("GET", "/payments-by-cursor").json() == {"items": []}

    play(scene)


@pytest.mark.parametrize(
    "asked",
    [
        "[]",
        "x",
        '{"page":1}',
        '{"page":{"size":0}}',
        '{"filter":{"status":"PAID"}}',
        '{"filter":{"from":"x"}}',
    ],
)
def test_invalid_searches_are_rejected(asked: str) -> None:
    def scene(shop: Shop) -> None:
        assert (
            shop.call("GET", f"/payments?requestBody={asked}").json()["type"] == "INVALID_REQUEST"
        )

    play(scene)


def test_manual_channel_is_paid_when_the_claims_of_the_shop_match() -> None:
    def scene(shop: Shop) -> None:
        window = shop.begin(channelKey=MANUAL)["checkoutUrl"]
        token = press(window, "pay")["result"]["paymentToken"]
        assert shop.payment_state().status == "READY"
        with official(shop) as theirs:
            for wrong in (
                {"currency": "USD"},
                {"total_amount": 1},
                {"is_test": True},
                {"tx_id": "x"},
            ):
                with pytest.raises(errors.InformationMismatchError):
                    theirs.confirm_payment(payment_id=ID, payment_token=token, **wrong)
            with pytest.raises(errors.InvalidPaymentTokenError):
                theirs.confirm_payment(payment_id=ID, payment_token="x")
            known = {"currency": "KRW", "total_amount": 10_000, "is_test": False}
            assert theirs.confirm_payment(payment_id=ID, payment_token=token, **known).paid_at
            with pytest.raises(errors.AlreadyPaidError):
                theirs.confirm_payment(payment_id=ID, payment_token=token)
        assert shop.payment_state().status == "PAID"

    play(scene)


def test_token_is_valid_for_half_an_hour() -> None:
    at = [datetime(2026, 1, 1, tzinfo=UTC)]

    def scene(shop: Shop) -> None:
        walk(shop)
        path = f"/payments/{ID}?storeId={STORE_ID}"
        wrong = shop.call("POST", "/login/api-secret", {"apiSecret": "x"}, Authorization="")
        assert (wrong.status_code, wrong.json()["type"]) == (401, "UNAUTHORIZED")
        login = shop.call(
            "POST", "/login/api-secret", {"apiSecret": API_SECRET}, Authorization=""
        ).json()
        bearer = {"Authorization": f"Bearer {login['accessToken']}"}
        assert shop.call("GET", path, **bearer).status_code == 200
        at[0] += timedelta(minutes=30)
        assert shop.call("GET", path, **bearer).status_code == 401

    play(scene, clock=lambda: at[0])


def test_virtual_account_expires() -> None:
    def scene(shop: Shop) -> None:
        walk(shop, "issue-account")
        shop.control("clock/advance", {"seconds": 3 * 24 * 3_600})
        assert shop.payment_state().status == "FAILED"
        assert shop.post_control("deposit", {}).status_code == 409

    play(scene)


def refuses(kind: str) -> Callable[[Shop, dict[str, object]], None]:
    def check(shop: Shop, body: dict[str, object]) -> None:
        answer = shop.call(
            "POST", f"/payments/{ID}/cancel", {"storeId": STORE_ID, "reason": "r", **body}
        )
        assert answer.json()["type"] == kind

    return check


def test_amounts_of_a_refund_must_be_consistent() -> None:
    def scene(shop: Shop) -> None:
        walk(shop, "issue-account", "deposit")
        account = {"bank": "KOOKMIN", "number": "1", "holderName": "홍길동"}
        refuses("INVALID_REQUEST")(shop, {"amount": 100})
        refuses("INVALID_REQUEST")(shop, {"amount": 100, "refundAccount": {**account, "number": 1}})
        refuses("INVALID_REQUEST")(shop, {"amount": 100, "refundAccount": "1"})
        refuses("SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT")(
            shop, {"amount": 100, "taxFreeAmount": 60, "vatAmount": 41}
        )
        refuses("CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT")(
            shop, {"amount": 9, "taxFreeAmount": 1}
        )
        shop.control("faults", {"cancellations_max": 1}, method="PUT")
        body = {
            "storeId": STORE_ID,
            "reason": "r",
            "amount": 100,
            "refundAccount": account,
            "skipWebhook": True,
        }
        assert shop.call("POST", f"/payments/{ID}/cancel", body).status_code == 200
        refuses("MAX_CANCEL_COUNT_REACHED")(shop, {"amount": 100, "refundAccount": account})

    play(scene)


def test_dispute_is_open_until_it_is_resolved() -> None:
    def scene(shop: Shop) -> None:
        walk(shop, "pay")
        assert shop.post_control("dispute-resolve", {}).status_code == 409
        shop.move("dispute-open")
        assert shop.payment_state().is_disputed
        with official(shop) as theirs:
            assert theirs.get_payment(payment_id=ID).disputes[0].status == "UNRESOLVED"
        shop.move("dispute-resolve")
        assert not shop.payment_state().is_disputed

    play(scene)


def test_portone_sdk_parses_all_other_answers() -> None:
    """Pre-registration, account closing, login, and a payment's webhook log."""
    auth = import_module("portone_server_sdk.auth")

    def scene(shop: Shop) -> None:
        shop.control("faults", {"webhooks": {"mailing": "hold"}}, method="PUT")
        with official(shop) as theirs:
            theirs.pre_register_payment(payment_id=ID, total_amount=10_000, currency="KRW")
            walk(shop, "issue-account")
            assert theirs.get_payment(payment_id=ID).method.bank == "KOOKMIN"
            assert theirs.close_virtual_account(payment_id=ID).closed_at
            with pytest.raises(errors.PaymentNotWaitingForDepositError):
                theirs.close_virtual_account(payment_id=ID)
            walk(shop, "pay")
            with pytest.raises(errors.AlreadyPaidError):
                theirs.pre_register_payment(payment_id=ID, total_amount=10_000)
            shop.control("webhooks/flush")
            webhooks = theirs.get_payment(payment_id=ID).webhooks
            words = [(one.status, one.payment_status, one.max_execution_count) for one in webhooks]
            statuses = ("READY", "VIRTUAL_ACCOUNT_ISSUED", "READY", "PAID")
            assert words == [("FAILED_UNEXPECTED_ERROR", status, 6) for status in statuses]
        client = auth.AuthClient(secret=API_SECRET, base_url=shop.url)
        with client._sync_client:
            assert client.login_via_api_secret(api_secret=API_SECRET).access_token

    play(scene, mail=WebhookSettings(url="http://127.0.0.1:1/", scale=1))
