"""Faults of the stand-in's API."""

import threading
from typing import Any

import pytest

from sandbox.portone.faults import Rule, patched
from sandbox.portone.merchant import STORE_ID
from tests.sandbox.portone.harness import ID, KEY, Shop, play, walk
from tests.support.servers import wait_until
from trading.payments.portone.errors import (
    PortoneApiError,
    PortoneProtocolError,
    PortoneTransportError,
)
from trading.payments.portone_payment import PortoneStatus

PATH = f"/payments/{ID}"
CANCEL = {"storeId": STORE_ID, "reason": "r", "amount": 1_000}


def go_wrong(shop: Shop, *rules: dict[str, Any]) -> None:
    shop.control("faults", {"rest": list(rules)}, method="PUT")


def test_canned_answers_are_given_the_configured_number_of_times() -> None:
    def scene(shop: Shop) -> None:
        walk(shop, "pay")
        page = {"status": 502, "body": "<html>", "headers": {"Content-Type": "text/html"}}
        go_wrong(
            shop, {"method": "GET", "path": "/payments/.*", "nth": 2, "times": 2, "answer": page}
        )
        assert shop.payment_state().status is PortoneStatus.PAID
        for _ in range(2):
            with pytest.raises(PortoneProtocolError, match="502"):
                shop.payment_state()
        assert shop.payment_state().status is PortoneStatus.PAID
        busy = {"status": 429, "body": '{"type": "TOO_MANY"}'}
        busy["headers"] = {"Content-Type": "application/json", "Retry-After": "7"}
        shop.control("faults", {"answer": busy, "path": ".*cancel"})
        with pytest.raises(PortoneApiError) as slow_down:
            shop.cancel(1_000, of=10_000, key="1")
        assert slow_down.value.retry_after_s == 7
        assert shop.payment_state().cancelled == 0

    play(scene)


@pytest.mark.parametrize(("when", "returned"), [("before", 0), ("after", 1_000)])
def test_connection_is_dropped_before_or_after_the_effect(when: str, returned: int) -> None:
    """A repetition with the same key then finds the effect once."""

    def scene(shop: Shop) -> None:
        walk(shop, "pay")
        go_wrong(shop, {"path": ".*cancel", "drop": when})
        with pytest.raises(PortoneTransportError):
            shop.cancel(1_000, of=10_000, key="1")
        assert shop.payment_state().cancelled == returned
        shop.cancel(1_000, of=10_000, key="1")
        assert shop.payment_state().cancelled == 1_000

    play(scene)


def test_body_is_truncated() -> None:
    def scene(shop: Shop) -> None:
        walk(shop, "pay")
        go_wrong(shop, {"truncate": True})
        with pytest.raises(PortoneTransportError):
            shop.payment_state()
        assert shop.payment_state().status is PortoneStatus.PAID

    play(scene)


def test_stale_answer_shows_the_earlier_state() -> None:
    def scene(shop: Shop) -> None:
        walk(shop)
        go_wrong(shop, {"method": "GET", "stale": True, "times": 3})
        assert shop.client.get_payment(ID) is None
        shop.move("pay")
        assert [shop.payment_state().status for _ in range(3)] == ["READY", "READY", "PAID"]

    play(scene)


def test_members_are_patched_and_removed() -> None:
    """Pointers to missing members change nothing, and the stored payment is unchanged."""

    def scene(shop: Shop) -> None:
        walk(shop, "pay")
        true = shop.call("GET", f"{PATH}?storeId={STORE_ID}").json()
        go_wrong(
            shop,
            {
                "patch": {"/amount/total": 10_001, "/channel/type": "TEST", "/a/b": 1},
                "remove": ["/disputes", "/x"],
            },
        )
        false = shop.call("GET", f"{PATH}?storeId={STORE_ID}").json()
        assert (false["amount"]["total"], false["channel"]["type"]) == (10_001, "TEST")
        assert "disputes" not in false
        assert "a" not in false
        assert shop.call("GET", f"{PATH}?storeId={STORE_ID}").json() == true

    play(scene)


@pytest.mark.parametrize(
    ("pointer", "changed"),
    [
        ("/a~1b", {"a/b": 9, "c": [{"d": 1}, 2]}),
        ("/c/0/d", {"a/b": 0, "c": [{"d": 9}, 2]}),
        ("/c/1", {"a/b": 0, "c": [{"d": 1}, 9]}),
        ("/c/2", {"a/b": 0, "c": [{"d": 1}, 2]}),
        ("/c/x/d", {"a/b": 0, "c": [{"d": 1}, 2]}),
        ("/new", {"a/b": 0, "c": [{"d": 1}, 2], "new": 9}),
    ],
)
def test_json_pointers_follow_rfc_6901(pointer: str, changed: dict[str, Any]) -> None:
    document = {"a/b": 0, "c": [{"d": 1}, 2]}
    assert patched(document, Rule(patch={pointer: 9})) == changed
    assert document == {"a/b": 0, "c": [{"d": 1}, 2]}


def test_key_of_a_request_in_progress_is_a_conflict() -> None:
    """Afterwards both requests get the same answer."""

    def scene(shop: Shop) -> None:
        walk(shop, "pay")
        go_wrong(shop, {"path": ".*cancel", "delay_ms": 2_000})
        key = {"Idempotency-Key": f'"{KEY}"'}
        first: list[int] = []
        asking = threading.Thread(
            target=lambda: first.append(
                shop.call("POST", f"{PATH}/cancel", CANCEL, **key).status_code
            )
        )
        asking.start()
        wait_until(
            lambda: any(
                r["path"] == f"{PATH}/cancel"
                for r in shop.control("requests", method="GET")["requests"]
            ),
            what="the first has come",
        )
        second = shop.call("POST", f"{PATH}/cancel", CANCEL, **key)
        asking.join()
        assert (second.status_code, second.json()["type"]) == (
            409,
            "IDEMPOTENCY_OUTSTANDING_REQUEST",
        )
        assert first == [200]
        assert shop.call("POST", f"{PATH}/cancel", CANCEL, **key).status_code == 200
        assert shop.payment_state().cancelled == 1_000

    play(scene)


def test_control_api_lists_requests_without_the_secret() -> None:
    def scene(shop: Shop) -> None:
        shop.client.pre_register(ID, amount=10_000)
        [asked] = shop.control("requests", method="GET")["requests"]
        assert (asked["method"], asked["path"], asked["status"]) == (
            "POST",
            f"{PATH}/pre-register",
            200,
        )
        assert asked["authorization"] == "PortOne"

    play(scene)


def test_reset_removes_everything() -> None:
    def scene(shop: Shop) -> None:
        walk(shop, "pay")
        go_wrong(shop, {"hang": True, "times": None})
        shop.control("clock/advance", {"seconds": 3_600})
        shop.control("reset")
        assert shop.client.get_payment(ID) is None
        state = shop.control("state", method="GET")
        assert (state["payments"], state["pinned"]) == ([], {})
        assert shop.control("faults", method="GET")["rest"] == []
        assert shop.control("webhooks", method="GET")["webhooks"] == []

    play(scene)


def test_invalid_faults_are_rejected_with_the_reason() -> None:
    def scene(shop: Shop) -> None:
        for knobs in (
            {"rest": [{"path": "("}]},
            {"rest": [{"patch": {"no-pointer": 1}}]},
            {"rest": [{"answer": {"status": 99}}]},
            {"rest": [{"more": 1}]},
            {"webhooks": {"copies": 0}},
            {"webhooks": {"tampering": "gently"}},
            {"cancellations_max": -1},
        ):
            refused = shop.call("PUT", "/sandbox/portone/faults", knobs)
            assert (refused.status_code, refused.json()["type"]) == (400, "INVALID_REQUEST")
            assert refused.json()["complaints"][0]["at"]
        for path, body in (
            ("clock/advance", {"seconds": 0}),
            ("webhooks/flush", {"times": "x"}),
            ("faults", []),
        ):
            assert shop.call("POST", f"/sandbox/portone/{path}", body).status_code == 400
        assert (
            shop.call(
                "POST", "/sandbox/portone/reset", {}, **{"Content-Type": "text/plain"}
            ).status_code
            == 415
        )

    play(scene)
