"""The whole product as real processes on private servers, each of which a test may kill and start again by itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from sqlalchemy import text

from launcher.leash import leashed
from launcher.ports import LOOPBACK, free_port
from tests.books import CHEAP_PASSWORDS, Books, opened, settings_for
from tests.servers import Valkey, wait_until
from trading.market import keys
from trading.market.tick import Position
from trading.queries.audit import audit

ROOT = Path(__file__).parents[2]
ANSWER_MAX_S = 2.0


class House:
    """API, two workers, beat, relayer and sandbox, and Flower where it is asked for. ``start`` and ``kill`` take the name of one of them."""

    def __init__(
        self,
        database_uri: str,
        valkey: Valkey,
        logs: Path,
        *,
        sandbox_arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.valkey = valkey
        self.database_uri = database_uri
        self._logs = logs
        self._api_port, self._sandbox_port, self.flower_port = free_port(), free_port(), free_port()
        self.url = f"http://{LOOPBACK}:{self._api_port}"
        self._environment = os.environ | {
            "DATABASE_URI": database_uri,
            "REDIS_URL": valkey.url,
            "API_PORT": str(self._api_port),
            "WORKERS": "2",
            "TOSS_API_URL": f"http://{LOOPBACK}:{self._sandbox_port}",
            "TOSS_WEBSOCKET_URL": f"ws://{LOOPBACK}:{self._sandbox_port}/ws",
            "SWEEP_PERIOD_S": "2",
            "WAKE_GRACE_MS": "1000",
            **{name.upper(): str(value) for name, value in CHEAP_PASSWORDS.items()},
            **environment,
        }
        python = (sys.executable, "-m")
        celery = (*python, "celery", "-A", "workers")
        worker = (*celery, "worker", "-E", "-c", "1", "-l", "INFO", "--without-gossip", "--without-mingle")
        self._commands: Mapping[str, tuple[str, ...]] = {
            "sandbox": (*python, "sandbox", "--port", str(self._sandbox_port), *sandbox_arguments),
            "relayer": (*python, "relayer"),
            "api": (*python, "gunicorn", "wsgi:app"),
            "worker-1": (*worker, "-n", "one@%h"),
            "worker-2": (*worker, "-n", "two@%h"),
            "beat": (*celery, "--quiet", "beat", "-l", "INFO", "-s", str(logs / "beat-schedule"), "--pidfile="),
            "flower": (*celery, "flower", "--logging=none", f"--port={self.flower_port}"),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        """Start these processes, or all but Flower."""
        for name in names or [name for name in self._commands if name != "flower"]:
            with (self._logs / f"{name}.log").open("ab") as log:
                self._running[name] = subprocess.Popen(
                    leashed(list(self._commands[name])),
                    cwd=ROOT,
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a process and all its children at once, and wait for its end."""
        process = self._running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait(timeout=60)

    def children(self, name: str) -> list[int]:
        """The pids of a process's own processes."""
        pid = self._running[name].pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> None:
        for name in list(self._running):
            self.kill(name)

    def wait_until_up(self) -> None:
        """Until the API takes orders and the market is live."""
        wait_until(lambda: self._answers("/readyz"), what="the API is ready", deadline_s=60)
        health = "/api/v1/trading/realtime/daemon/health"
        wait_until(lambda: self._answers(health), what="the relayer is healthy", deadline_s=60)

    def _answers(self, path: str) -> bool:
        with suppress(requests.RequestException):
            return requests.get(self.url + path, timeout=5).status_code == 200
        return False

    def trader(self, name: str) -> "Trader":
        """A freshly registered, signed-in user."""
        return Trader(self.url, name)

    def log(self, name: str) -> str:
        return (self._logs / f"{name}.log").read_text(errors="replace")


class Trader:
    """A user and his connection; every answer must come within ANSWER_MAX_S and never be a 5xx other than 503."""

    def __init__(self, url: str, name: str) -> None:
        self._url = f"{url}/api/v1"
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(pool_maxsize=1, max_retries=0))
        account = {"email": f"{name}@example.com", "password": "correct horse battery"}
        self.post("/users", account | {"name": name}, slow=True)
        tokens = self.post("/users/login", account, slow=True).json()["data"]
        self._session.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def get(self, path: str) -> Any:
        """The ``data`` of a successful answer."""
        answer = self._checked(self._session.get(self._url + path, timeout=30))
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def post(self, path: str, body: Mapping[str, Any], *, slow: bool = False, **headers: str) -> requests.Response:
        return self._checked(self._session.post(self._url + path, json=body, headers=headers, timeout=30), slow=slow)

    def order(self, side: str, quantity: int, code: str = "A005930", **headers: str) -> requests.Response:
        body = {"stock_code": code, "side": side, "order_type": "MARKET", "quantity": quantity}
        return self.post("/trading/orders", body, **headers)

    def waiting_order(self, side: str, quantity: int, price: int, code: str = "A005930") -> requests.Response:
        """A limit order that waits until it is filled or cancelled."""
        body = {"stock_code": code, "side": side, "order_type": "LIMIT", "quantity": quantity, "price": price}
        return self.post("/trading/orders", body | {"time_in_force": "GTC"})

    def applied(self, order_id: str) -> dict[str, Any] | None:
        """The order once it is in the portfolio; None before."""
        order = self.get(f"/trading/orders/{order_id}")
        done = order["status"] == "FILLED" and all(execution["applied_at"] for execution in order["executions"])
        return order if done else None

    def wait_until_applied(self, order_id: str, *, deadline_s: float = 20.0) -> dict[str, Any]:
        wait_until(lambda: self.applied(order_id), what=f"order {order_id} is applied", deadline_s=deadline_s)
        order = self.applied(order_id)
        assert order is not None
        return order

    @staticmethod
    def _checked(answer: requests.Response, *, slow: bool = False) -> requests.Response:
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        assert slow or answer.elapsed.total_seconds() < ANSWER_MAX_S, f"{answer.url} took {answer.elapsed}"
        return answer


@contextmanager
def lived_in(
    database_uri: str,
    folder: Path,
    *,
    sandbox_arguments: tuple[str, ...] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[House, Books]]:
    """A running house on empty books, and the books themselves for looking at; stopped afterwards, whatever happened."""
    with (
        Valkey(folder / "valkey") as valkey,
        opened(settings_for(database_uri, valkey.url)) as books,
    ):
        house = House(database_uri, valkey, folder, sandbox_arguments=sandbox_arguments, environment=environment)
        try:
            house.start()
            house.wait_until_up()
            yield house, books
        finally:
            house.stop()


def nothing_due(books: Books) -> bool:
    """Whether every order is final and every fill settled and applied."""
    waiting = "SELECT (SELECT COUNT(*) FROM orders WHERE finished_at IS NULL) + (SELECT COUNT(*) FROM order_executions WHERE applied_at IS NULL)"
    return books.core.database.read(lambda session: session.scalar(text(waiting))) == 0


def caught_up(books: Books) -> bool:
    """Whether the matcher has read the whole tick stream and nothing that it found is left to execute, settle or apply."""
    (last,) = books.core.redis.xrevrange(keys.TICK_STREAM, count=1)
    place = Position.parse(last[0]).packed
    undone = f"""SELECT (SELECT COUNT(*) FROM match_cursors WHERE position < {place}) + (SELECT COUNT(*) FROM order_touches)
        + (SELECT COUNT(*) FROM orders WHERE wake_at IS NOT NULL)
        + (SELECT COUNT(*) FROM order_executions WHERE applied_at IS NULL)"""
    return books.core.database.read(lambda session: session.scalar(text(undone))) == 0


def breaches(books: Books) -> list[object]:
    return [one for one in books.core.database.snapshot(lambda session: list(audit(session))) if one.breaches]


def traders(house: House, names: list[str]) -> list[Trader]:
    """Many users, registered side by side."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(house.trader, names))
