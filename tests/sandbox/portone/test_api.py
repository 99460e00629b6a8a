"""The parts of the API besides looking, pinning and cancelling; told by PortOne's own client, which refuses what its documents do not describe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest

from sandbox.portone.merchant import API_SECRET, DEFAULT_STORE_ID, STORE_ID
from sandbox.portone.server_state import Mail
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
    with theirs._sync_client:  # It has no way of its own to close its connections.
        yield theirs


@pytest.mark.parametrize("status", WAYS)
def test_a_payment_has_the_members_of_the_golden_one(status: str) -> None:
    """Of each status: all that are always there, and of the same kinds."""
    golden = payment(status)

    def scene(shop: Shop) -> None:
        walk(shop, *WAYS[status])
        told = shop.call("GET", f"/payments/{ID}?storeId={STORE_ID}").json()
        assert set(golden) - set(told) <= {"customData", "customer", "cashReceipt"}
        for name in set(golden) & set(told):
            assert type(told[name]) is type(golden[name]), name
        assert set(told["amount"]) == set(golden["amount"])
        assert set(told["channel"]) == set(golden["channel"])

    play(scene)


def test_pages_of_payments_are_found_by_a_filter() -> None:
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


def test_a_stores_payments_are_read_one_after_the_other() -> None:
    """Each once, whatever the size of the bites; and none for a secret whose own store is another."""

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
def test_searches_that_are_none_are_refused(asked: str) -> None:
    def scene(shop: Shop) -> None:
        assert (
            shop.call("GET", f"/payments?requestBody={asked}").json()["type"] == "INVALID_REQUEST"
        )

    play(scene)


def test_a_manual_channel_takes_money_when_the_shop_confirms_what_it_knows() -> None:
    def scene(shop: Shop) -> None:
        window = shop.begin(channelKey=MANUAL)["checkoutUrl"]
        token = press(window, "pay")["result"]["paymentToken"]
        assert shop.look().status == "READY"
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
        assert shop.look().status == "PAID"

    play(scene)


def test_a_token_is_as_good_as_the_secret_for_half_an_hour() -> None:
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


def test_an_account_closes_by_itself() -> None:
    def scene(shop: Shop) -> None:
        walk(shop, "issue-account")
        shop.say("clock/advance", {"seconds": 3 * 24 * 3_600})
        assert shop.look().status == "FAILED"
        assert shop.desk("deposit", {}).status_code == 409

    play(scene)


def refuses(kind: str) -> Callable[[Shop, dict[str, object]], None]:
    def check(shop: Shop, body: dict[str, object]) -> None:
        answer = shop.call(
            "POST", f"/payments/{ID}/cancel", {"storeId": STORE_ID, "reason": "r", **body}
        )
        assert answer.json()["type"] == kind

    return check


def test_the_parts_of_a_refund_have_to_fit() -> None:
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
        shop.say("faults", {"cancellations_max": 1}, method="PUT")
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


def test_a_dispute_is_open_until_it_is_settled() -> None:
    def scene(shop: Shop) -> None:
        walk(shop, "pay")
        assert shop.desk("dispute-resolve", {}).status_code == 409
        shop.move("dispute-open")
        assert shop.look().is_disputed
        with official(shop) as theirs:
            assert theirs.get_payment(payment_id=ID).disputes[0].status == "UNRESOLVED"
        shop.move("dispute-resolve")
        assert not shop.look().is_disputed

    play(scene)


def test_portones_own_client_reads_every_other_answer() -> None:
    """Announcing and closing, signing in, and the log of the webhooks in a payment."""
    auth = import_module("portone_server_sdk.auth")

    def scene(shop: Shop) -> None:
        shop.say("faults", {"webhooks": {"mailing": "hold"}}, method="PUT")
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
            shop.say("webhooks/flush")
            told = theirs.get_payment(payment_id=ID).webhooks
            words = [(one.status, one.payment_status, one.max_execution_count) for one in told]
            statuses = ("READY", "VIRTUAL_ACCOUNT_ISSUED", "READY", "PAID")
            assert words == [("FAILED_UNEXPECTED_ERROR", status, 6) for status in statuses]
        client = auth.AuthClient(secret=API_SECRET, base_url=shop.url)
        with client._sync_client:
            assert client.login_via_api_secret(api_secret=API_SECRET).access_token

    play(scene, mail=Mail(url="http://127.0.0.1:1/", scale=1))
