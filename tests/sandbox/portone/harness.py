"""A stand-in of one's own for a test: the product's client of it, the desk, and what webhooks it sent."""

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
from sandbox.portone.server_state import Mail
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
    """The client, and the desk beside it."""

    def __init__(self, url: str, client: PortoneClient) -> None:
        self.url, self.client = url, client

    def move(self, name: str, *, payment_id: str = ID, **members: Any) -> dict[str, Any]:
        """The payment after somebody did this."""
        done = self.desk(name, members, payment_id=payment_id)
        assert done.status_code == 200, done.text
        return dict(done.json())

    def say(self, path: str, members: object = None, *, method: str = "POST") -> dict[str, Any]:
        """What the desk answers to anything else that it is asked."""
        answer = requests.request(
            method, f"{self.url}{CONTROL_PREFIX}/{path}", json=members or {}, timeout=DEADLINE_S
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def desk(
        self, name: str, members: object, *, payment_id: str = ID, kind: str = "application/json"
    ) -> requests.Response:
        address = f"{self.url}{CONTROL_PREFIX}/payments/{payment_id}/{name}"
        return requests.post(
            address, data=json.dumps(members), headers={"Content-Type": kind}, timeout=DEADLINE_S
        )

    def begin(self, **changed: object) -> dict[str, Any]:
        """What the browser SDK is answered to a ``requestPayment`` of REQUEST, so changed."""
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

    def look(self) -> Report:
        report = self.client.get_payment(ID)
        assert report is not None
        return report

    def cancel(self, amount: int, *, of: int, key: str) -> CancellationStatus:
        """Give back ``amount`` of what is left."""
        return self.client.cancel(
            ID,
            amount=amount,
            cancellable=of,
            reason="고객 환불",
            requester=Requester.CUSTOMER,
            idempotency_key=KEY + key,
        ).status


def play(
    scene: Callable[[Shop], None], *, clock: Callable[[], datetime] = now, mail: Mail | None = None
) -> None:
    """Play a scene with a stand-in of its own."""

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
    """Open the payment for 10000 won and move it so; a number behind a move is its amount."""
    shop.move("open", payment_id=payment_id, amount=10_000)
    for move in moves:
        name, _, amount = move.partition(" ")
        shop.move(name, payment_id=payment_id, **({"amount": int(amount)} if amount else {}))


def press(window: str, deed: str, **members: object) -> dict[str, Any]:
    """What a button of a payment's window answers to the page."""
    answer = requests.post(f"{window}/{deed}", json=members, timeout=DEADLINE_S)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())
