"""Payments for tests: the API, the workers' work, and the PortOne stand-in on real sockets.

Nothing runs by itself. The stand-in sends webhooks to the API when a payment changes, and `work`
runs the tasks that the API dispatched. API, tasks and stand-in share one clock, which runs in real
time and can be advanced.
"""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import requests
from flask import Flask
from werkzeug.serving import BaseWSGIServer, make_server

from sandbox.portone.control_api import CONTROL_PREFIX
from sandbox.portone.rest import portone
from sandbox.portone.server_state import WebhookSettings
from tests.support.deadlines import DEADLINE_S
from tests.support.trading_harness import TestClock, TradingHarness, opened, settings_for
from tests.webapp.client import PREFIX, Api, Person, api_on, data_of
from trading.payments.sweep import DueCounts, dispatch_due_payments


class RunningClock(TestClock):
    """Real time plus the total of all `advance` calls."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, **span: float) -> None:
        self._ahead += timedelta(**span)


class StandInServer:
    """The PortOne stand-in on its own thread. `control` calls its control API."""

    def __init__(self, clock: TestClock, *, webhook_url: str | None) -> None:
        self._clock = clock
        self._mail = WebhookSettings(url=webhook_url, scale=0.0)
        self._port: Future[int] = Future()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(),), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port.result(DEADLINE_S)}"

    def start(self) -> None:
        self._thread.start()
        self._port.result(DEADLINE_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def control(self, path: str, method: str = "POST", /, **members: Any) -> dict[str, Any]:
        """Call the control API and return its answer. Raise AssertionError if it is refused."""
        answer = requests.request(
            method, f"{self.url}{CONTROL_PREFIX}/{path}", json=members, timeout=DEADLINE_S
        )
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def move(self, payment_id: str, move: str, **members: Any) -> dict[str, Any]:
        """Apply an action of the payer, the bank or an operator to a payment."""
        return self.control(f"payments/{payment_id}/{move}", **members)

    def open(self, payment_id: str, amount: int, **members: Any) -> None:
        """Open the payment window on the live channel."""
        self.move(payment_id, "open", amount=amount, **{"channel_type": "LIVE", **members})

    def pay(self, payment_id: str, amount: int, **members: Any) -> None:
        """Open the payment window and pay."""
        self.open(payment_id, amount, **members)
        self.move(payment_id, "pay")

    def inject_fault(self, **rule: Any) -> None:
        """Make the next API requests fail, by the fields of `sandbox.portone.faults.Rule`."""
        self.control("faults", **rule)

    def payments(self) -> dict[str, dict[str, Any]]:
        """Return all payments of the stand-in by id."""
        return {payment["id"]: payment for payment in self.control("state", "GET")["payments"]}

    async def _serve(self) -> None:
        try:
            async with portone(0, clock=self._clock, mail=self._mail, seed=1) as port:
                self._port.set_result(port)
                await self._stop.wait()
        except BaseException as fault:
            if not self._port.done():
                self._port.set_exception(fault)
            raise


@dataclass
class PaymentsStack:
    """The API in this process with webhooks over a socket.

    `harness.sent` holds the tasks that were dispatched and not run yet.
    """

    harness: TradingHarness
    api: Api
    portone: StandInServer
    webhook_url: str

    def prepare(self, person: Person, amount: int = 10_000, order_name: str = "충전") -> str:
        """Prepare a payment and return its id."""
        body = {"amount": amount, "order_name": order_name, "currency": "KRW"}
        payment_id: str = data_of(self.api.post("/payments/portone/prepare", person, body), 201)[
            "payment_id"
        ]
        return payment_id

    def complete(self, person: Person, payment_id: str) -> None:
        """Report the payment as completed, as the browser does."""
        data_of(
            self.api.post("/payments/portone/complete", person, {"payment_id": payment_id}), 202
        )

    def paid(self, person: Person, amount: int = 10_000) -> str:
        """Prepare, pay, complete and credit a payment. Return its id."""
        payment_id = self.prepare(person, amount)
        self.portone.pay(payment_id, amount)
        self.complete(person, payment_id)
        self.work()
        return payment_id

    def refund(self, person: Person, payment_id: str, amount: int | None = None) -> dict[str, Any]:
        """Request a refund. Return the answer; the refund task is not run yet."""
        body = {} if amount is None else {"amount": amount}
        refund: dict[str, Any] = data_of(
            self.api.post(f"/payments/{payment_id}/cancel", person, body), 202
        )
        return refund

    def payment(self, person: Person, payment_id: str) -> dict[str, Any]:
        """Return the payment as the API shows it to its owner."""
        document: dict[str, Any] = data_of(self.api.get(f"/payments/{payment_id}", person))
        return document

    def balance(self, person: Person) -> dict[str, Any]:
        document: dict[str, Any] = data_of(self.api.get("/balance", person))
        return document

    def work(self) -> None:
        """Run all dispatched tasks, and those that they dispatch."""
        self.harness.run_all()

    def sweep(self) -> DueCounts:
        """Dispatch due payments and refunds, as beat does. The tasks are then in `harness.sent`."""
        return self.harness.core.run(dispatch_due_payments)

    def sweep_until_quiet(self, *, turns: int = 60, **span: float) -> None:
        """Advance the clock by `span`, sweep and work, `turns` times."""
        for _ in range(turns):
            self.harness.clock.advance(**(span or {"minutes": 1}))
            self.sweep()
            self.work()


@contextmanager
def payments_stack(database_uri: str, redis_url: str, **changes: object) -> Iterator[PaymentsStack]:
    """Run payments on an emptied database. `changes` are settings; webhooks use a real address."""
    clock = RunningClock()
    apps: list[Flask] = []

    def application(environ: Any, start_response: Any) -> Any:
        return apps[0](environ, start_response)

    # The server starts first: the stand-in needs its address, and the application the stand-in's.
    server = make_server("127.0.0.1", 0, application, threaded=True)
    webhook_url = f"http://127.0.0.1:{server.server_port}{PREFIX}/payments/portone/webhook"
    stand_in = StandInServer(clock, webhook_url=webhook_url)
    stand_in.start()
    try:
        settings = settings_for(
            database_uri, redis_url, portone_api_base_url=stand_in.url, **changes
        )
        with opened(settings, clock=clock) as harness, serving(server):
            api = api_on(harness)
            apps.append(api.app)
            yield PaymentsStack(harness, api, stand_in, webhook_url)
    finally:
        stand_in.stop()


@contextmanager
def serving(server: BaseWSGIServer) -> Iterator[None]:
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(DEADLINE_S)
        server.server_close()


def owner_of(person: Person) -> UUID:
    """Return the user id of a signed-in person."""
    return UUID(person.id)
