"""The whole of payments for tests: the API, what workers do, and the stand-in for PortOne, which they talk to over real sockets.

Nothing happens by itself: webhooks are sent to the API when the stand-in has something to tell, and what the API leaves for workers is done by
``work``, whenever the test wants it. Time goes on as it does, and further by ``clock.advance``; API, workers and PortOne share one clock.
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
from sandbox.portone.server_state import Mail
from tests.support.deadlines import DEADLINE_S
from tests.support.trading_harness import TestClock, TradingHarness, opened, settings_for
from tests.webapp.client import PREFIX, Api, Person, api_on, data_of
from trading.payments.sweep import DueCounts, dispatch_due_payments


class RunningClock(TestClock):
    """The real time, and as much later as it was advanced."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, **span: float) -> None:
        self._ahead += timedelta(**span)


class StandInServer:
    """The stand-in for PortOne on a thread of its own. ``tell`` asks its desk."""

    def __init__(self, clock: TestClock, *, webhook_url: str | None) -> None:
        self._clock = clock
        self._mail = Mail(url=webhook_url, scale=0.0)
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

    def tell(self, path: str, method: str = "POST", /, **members: Any) -> dict[str, Any]:
        """Ask the desk; what it answers. AssertionError with its words when it refuses."""
        answer = requests.request(
            method, f"{self.url}{CONTROL_PREFIX}/{path}", json=members, timeout=DEADLINE_S
        )
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def move(self, payment_id: str, move: str, **members: Any) -> dict[str, Any]:
        """What the payer, his bank or an operator does to a payment."""
        return self.tell(f"payments/{payment_id}/{move}", **members)

    def open(self, payment_id: str, amount: int, **members: Any) -> None:
        """The browser opens the window of a payment, by our live channel."""
        self.move(payment_id, "open", amount=amount, **{"channel_type": "LIVE", **members})

    def pay(self, payment_id: str, amount: int, **members: Any) -> None:
        """The payer opens the window and pays."""
        self.open(payment_id, amount, **members)
        self.move(payment_id, "pay")

    def wrong(self, **rule: Any) -> None:
        """Have the API's next requests of a kind go wrong, by the members of ``sandbox.portone.faults.Rule``."""
        self.tell("faults", **rule)

    def payments(self) -> dict[str, dict[str, Any]]:
        """All payments as PortOne has them, by id."""
        return {payment["id"]: payment for payment in self.tell("state", "GET")["payments"]}

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
    """``api`` answers in this process, and webhooks over a socket; ``harness.sent`` is what workers were woken for and did not do yet."""

    harness: TradingHarness
    api: Api
    portone: StandInServer
    webhook_url: str

    def prepare(self, who: Person, amount: int = 10_000, order_name: str = "충전") -> str:
        """A payment that was prepared; its id."""
        body = {"amount": amount, "order_name": order_name, "currency": "KRW"}
        payment_id: str = data_of(self.api.post("/payments/portone/prepare", who, body), 201)[
            "payment_id"
        ]
        return payment_id

    def complete(self, who: Person, payment_id: str) -> None:
        """The browser says that the payer has finished."""
        data_of(self.api.post("/payments/portone/complete", who, {"payment_id": payment_id}), 202)

    def paid(self, who: Person, amount: int = 10_000) -> str:
        """A payment that was paid, completed and credited; its id."""
        payment_id = self.prepare(who, amount)
        self.portone.pay(payment_id, amount)
        self.complete(who, payment_id)
        self.work()
        return payment_id

    def refund(self, who: Person, payment_id: str, amount: int | None = None) -> dict[str, Any]:
        """A refund that was asked for and accepted; nobody pursues it yet."""
        body = {} if amount is None else {"amount": amount}
        refund: dict[str, Any] = data_of(
            self.api.post(f"/payments/{payment_id}/cancel", who, body), 202
        )
        return refund

    def payment(self, who: Person, payment_id: str) -> dict[str, Any]:
        """The payment as its owner is answered."""
        shown: dict[str, Any] = data_of(self.api.get(f"/payments/{payment_id}", who))
        return shown

    def balance(self, who: Person) -> dict[str, Any]:
        shown: dict[str, Any] = data_of(self.api.get("/balance", who))
        return shown

    def work(self) -> None:
        """Do all that workers were woken for, and what follows from it."""
        self.harness.run_all()

    def sweep(self) -> DueCounts:
        """Wake what is due, as beat has it done; the wake-ups are in ``harness.sent`` then."""
        now = self.harness.clock()
        return self.harness.do(lambda session: dispatch_due_payments(session, now=now))

    def sweep_until_quiet(self, *, turns: int = 60, **span: float) -> None:
        """Let time pass in steps of ``span``, sweep and work, so often."""
        for _ in range(turns):
            self.harness.clock.advance(**(span or {"minutes": 1}))
            self.sweep()
            self.work()


@contextmanager
def payments_stack(database_uri: str, redis_url: str, **changed: object) -> Iterator[PaymentsStack]:
    """The whole of payments on an emptied database. ``changed`` are settings; webhooks come to a real address."""
    clock = RunningClock()
    apps: list[Flask] = []

    def application(environ: Any, start_response: Any) -> Any:
        return apps[0](environ, start_response)

    # The server comes first: the stand-in is told its address, and the application the stand-in's.
    server = make_server("127.0.0.1", 0, application, threaded=True)
    webhook_url = f"http://127.0.0.1:{server.server_port}{PREFIX}/payments/portone/webhook"
    stand_in = StandInServer(clock, webhook_url=webhook_url)
    stand_in.start()
    try:
        settings = settings_for(
            database_uri, redis_url, portone_api_base_url=stand_in.url, **changed
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


def owner_of(who: Person) -> UUID:
    """The user behind a signed-in person."""
    return UUID(who.id)
