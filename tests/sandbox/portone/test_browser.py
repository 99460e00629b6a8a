"""The browser's side of the stand-in over HTTP: what the SDK asks for, and what the window's buttons do."""

from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from sandbox.portone.browser import DEEDS, REQUEST_PAYMENT
from sandbox.portone.merchant import STORE_ID
from tests.sandbox.portone.harness import ID, ORIGIN, REQUEST, Shop, play, press
from tests.support.deadlines import DEADLINE_S


def opened(shop: Shop, **changed: object) -> str:
    """The address of the window of a payment that was begun."""
    return str(shop.begin(**changed)["checkoutUrl"])


AFTER = {
    "pay": ("PAID", None),
    "fail": ("FAILED", "CARD_REJECTED"),
    "close": ("FAILED", "PAY_PROCESS_CANCELED"),
    "issue-account": ("VIRTUAL_ACCOUNT_ISSUED", None),
    "pend": ("PAY_PENDING", None),
    "close-and-approve-late": ("PAID", "PAY_PROCESS_CANCELED"),
}


@pytest.mark.parametrize("deed", AFTER)
def test_each_button_does_what_it_says_and_tells_the_page(deed: str) -> None:
    def scene(shop: Shop) -> None:
        window = opened(shop)
        told = press(window, deed)
        status, code = AFTER[deed]
        assert shop.look().status == status
        assert (told["origin"], told["redirect"]) == (ORIGIN, None)
        assert told["result"]["paymentId"] == ID
        assert told["result"].get("pgCode") == code
        assert ("code" in told["result"]) == (code is not None)

    play(scene)


def test_a_browser_that_dies_tells_nothing_of_what_was_paid() -> None:
    def scene(shop: Shop) -> None:
        assert set(DEEDS) == {*AFTER, "pay-and-die"}
        assert press(opened(shop), "pay-and-die") == {"result": None}
        assert shop.look().status == "PAID"

    play(scene)


def test_the_page_is_left_and_come_back_to_where_it_asks_for_it() -> None:
    """With the result in the query, behind what stands there."""

    def scene(shop: Shop) -> None:
        window = opened(shop, redirectUrl=f"{ORIGIN}/back?a=1", forceRedirect=True)
        redirect = urlsplit(press(window, "fail")["redirect"])
        query = dict(parse_qsl(redirect.query))
        assert f"{redirect.scheme}://{redirect.netloc}{redirect.path}" == f"{ORIGIN}/back"
        assert (query["a"], query["paymentId"], query["code"]) == ("1", ID, "FAILURE_TYPE_PG")

    play(scene)


def test_webhooks_may_wait_and_amounts_may_be_forged() -> None:
    def scene(shop: Shop) -> None:
        press(opened(shop, customData={"a": "가"}), "pay", webhook="hold", amount=10_001)
        told = shop.look()
        assert told.total == 10_001
        assert (
            shop.call("GET", f"/payments/{ID}?storeId={STORE_ID}").json()["customData"]
            == '{"a": "가"}'
        )

    play(scene)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"storeId": "store-x"}, "StoreNotFound"),
        ({"channelKey": "channel-x"}, "ChannelNotFound"),
        ({"totalAmount": 9_999}, "AmountNotEqualToPredefined"),
        ({"currency": "USD"}, "AmountNotEqualToPredefined"),
        ({"totalAmount": "10000"}, "RequestParseFailed"),
        ({"totalAmount": True}, "RequestParseFailed"),
        ({"payMethod": "CASH"}, "RequestParseFailed"),
        ({"orderName": ""}, "RequestParseFailed"),
        ({"paymentId": None}, "RequestParseFailed"),
        ({"redirectUrl": "javascript:alert(1)"}, "RequestParseFailed"),
        ({"noticeUrls": "http://127.0.0.1"}, "RequestParseFailed"),
    ],
)
def test_what_is_wrong_is_refused_before_a_window_opens(
    changed: dict[str, object], code: str
) -> None:
    """In the way that the desk chose, as PortOne's documents do not say in which."""

    def scene(shop: Shop) -> None:
        shop.client.pre_register(ID, amount=10_000)
        refused = shop.begin(**changed)
        assert (refused["refusal"]["code"], refused["rejects"]) == (code, True)
        shop.say("faults", {"browser_refusals": "resolve"}, method="PUT")
        assert shop.begin(**changed)["rejects"] is False
        assert shop.client.get_payment(ID) is None

    play(scene)


def test_what_was_paid_is_not_paid_again() -> None:
    def scene(shop: Shop) -> None:
        window = opened(shop)
        press(window, "pay")
        assert shop.begin()["refusal"]["code"] == "PaymentAlreadyPaid"
        again = requests.post(f"{window}/pay", json={}, timeout=DEADLINE_S)
        assert again.status_code == 409

    play(scene)


def test_only_pages_of_this_machine_are_served() -> None:
    """No site that a developer looks at may open windows here, or frame one."""

    def scene(shop: Shop) -> None:
        for origin in ("https://evil.example", "null", "http://[", ""):
            for method in ("POST", "OPTIONS"):
                answer = requests.request(
                    method,
                    f"{shop.url}{REQUEST_PAYMENT}",
                    json=REQUEST,
                    headers={"Origin": origin},
                    timeout=DEADLINE_S,
                )
                assert answer.status_code == 403
                assert "Access-Control-Allow-Origin" not in answer.headers
        allowed = requests.options(
            f"{shop.url}{REQUEST_PAYMENT}", headers={"Origin": ORIGIN}, timeout=DEADLINE_S
        )
        assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
        window = opened(shop)
        assert (
            "frame-ancestors http://127.0.0.1:*"
            in requests.get(window, timeout=DEADLINE_S).headers["Content-Security-Policy"]
        )
        for path, status in (("/order", 200), ("x/order", 404)):
            assert requests.get(window + path, timeout=DEADLINE_S).status_code == status
        for deed, members, status in (
            ("rob", {}, 400),
            ("pay", {"webhook": "x"}, 400),
            ("pay", {"amount": 0}, 400),
        ):
            assert (
                requests.post(f"{window}/{deed}", json=members, timeout=DEADLINE_S).status_code
                == status
            )
        assert requests.post(f"{window}/pay", data="{}", timeout=DEADLINE_S).status_code == 415

    play(scene)


def test_every_answer_says_that_it_is_the_stand_ins() -> None:
    def scene(shop: Shop) -> None:
        window = opened(shop)
        for url in (
            window,
            f"{shop.url}/v2/browser-sdk.js",
            f"{shop.url}/nowhere",
            f"{shop.url}/payments/x",
        ):
            assert requests.get(url, timeout=DEADLINE_S).headers["X-PortOne-Stand-In"] == "1"

    play(scene)
