"""Client that tops up during a fault: prepare, pay at the PortOne stand-in, complete, refund a
part.
"""

from random import Random
from typing import Any

import requests

from sandbox.portone.control_api import CONTROL_PREFIX
from tests.faults.load import Client
from tests.support.deadlines import DEADLINE_S

AMOUNT, REFUND = 10_000, 4_000


class Payer(Client):
    """Load client that pays.

    `paid` holds the ids of paid payments, `refunded` those with an accepted partial refund.
    """

    def __init__(self, url: str, name: str, *, rng: Random, portone_url: str, **more: Any) -> None:
        super().__init__(url, name, **more)
        self.paid: list[str] = []
        self.refunded: list[str] = []
        self._rng = rng
        self._control_url = portone_url + CONTROL_PREFIX

    def act(self) -> None:
        if self.paid and self._rng.random() < 0.5:
            self._request_refund()
        else:
            self._pay()

    def _pay(self) -> None:
        body = {"amount": AMOUNT, "order_name": "충전", "currency": "KRW"}
        answer = self.request("POST", "/payments/portone/prepare", body)
        if answer.status_code != 201:
            return
        payment_id: str = answer.json()["data"]["payment_id"]
        self._transition(payment_id, "open", amount=AMOUNT, channel_type="LIVE")
        self._transition(payment_id, "pay")
        self.paid.append(payment_id)
        self.request("POST", "/payments/portone/complete", {"payment_id": payment_id})

    def _request_refund(self) -> None:
        payment_id = self._rng.choice(self.paid)
        if payment_id not in self.refunded:
            answer = self.request("POST", f"/payments/{payment_id}/cancel", {"amount": REFUND})
            if answer.status_code == 202:
                self.refunded.append(payment_id)

    def _transition(self, payment_id: str, transition: str, **body: Any) -> None:
        answer = requests.post(
            f"{self._control_url}/payments/{payment_id}/{transition}",
            json=body,
            timeout=DEADLINE_S,
        )
        assert answer.status_code == 200, answer.text

    def cancelled_at_portone(self) -> dict[str, int]:
        """Return the won that PortOne refunded, by payment id."""
        documents = requests.get(f"{self._control_url}/state", timeout=DEADLINE_S).json()[
            "payments"
        ]
        return {
            one["id"]: one["amount"]["cancelled"] for one in documents if one["id"] in self.paid
        }
