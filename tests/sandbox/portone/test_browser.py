"""The browser side over HTTP: requests of the SDK and buttons of the window."""

from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from sandbox.portone.browser import REQUEST_PAYMENT, WINDOW_ACTIONS
from sandbox.portone.merchant import STORE_ID
from tests.sandbox.portone.harness import ID, ORIGIN, REQUEST, Shop, play, press
from tests.support.deadlines import DEADLINE_S


def opened(shop: Shop, **changed: object) -> str:
    """Start a payment and return the address of its window."""
    return str(shop.begin(**changed)["checkoutUrl"])


AFTER = {
    "pay": ("PAID", None),
    "fail": ("FAILED", "CARD_REJECTED"),
    "close": ("FAILED", "PAY_PROCESS_CANCELED"),
    "issue-account": ("VIRTUAL_ACCOUNT_ISSUED", None),
    "pend": ("PAY_PENDING", None),
    "close-and-approve-late": ("PAID", "PAY_PROCESS_CANCELED"),
}


@pytest.mark.parametrize("action", AFTER)
def test_each_button_has_its_effect_and_result(action: str) -> None:
    def scene(shop: Shop) -> None:
        window = opened(shop)
        reply = press(window, action)
        status, code = AFTER[action]
        assert shop.payment_state().status == status
        assert (reply["origin"], reply["redirect"]) == (ORIGIN, None)
        assert reply["result"]["paymentId"] == ID
        assert reply["result"].get("pgCode") == code
        assert ("code" in reply["result"]) == (code is not None)

    play(scene)


def test_crashed_browser_reports_no_result() -> None:
    def scene(shop: Shop) -> None:
        assert set(WINDOW_ACTIONS) == {*AFTER, "pay-and-die"}
        assert press(opened(shop), "pay-and-die") == {"result": None}
        assert shop.payment_state().status == "PAID"

    play(scene)


def test_result_is_sent_by_redirect_if_requested() -> None:
    """The result is appended to the redirect URL's query."""

    def scene(shop: Shop) -> None:
        window = opened(shop, redirectUrl=f"{ORIGIN}/back?a=1", forceRedirect=True)
        redirect = urlsplit(press(window, "fail")["redirect"])
        query = dict(parse_qsl(redirect.query))
        assert f"{redirect.scheme}://{redirect.netloc}{redirect.path}" == f"{ORIGIN}/back"
        assert (query["a"], query["paymentId"], query["code"]) == ("1", ID, "FAILURE_TYPE_PG")

    play(scene)


def test_webhooks_can_be_held_and_amounts_forged() -> None:
    def scene(shop: Shop) -> None:
        press(opened(shop, customData={"a": "가"}), "pay", webhook="hold", amount=10_001)
        state = shop.payment_state()
        assert state.total == 10_001
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
def test_invalid_request_is_refused_before_the_window_opens(
    changed: dict[str, object], code: str
) -> None:
    """In the way that the control API has set, because PortOne's documents leave it open."""

    def scene(shop: Shop) -> None:
        shop.client.pre_register(ID, amount=10_000)
        refused = shop.begin(**changed)
        assert (refused["refusal"]["code"], refused["rejects"]) == (code, True)
        shop.control("faults", {"browser_refusals": "resolve"}, method="PUT")
        assert shop.begin(**changed)["rejects"] is False
        assert shop.client.get_payment(ID) is None

    play(scene)


def test_paid_payment_cannot_be_paid_again() -> None:
    def scene(shop: Shop) -> None:
        window = opened(shop)
        press(window, "pay")
        assert shop.begin()["refusal"]["code"] == "PaymentAlreadyPaid"
        again = requests.post(f"{window}/pay", json={}, timeout=DEADLINE_S)
        assert again.status_code == 409

    play(scene)


def test_only_local_pages_are_served() -> None:
    """Other sites may neither open nor frame the window."""

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
        for action, members, status in (
            ("rob", {}, 400),
            ("pay", {"webhook": "x"}, 400),
            ("pay", {"amount": 0}, 400),
        ):
            assert (
                requests.post(f"{window}/{action}", json=members, timeout=DEADLINE_S).status_code
                == status
            )
        assert requests.post(f"{window}/pay", data="{}", timeout=DEADLINE_S).status_code == 415

    play(scene)


def test_every_answer_is_marked_as_the_stand_ins() -> None:
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
