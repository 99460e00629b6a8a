"""One who tops up, and what became of his money: by our books and by PortOne's."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import requests

from sandbox.portone.browser import REQUEST_PAYMENT
from sandbox.portone.merchant import LIVE_CHANNEL_KEY, STORE_ID
from tests.support.deadlines import DEADLINE_S
from tests.support.payments_stack import PaymentsStack
from tests.support.servers import wait_until
from tests.webapp.client import data_of
from trading.tasks import TaskRequest

AMOUNT = 10_000


class Payer:
    """Prepares, pays and asks, always for AMOUNT won; ``id`` is the payment that he prepared last."""

    def __init__(self, stack: PaymentsStack) -> None:
        self.stack = stack
        self.person = stack.api.person()
        self.id = ""
        self._cash_before = self.cash

    @property
    def cash(self) -> int:
        """His cash now (won)."""
        return int(self.stack.balance(self.person)["cash_balance"])

    @property
    def gained(self) -> int:
        """The won that came in since he registered, less those that went out."""
        return self.cash - self._cash_before

    @property
    def status(self) -> str:
        return str(self.stack.payment(self.person, self.id)["status"])

    def prepare(self) -> str:
        self.id = self.stack.prepare(self.person, AMOUNT)
        return self.id

    def open(self, **members: Any) -> None:
        """His browser opens the window."""
        self.stack.portone.open(self.id, AMOUNT, **members)

    def move(self, name: str, **members: Any) -> None:
        """What he, his bank or an operator does at PortOne."""
        self.stack.portone.move(self.id, name, **members)

    def pay(self, **members: Any) -> None:
        """He prepares, opens the window and pays; ``members`` are the move's."""
        self.prepare()
        self.open(webhook="none")
        self.move("pay", **members)

    def request_payment(self, **changed: object) -> dict[str, Any]:
        """What his browser's SDK is answered, on a page of ours that was so changed."""
        request = {
            "storeId": STORE_ID,
            "channelKey": LIVE_CHANNEL_KEY,
            "paymentId": self.id,
            "orderName": "충전",
            "totalAmount": AMOUNT,
            "currency": "KRW",
            "payMethod": "CARD",
            **changed,
        }
        origin = {"Origin": "http://127.0.0.1:8000"}
        answer = requests.post(
            self.stack.portone.url + REQUEST_PAYMENT,
            json=request,
            headers=origin,
            timeout=DEADLINE_S,
        )
        return dict(answer.json())

    def finish(self) -> None:
        """His browser says that it has finished; a client of its own, so from any thread."""
        answer = self.stack.api.another_client().post(
            "/payments/portone/complete", self.person, {"payment_id": self.id}
        )
        data_of(answer, 202)

    def hear(self) -> None:
        """The webhooks that are held are sent; workers do nothing yet."""
        self.stack.portone.control("webhooks/flush")

    def complete(self) -> None:
        """His browser says that it has finished, and workers do what that leaves."""
        self.stack.complete(self.person, self.id)
        self.stack.work()

    def told(self) -> list[dict[str, Any]]:
        """Every webhook, once none waits any more to be sent, and workers have done what that leaves."""
        wait_until(
            lambda: all(one["state"] != "PENDING" for one in self.told_so_far()),
            what="all is told",
        )
        self.stack.work()
        return self.told_so_far()

    def flush(self, *order: str, times: int = 1) -> None:
        """Send the webhooks that are held, those of these types in this order, and let workers work."""
        by_type = {
            one["type"].removeprefix("Transaction."): one["id"] for one in self.told_so_far()
        }
        chosen = {"order": [by_type[kind] for kind in order]} if order else {}
        self.stack.portone.control("webhooks/flush", times=times, **chosen)
        self.stack.work()

    def looks_go_wrong(self, **rule: Any) -> None:
        """Have the next look at his payment go wrong so."""
        self.stack.portone.inject_fault(path=f"/payments/{self.id}", **rule)

    def look_later(self) -> None:
        """Nobody says anything; the sweep looks by itself within the hour."""
        self.stack.sweep_until_quiet(turns=20, minutes=3)

    def refund(self, amount: int | None = None) -> dict[str, Any]:
        """He asks for money back, and workers do what that leaves; the refund as it is then."""
        asked = self.stack.refund(self.person, self.id, amount)
        self.stack.work()
        refunds = self.stack.payment(self.person, self.id)["refunds"]
        return next(refund for refund in refunds if refund["id"] == asked["id"])

    def movements(self) -> list[tuple[str, int]]:
        """His transactions since he registered, oldest first: type and won."""
        items = data_of(self.stack.api.get("/trading/transactions?limit=100", self.person))["items"]
        return [(one["transaction_type"], one["amount"]) for one in reversed(items)][1:]

    def asked_of_portone(self, path: str) -> list[dict[str, Any]]:
        """The requests that PortOne's API got on paths with this end."""
        asked = self.stack.portone.control("requests", "GET")["requests"]
        return [one for one in asked if one["path"].partition("?")[0].endswith(path)]

    def agree(self) -> None:
        """Our books and PortOne's tell the same of this payment, and the audit finds nothing."""
        theirs = self.stack.portone.payments()[self.id]["amount"]
        ours = self.stack.payment(self.person, self.id)
        assert ours["cancelled_amount"] == theirs["cancelled"]
        assert self.gained == theirs["total"] - theirs["cancelled"]
        assert self.stack.harness.breaches() == []

    def told_so_far(self) -> list[dict[str, Any]]:
        """Every webhook with its attempts."""
        return list(self.stack.portone.control("webhooks", "GET")["webhooks"])


def at_once(payer: Payer, wakeups: list[TaskRequest]) -> None:
    """Several workers act on these wake-ups at the same moment."""
    start = Barrier(len(wakeups))

    def act(wakeup: TaskRequest) -> None:
        start.wait(DEADLINE_S)
        payer.stack.harness.run(wakeup)

    with ThreadPoolExecutor(len(wakeups)) as pool:
        for done in [pool.submit(act, wakeup) for wakeup in wakeups]:
            done.result(DEADLINE_S)
