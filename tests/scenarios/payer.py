"""A user who pays, and the result by our records and PortOne's."""

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
    """A user who pays AMOUNT won each time; ``id`` is the payment prepared last."""

    def __init__(self, stack: PaymentsStack) -> None:
        self.stack = stack
        self.person = stack.api.person()
        self.id = ""
        self._cash_before = self.cash

    @property
    def cash(self) -> int:
        """Cash balance now, in won."""
        return int(self.stack.balance(self.person)["cash_balance"])

    @property
    def gained(self) -> int:
        """Net cash flow since registration, in won."""
        return self.cash - self._cash_before

    @property
    def status(self) -> str:
        return str(self.stack.payment(self.person, self.id)["status"])

    def prepare(self) -> str:
        self.id = self.stack.prepare(self.person, AMOUNT)
        return self.id

    def open(self, **members: Any) -> None:
        """Open the payment window in the browser."""
        self.stack.portone.open(self.id, AMOUNT, **members)

    def move(self, name: str, **members: Any) -> None:
        """Let the payer, the bank or an operator do something at PortOne."""
        self.stack.portone.move(self.id, name, **members)

    def pay(self, **members: Any) -> None:
        """Prepare a payment, open the window and pay; ``members`` belong to the move."""
        self.prepare()
        self.open(webhook="none")
        self.move("pay", **members)

    def request_payment(self, **changed: object) -> dict[str, Any]:
        """Return the answer to the browser's SDK, from a page with these changes."""
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
        """Report the end of the payment from the browser, by a client that threads may use."""
        answer = self.stack.api.another_client().post(
            "/payments/portone/complete", self.person, {"payment_id": self.id}
        )
        data_of(answer, 202)

    def send_held_webhooks(self) -> None:
        """Send the held webhooks; workers do nothing yet."""
        self.stack.portone.control("webhooks/flush")

    def complete(self) -> None:
        """Report the end of the payment from the browser and run the workers."""
        self.stack.complete(self.person, self.id)
        self.stack.work()

    def all_webhooks(self) -> list[dict[str, Any]]:
        """Return every webhook, once none waits to be sent and the workers have finished."""
        wait_until(
            lambda: all(one["state"] != "PENDING" for one in self.webhooks()),
            what="all webhooks are sent",
        )
        self.stack.work()
        return self.webhooks()

    def flush(self, *order: str, times: int = 1) -> None:
        """Send the held webhooks, those of these types in this order, and run the workers."""
        by_type = {one["type"].removeprefix("Transaction."): one["id"] for one in self.webhooks()}
        chosen = {"order": [by_type[kind] for kind in order]} if order else {}
        self.stack.portone.control("webhooks/flush", times=times, **chosen)
        self.stack.work()

    def fail_checks(self, **rule: Any) -> None:
        """Make the next check of the payment fail by this rule."""
        self.stack.portone.inject_fault(path=f"/payments/{self.id}", **rule)

    def wait_for_sweep(self) -> None:
        """Let an hour pass without notifications, with the sweep running."""
        self.stack.sweep_until_quiet(turns=20, minutes=3)

    def refund(self, amount: int | None = None) -> dict[str, Any]:
        """Request a refund, run the workers, and return the refund."""
        asked = self.stack.refund(self.person, self.id, amount)
        self.stack.work()
        refunds = self.stack.payment(self.person, self.id)["refunds"]
        return next(refund for refund in refunds if refund["id"] == asked["id"])

    def ledger_entries(self) -> list[tuple[str, int]]:
        """Return the ledger entries since registration, oldest first: type and won."""
        items = data_of(self.stack.api.get("/trading/transactions?limit=100", self.person))["items"]
        return [(one["transaction_type"], one["amount"]) for one in reversed(items)][1:]

    def portone_requests(self, path: str) -> list[dict[str, Any]]:
        """Return the requests that PortOne's API got on paths with this ending."""
        asked = self.stack.portone.control("requests", "GET")["requests"]
        return [one for one in asked if one["path"].partition("?")[0].endswith(path)]

    def assert_consistent(self) -> None:
        """Assert that our records and PortOne's agree and that the audit is clean."""
        amount = self.stack.portone.payments()[self.id]["amount"]
        payment = self.stack.payment(self.person, self.id)
        assert payment["cancelled_amount"] == amount["cancelled"]
        assert self.gained == amount["total"] - amount["cancelled"]
        assert self.stack.harness.breaches() == []

    def webhooks(self) -> list[dict[str, Any]]:
        """Return every webhook with its attempts."""
        return list(self.stack.portone.control("webhooks", "GET")["webhooks"])


def run_concurrently(payer: Payer, tasks: list[TaskRequest]) -> None:
    """Let several workers run these tasks at the same moment."""
    start = Barrier(len(tasks))

    def act(task: TaskRequest) -> None:
        start.wait(DEADLINE_S)
        payer.stack.harness.run(task)

    with ThreadPoolExecutor(len(tasks)) as pool:
        for done in [pool.submit(act, task) for task in tasks]:
            done.result(DEADLINE_S)
