"""A private stand-in with the product's client, the control API and the sent webhooks."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import requests

from sandbox.portone.browser import REQUEST_PAYMENT
from sandbox.portone.control_api import CONTROL_PREFIX
from sandbox.portone.merchant import LIVE_CHANNEL_KEY, STORE_ID
from sandbox.portone.rest import API_SECRET, LOOPBACK, now, portone
from sandbox.portone.server_state import WebhookSettings
from tests.support.deadlines import DEADLINE_S
from trading.payments.portone.client import PortoneClient, Requester
from trading.payments.portone_payment import CancellationStatus, Report

ID = "0123456789abcdef0123456789abcdef"
KEY = "7c1fb2d4-5f8e-4a53-9b0a-3f1c7f5e2a1"
AUTHORIZED = {"Authorization": f"PortOne {API_SECRET}", "Content-Type": "application/json"}


ORIGIN = "http://localhost:8000"
REQUEST = {
    "storeId": STORE_ID,
    "channelKey": LIVE_CHANNEL_KEY,
    "paymentId": ID,
    "orderName": "예수금 충전",
    "totalAmount": 10_000,
    "currency": "CURRENCY_KRW",
    "payMethod": "CARD",
}


class Shop:
    """The product's client and the stand-in's control API."""

    def __init__(self, url: str, client: PortoneClient) -> None:
        self.url, self.client = url, client

    def move(self, name: str, *, payment_id: str = ID, **members: Any) -> dict[str, Any]:
        """Apply a transition and return the payment."""
        done = self.post_control(name, members, payment_id=payment_id)
        assert done.status_code == 200, done.text
        return dict(done.json())

    def control(self, path: str, members: object = None, *, method: str = "POST") -> dict[str, Any]:
        """Call the control API and return its answer."""
        answer = requests.request(
            method, f"{self.url}{CONTROL_PREFIX}/{path}", json=members or {}, timeout=DEADLINE_S
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post_control(
        self, name: str, members: object, *, payment_id: str = ID, kind: str = "application/json"
    ) -> requests.Response:
        address = f"{self.url}{CONTROL_PREFIX}/payments/{payment_id}/{name}"
        return requests.post(
            address, data=json.dumps(members), headers={"Content-Type": kind}, timeout=DEADLINE_S
        )

    def begin(self, **changed: object) -> dict[str, Any]:
        """Return the stand-in's answer to the SDK's `requestPayment` of REQUEST with changes."""
        sent, headers = {**REQUEST, **changed}, {"Origin": ORIGIN}
        answer = requests.post(
            f"{self.url}{REQUEST_PAYMENT}", json=sent, headers=headers, timeout=DEADLINE_S
        )
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        return dict(answer.json())

    def call(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> requests.Response:
        return requests.request(
            method,
            self.url + path,
            data=json.dumps(body),
            headers={**AUTHORIZED, **headers},
            timeout=DEADLINE_S,
        )

    def payment_state(self) -> Report:
        report = self.client.get_payment(ID)
        assert report is not None
        return report

    def cancel(self, amount: int, *, of: int, key: str) -> CancellationStatus:
        """Cancel `amount` of the remaining amount `of`."""
        return self.client.cancel(
            ID,
            amount=amount,
            cancellable=of,
            reason="고객 환불",
            requester=Requester.CUSTOMER,
            idempotency_key=KEY + key,
        ).status


def play(
    scene: Callable[[Shop], None],
    *,
    clock: Callable[[], datetime] = now,
    mail: WebhookSettings | None = None,
) -> None:
    """Run a scene with its own stand-in."""

    async def stage() -> None:
        async with portone(0, clock=clock, mail=mail) as port:
            await asyncio.to_thread(act, f"http://{LOOPBACK}:{port}")

    def act(url: str) -> None:
        with PortoneClient(api_url=url, api_secret=API_SECRET, store_id=STORE_ID) as client:
            scene(Shop(url, client))

    asyncio.run(stage())


WAYS: dict[str, tuple[str, ...]] = {
    "READY": (),
    "PAID": ("pay",),
    "FAILED": ("fail",),
    "PAY_PENDING": ("pend",),
    "VIRTUAL_ACCOUNT_ISSUED": ("issue-account",),
    "PARTIAL_CANCELLED": ("pay", "console-cancel 3000"),
    "CANCELLED": ("pay", "console-cancel 3000", "chargeback"),
}


def walk(shop: Shop, *moves: str, payment_id: str = ID) -> None:
    """Open the payment of 10,000 won and apply transitions. A number after one is its amount."""
    shop.move("open", payment_id=payment_id, amount=10_000)
    for move in moves:
        name, _, amount = move.partition(" ")
        shop.move(name, payment_id=payment_id, **({"amount": int(amount)} if amount else {}))


def press(window: str, action: str, **members: object) -> dict[str, Any]:
    """Press a button of the payment window and return its result."""
    answer = requests.post(f"{window}/{action}", json=members, timeout=DEADLINE_S)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())
