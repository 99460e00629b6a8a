"""HTTP clients that trade during a fault.

Each client repeats a request under one idempotency key until it gets a final answer, and records
what it was answered.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

import requests
from requests.adapters import HTTPAdapter

from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until
from trading.exchange.price_grid import floor_to_grid, tick_size

STOCKS = ("A005930", "A000660", "A005380")
THREADS = 6
PAUSE_MAX_S = 0.3
# Think time as a multiple of the last response time: on a slow machine clients send less, so that
# the system keeps up.
THINK_TIME_FACTOR = 8
THINK_TIME_MAX_S = 3.0
RETRY_S = 0.1
# Problem codes that a client retries under the same key. A missing price is a final answer.
TRANSIENT_CODES = {"gateway-timeout", "service-unavailable", "request-in-progress"}
REFUSED, TIMED_OUT = "refused", "timeout"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Order that was answered 201, with the request that placed it."""

    key: str
    order_id: str
    body: Mapping[str, Any]


@dataclass
class Journal:
    """Answers that one client received.

    `answers` counts by status, REFUSED or TIMED_OUT. `longest_s` is the longest wait for one
    answer.
    """

    accepted: list[Accepted] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    unexpected: list[str] = field(default_factory=list)


class Client:
    """Signed-in user that retries each request for DEADLINE_S unless `stopped` is set."""

    def __init__(self, url: str, name: str, *, timeout_s: float = 30.0) -> None:
        self.name = name
        self.journal = Journal()
        self.stopped = threading.Event()
        self._url = f"{url}/api/v1"
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(pool_maxsize=1, max_retries=0))
        account = {"email": f"{name}@example.com", "password": "correct horse battery"}
        self.request("POST", "/users", account | {"name": name})
        tokens = self.request("POST", "/users/login", account).json()["data"]
        self.token: str = tokens["access_token"]
        self._session.headers["Authorization"] = f"Bearer {self.token}"
        self.id: str = self.get("/users/me")["id"]
        self.journal = Journal()

    def get(self, path: str) -> Any:
        """Return the `data` of a successful answer."""
        answer = self.request("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
    ) -> requests.Response:
        """Return the final answer. Raise AssertionError if there is none within DEADLINE_S."""
        headers = {} if method == "GET" else {"Idempotency-Key": key or uuid4().hex}
        deadline = monotonic() + DEADLINE_S
        while monotonic() < deadline and not self.stopped.is_set():
            answer = self._request_once(method, path, body, headers)
            if answer is not None and not (
                answer.status_code >= 400 and answer.json()["code"] in TRANSIENT_CODES
            ):
                return answer
            self.stopped.wait(RETRY_S)
        raise AssertionError(f"{self.name}: {method} {path} was not answered for {DEADLINE_S:g} s")

    def _request_once(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> requests.Response | None:
        journal, began = self.journal, monotonic()
        try:
            answer = self._session.request(
                method, self._url + path, json=body, headers=headers, timeout=self._timeout_s
            )
        except requests.Timeout:
            journal.answers[TIMED_OUT] += 1
            return None
        except requests.RequestException:
            journal.answers[REFUSED] += 1
            return None
        finally:
            journal.longest_s = max(journal.longest_s, monotonic() - began)
        journal.answers[str(answer.status_code)] += 1
        # 504: the API took longer than 30 s, as it may where it starts; the outcome is unknown.
        if answer.status_code >= 500 and answer.status_code not in (503, 504):
            journal.unexpected.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def place(self, body: Mapping[str, Any]) -> str | None:
        """Place an order. Return its id, or None if it was not accepted."""
        key = uuid4().hex
        answer = self.request("POST", "/trading/orders", body, key=key)
        if answer.status_code != 201:
            return None
        order_id: str = answer.json()["data"]["id"]
        self.journal.accepted.append(Accepted(key, order_id, body))
        return order_id


class Trader(Client):
    """Client that performs random actions: market and limit orders, amendments, cancellations and
    reads.
    """

    def __init__(self, url: str, name: str, *, rng: Random, **more: Any) -> None:
        super().__init__(url, name, **more)
        self._rng = rng
        self._resting: list[tuple[str, str]] = []
        self._prices: dict[str, int] = {}

    def act(self) -> None:
        (act,) = self._rng.choices(
            (self._market, self._limit, self._amend, self._cancel, self._read),
            weights=(5, 4, 1, 1, 1),
        )
        act()

    def _market(self) -> None:
        side, code = self._rng.choice(("BUY", "BUY", "SELL")), self._rng.choice(STOCKS)
        self.place(
            {
                "stock_code": code,
                "side": side,
                "order_type": "MARKET",
                "quantity": self._rng.randint(1, 2),
            }
        )

    def _limit(self) -> None:
        code = self._rng.choice(STOCKS)
        price = self._price_near_last(code)
        if price is None:
            return
        side = self._rng.choice(("BUY", "BUY", "SELL"))
        terms = {
            "order_type": "LIMIT",
            "price": price,
            "time_in_force": self._rng.choice(("DAY", "GTC")),
        }
        order_id = self.place({"stock_code": code, "side": side, "quantity": 1} | terms)
        if order_id is not None:
            self._resting.append((order_id, code))

    def _amend(self) -> None:
        if self._resting:
            order_id, code = self._rng.choice(self._resting)
            price = self._price_near_last(code)
            self.request(
                "PATCH",
                f"/trading/orders/{order_id}",
                {"price": price} if price else {"quantity": 1},
            )

    def _cancel(self) -> None:
        if self._resting:
            order_id, _ = self._resting.pop(self._rng.randrange(len(self._resting)))
            self.request("DELETE", f"/trading/orders/{order_id}")

    def _read(self) -> None:
        self.request("GET", self._rng.choice(("/balance", "/portfolio", "/trading/orders?limit=5")))

    def _price_near_last(self, code: str) -> int | None:
        """Return a price a few tick sizes from the last price seen, or None if no price was seen
        yet.
        """
        answer = (
            self.request("GET", f"/trading/realtime/stock/{code}")
            if self._rng.random() < 0.3
            else None
        )
        if answer is not None and answer.status_code == 200:
            self._prices[code] = answer.json()["data"]["price"]
        last = self._prices.get(code)
        return (
            None
            if last is None
            else floor_to_grid(last + self._rng.choice((-6, -3, -1, 0, 1, 3)) * tick_size(last))
        )


class LoadClient(Protocol):
    """Client that performs one action at a time and keeps a journal."""

    journal: Journal
    stopped: threading.Event

    def act(self) -> None: ...

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
    ) -> requests.Response: ...


class Load:
    """Clients that THREADS threads drive in turn between `begin` and `rest`."""

    def __init__(self, clients: Sequence[LoadClient]) -> None:
        self.clients = clients
        self._stopping = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._working: list[Future[None]] = []

    @property
    def accepted(self) -> list[Accepted]:
        return [one for client in self.clients for one in list(client.journal.accepted)]

    @property
    def answers(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for client in self.clients:
            total.update(dict(client.journal.answers))
        return total

    @property
    def longest_s(self) -> float:
        return max(client.journal.longest_s for client in self.clients)

    @property
    def unexpected(self) -> list[str]:
        return [one for client in self.clients for one in client.journal.unexpected]

    def begin(self) -> None:
        """Start trading with empty journals."""
        for client in self.clients:
            client.journal = Journal()
            client.stopped.clear()
        self._stopping.clear()
        self._pool = ThreadPoolExecutor(THREADS)
        self._working = [self._pool.submit(self._work, number) for number in range(THREADS)]

    def wait_for_orders(self, count: int) -> None:
        """Wait until `count` more orders were accepted."""
        wanted = len(self.accepted) + count
        wait_until(
            lambda: len(self.accepted) >= wanted or self._broken(),
            what=f"{count} orders",
        )

    def rest(self) -> None:
        """Let every client finish its current action, and stop. Raise what a client raised."""
        self._stopping.set()
        if self._pool is not None:
            for one in self._working:
                one.result(2 * DEADLINE_S)
            self._pool.shutdown()
            self._pool = None

    def abort(self) -> None:
        """Stop all clients at once and ignore their errors."""
        for client in self.clients:
            client.stopped.set()
        with suppress(BaseException):
            self.rest()

    def _broken(self) -> bool:
        return any(one.done() for one in self._working)

    def _work(self, number: int) -> None:
        mine = self.clients[number::THREADS]
        rng = Random(number)
        while not self._stopping.is_set():
            began = monotonic()
            rng.choice(mine).act()
            thought = min(THINK_TIME_FACTOR * (monotonic() - began), THINK_TIME_MAX_S)
            self._stopping.wait(thought + rng.uniform(0, PAUSE_MAX_S))
