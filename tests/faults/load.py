"""A crowd that trades over HTTP whatever happens: each asks, under one key, until there is an answer that stands, and remembers what it was told."""

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
HANDS = 6
PAUSE_MAX_S = 0.3
# How many times longer than an answer took somebody thinks about it: on a busy machine the crowd is slower, and the system keeps up with it.
THOUGHT = 8
THOUGHT_MAX_S = 3.0
RETRY_S = 0.1
# What a client tries again for, under the same key. That there is no price now is an answer.
PASSING = {"service-unavailable", "request-in-progress"}
REFUSED, SILENT = "refused", "silent"


@dataclass(frozen=True, slots=True)
class Accepted:
    """An order that was answered 201, and the request that asked for it."""

    key: str
    order_id: str
    body: Mapping[str, Any]


@dataclass
class Journal:
    """What one user was told. ``answers`` counts by status, or REFUSED and SILENT for none; ``longest_s`` is the longest wait for one answer."""

    accepted: list[Accepted] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    unforeseen: list[str] = field(default_factory=list)


class Client:
    """A signed-in user's connection, which asks again for DEADLINE_S unless ``gone``."""

    def __init__(self, url: str, name: str, *, silence_s: float = 30.0) -> None:
        self.name = name
        self.journal = Journal()
        self.gone = threading.Event()
        self._url = f"{url}/api/v1"
        self._silence_s = silence_s
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(pool_maxsize=1, max_retries=0))
        account = {"email": f"{name}@example.com", "password": "correct horse battery"}
        self.ask("POST", "/users", account | {"name": name})
        tokens = self.ask("POST", "/users/login", account).json()["data"]
        self.token: str = tokens["access_token"]
        self._session.headers["Authorization"] = f"Bearer {self.token}"
        self.id: str = self.get("/users/me")["id"]
        self.journal = Journal()

    def get(self, path: str) -> Any:
        """The ``data`` of a successful answer."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
    ) -> requests.Response:
        """The answer that stands. AssertionError when there is none within DEADLINE_S, or one that nobody may be given."""
        headers = {} if method == "GET" else {"Idempotency-Key": key or uuid4().hex}
        deadline = monotonic() + DEADLINE_S
        while monotonic() < deadline and not self.gone.is_set():
            answer = self._ask_once(method, path, body, headers)
            if answer is not None and not (
                answer.status_code >= 400 and answer.json()["code"] in PASSING
            ):
                return answer
            self.gone.wait(RETRY_S)
        raise AssertionError(f"{self.name}: {method} {path} was not answered for {DEADLINE_S:g} s")

    def _ask_once(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> requests.Response | None:
        journal, began = self.journal, monotonic()
        try:
            answer = self._session.request(
                method, self._url + path, json=body, headers=headers, timeout=self._silence_s
            )
        except requests.Timeout:
            journal.answers[SILENT] += 1
            return None
        except requests.RequestException:
            journal.answers[REFUSED] += 1
            return None
        finally:
            journal.longest_s = max(journal.longest_s, monotonic() - began)
        journal.answers[str(answer.status_code)] += 1
        if answer.status_code >= 500 and answer.status_code != 503:
            journal.unforeseen.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def place(self, body: Mapping[str, Any]) -> str | None:
        """Place an order; its id where it was accepted."""
        key = uuid4().hex
        answer = self.ask("POST", "/trading/orders", body, key=key)
        if answer.status_code != 201:
            return None
        order_id: str = answer.json()["data"]["id"]
        self.journal.accepted.append(Accepted(key, order_id, body))
        return order_id


class Trader(Client):
    """Does one thing after another at random: buys and sells at the market, leaves limit orders around it, amends and cancels them, looks."""

    def __init__(self, url: str, name: str, *, chance: Random, **more: Any) -> None:
        super().__init__(url, name, **more)
        self._chance = chance
        self._resting: list[tuple[str, str]] = []
        self._prices: dict[str, int] = {}

    def act(self) -> None:
        (act,) = self._chance.choices(
            (self._market, self._limit, self._amend, self._cancel, self._look),
            weights=(5, 4, 1, 1, 1),
        )
        act()

    def _market(self) -> None:
        side, code = self._chance.choice(("BUY", "BUY", "SELL")), self._chance.choice(STOCKS)
        self.place(
            {
                "stock_code": code,
                "side": side,
                "order_type": "MARKET",
                "quantity": self._chance.randint(1, 2),
            }
        )

    def _limit(self) -> None:
        code = self._chance.choice(STOCKS)
        price = self._around(code)
        if price is None:
            return
        side = self._chance.choice(("BUY", "BUY", "SELL"))
        terms = {
            "order_type": "LIMIT",
            "price": price,
            "time_in_force": self._chance.choice(("DAY", "GTC")),
        }
        order_id = self.place({"stock_code": code, "side": side, "quantity": 1} | terms)
        if order_id is not None:
            self._resting.append((order_id, code))

    def _amend(self) -> None:
        if self._resting:
            order_id, code = self._chance.choice(self._resting)
            price = self._around(code)
            self.ask(
                "PATCH",
                f"/trading/orders/{order_id}",
                {"price": price} if price else {"quantity": 1},
            )

    def _cancel(self) -> None:
        if self._resting:
            order_id, _ = self._resting.pop(self._chance.randrange(len(self._resting)))
            self.ask("DELETE", f"/trading/orders/{order_id}")

    def _look(self) -> None:
        self.ask("GET", self._chance.choice(("/balance", "/portfolio", "/trading/orders?limit=5")))

    def _around(self, code: str) -> int | None:
        """A price some steps of the grid away from the last one that was seen; None before any was."""
        answer = (
            self.ask("GET", f"/trading/realtime/stock/{code}")
            if self._chance.random() < 0.3
            else None
        )
        if answer is not None and answer.status_code == 200:
            self._prices[code] = answer.json()["data"]["price"]
        last = self._prices.get(code)
        return (
            None
            if last is None
            else floor_to_grid(last + self._chance.choice((-6, -3, -1, 0, 1, 3)) * tick_size(last))
        )


class Member(Protocol):
    """Somebody in the crowd: does one thing at a time, and keeps a journal."""

    journal: Journal
    gone: threading.Event

    def act(self) -> None: ...

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
    ) -> requests.Response: ...


class Crowd:
    """Members whom HANDS threads have act in turn from ``begin`` to ``rest``."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self._home = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._working: list[Future[None]] = []

    @property
    def accepted(self) -> list[Accepted]:
        return [one for member in self.members for one in list(member.journal.accepted)]

    @property
    def answers(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for member in self.members:
            total.update(dict(member.journal.answers))
        return total

    @property
    def longest_s(self) -> float:
        return max(member.journal.longest_s for member in self.members)

    @property
    def unforeseen(self) -> list[str]:
        return [one for member in self.members for one in member.journal.unforeseen]

    def begin(self) -> None:
        """Trade on, beginning with new journals."""
        for member in self.members:
            member.journal = Journal()
            member.gone.clear()
        self._home.clear()
        self._pool = ThreadPoolExecutor(HANDS)
        self._working = [self._pool.submit(self._work, number) for number in range(HANDS)]

    def wait_for_orders(self, count: int) -> None:
        """Until so many more orders were accepted."""
        wanted = len(self.accepted) + count
        wait_until(
            lambda: len(self.accepted) >= wanted or self._broken(),
            what=f"{count} orders",
        )

    def rest(self) -> None:
        """Let everybody finish what he is at. Raises what went wrong meanwhile."""
        self._home.set()
        if self._pool is not None:
            for one in self._working:
                one.result(2 * DEADLINE_S)
            self._pool.shutdown()
            self._pool = None

    def flee(self) -> None:
        """Leave everything as it is."""
        for member in self.members:
            member.gone.set()
        with suppress(BaseException):
            self.rest()

    def _broken(self) -> bool:
        return any(one.done() for one in self._working)

    def _work(self, number: int) -> None:
        mine = self.members[number::HANDS]
        chance = Random(number)
        while not self._home.is_set():
            began = monotonic()
            chance.choice(mine).act()
            thought = min(THOUGHT * (monotonic() - began), THOUGHT_MAX_S)
            self._home.wait(thought + chance.uniform(0, PAUSE_MAX_S))
