"""One who tops up while things go wrong: prepares, pays at the stand-in for PortOne, says so, and asks for a part of it back."""

from random import Random
from typing import Any

import requests

from sandbox.portone.control_api import DESK
from tests.faults.load import Client
from tests.support.deadlines import DEADLINE_S

AMOUNT, BACK = 10_000, 4_000


class Payer(Client):
    """A member of the crowd. ``paid`` are the payments that he paid, ``refunded`` those of which he was promised a part back."""

    def __init__(
        self, url: str, name: str, *, chance: Random, portone_url: str, **more: Any
    ) -> None:
        super().__init__(url, name, **more)
        self.paid: list[str] = []
        self.refunded: list[str] = []
        self._chance = chance
        self._desk = portone_url + DESK

    def act(self) -> None:
        if self.paid and self._chance.random() < 0.5:
            self._ask_back()
        else:
            self._pay()

    def _pay(self) -> None:
        body = {"amount": AMOUNT, "order_name": "충전", "currency": "KRW"}
        answer = self.ask("POST", "/payments/portone/prepare", body)
        if answer.status_code != 201:
            return
        payment_id: str = answer.json()["data"]["payment_id"]
        self._move(payment_id, "open", amount=AMOUNT, channel_type="LIVE")
        self._move(payment_id, "pay")
        self.paid.append(payment_id)
        self.ask("POST", "/payments/portone/complete", {"payment_id": payment_id})

    def _ask_back(self) -> None:
        payment_id = self._chance.choice(self.paid)
        if payment_id not in self.refunded:
            answer = self.ask("POST", f"/payments/{payment_id}/cancel", {"amount": BACK})
            if answer.status_code == 202:
                self.refunded.append(payment_id)

    def _move(self, payment_id: str, move: str, **members: Any) -> None:
        answer = requests.post(
            f"{self._desk}/payments/{payment_id}/{move}", json=members, timeout=DEADLINE_S
        )
        assert answer.status_code == 200, answer.text

    def cancelled_at_portone(self) -> dict[str, int]:
        """The won that PortOne gave back of each payment of his."""
        documents = requests.get(f"{self._desk}/state", timeout=DEADLINE_S).json()["payments"]
        return {
            one["id"]: one["amount"]["cancelled"] for one in documents if one["id"] in self.paid
        }
