"""The whole product as processes on private servers. A test may kill and start each of them."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from sqlalchemy import text

from launcher.ports import LOOPBACK, free_port
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import (
    Process,
    Valkey,
    front_door_command,
    front_door_variables,
    start_program,
    start_python,
    wait_until,
)
from tests.support.trading_harness import (
    CHEAP_PASSWORDS,
    COUNTED,
    TradingHarness,
    opened,
    settings_for,
)
from trading.audit.checks import audit
from trading.marketdata.ticks import Position
from trading.redis import keys

FRONT_DOOR = "front_door"
WEBHOOK_PATH = "/api/v1/payments/portone/webhook"


class Stack:
    """Front door, API, two workers, beat, relayer, sandbox, and optionally gateway and Flower.

    `start` and `kill` take the name of a process. `supervised` processes are restarted by the
    launcher's supervisor. `settings` are environment variables of all processes, `process_settings`
    of one process by its name. `process_settings` and `commands` may be changed before the next
    start.
    """

    def __init__(
        self,
        database_uri: str,
        valkey: Valkey,
        logs: Path,
        *,
        sandbox_arguments: tuple[str, ...] = (),
        gateway: bool = False,
        flower: bool = False,
        supervised: bool = False,
        settings: Mapping[str, str] | None = None,
        process_settings: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.valkey = valkey
        self.database_uri = database_uri
        self.logs = logs
        self._supervised = supervised
        (
            self._door_port,
            self._api_port,
            self._sandbox_port,
            self._gateway_port,
            self._portone_port,
        ) = (free_port() for _ in range(5))
        self.flower_port = free_port()
        door = front_door_variables(
            self._door_port, api_port=self._api_port, gateway_port=self._gateway_port, home=logs
        )
        self.process_settings = {FRONT_DOOR: door, **(process_settings or {})}
        self.url = f"http://{LOOPBACK}:{self._door_port}"
        self.api_url = f"http://{LOOPBACK}:{self._api_port}"
        self.portone_url = f"http://{LOOPBACK}:{self._portone_port}"
        self._environment = os.environ | {
            "DATABASE_URI": database_uri,
            "REDIS_URL": valkey.url,
            "API_PORT": str(self._api_port),
            "GATEWAY_PORT": str(self._gateway_port),
            "WORKERS": "2",
            "TOSS_API_URL": f"http://{LOOPBACK}:{self._sandbox_port}",
            "TOSS_WEBSOCKET_URL": f"ws://{LOOPBACK}:{self._sandbox_port}/ws",
            "PORTONE_API_BASE_URL": self.portone_url,
            "SWEEP_PERIOD_S": "2",
            "WAKE_GRACE_MS": "1000",
            **{name.upper(): str(value) for name, value in (CHEAP_PASSWORDS | COUNTED).items()},
            **(settings or {}),
        }
        self.commands = self._all_commands(sandbox_arguments)
        for name, wanted in (("gateway", gateway), ("flower", flower)):
            if not wanted:
                del self.commands[name]
        self._running: dict[str, Process] = {}

    def _all_commands(self, sandbox_arguments: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        celery = ("-m", "celery", "-A", "workers")
        worker = (
            *celery,
            "worker",
            "-E",
            "-c",
            "1",
            "-l",
            "INFO",
            "--without-gossip",
            "--without-mingle",
        )
        portone = (
            "--portone-port",
            str(self._portone_port),
            "--portone-webhook-url",
            self.url + WEBHOOK_PATH,
        )
        return {
            "sandbox": (
                "-m",
                "sandbox",
                "--port",
                str(self._sandbox_port),
                *portone,
                *sandbox_arguments,
            ),
            FRONT_DOOR: front_door_command(),
            "relayer": ("-m", "relayer"),
            "api": ("-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"),
            "worker-1": (*worker, "-n", "one@%h"),
            "worker-2": (*worker, "-n", "two@%h"),
            "beat": (
                *celery,
                "--quiet",
                "beat",
                "-l",
                "INFO",
                "-s",
                str(self.logs / "beat-schedule"),
                "--pidfile=",
            ),
            "gateway": ("-m", "push_gateway"),
            "flower": (*celery, "flower", "--logging=none", f"--port={self.flower_port}"),
        }

    @property
    def product_processes(self) -> tuple[str, ...]:
        """Names of all processes except the sandbox."""
        return tuple(name for name in self.commands if name != "sandbox")

    def start(self, *names: str) -> None:
        """Start these processes, or all."""
        for name in names or self.commands:
            command, start = self.commands[name], start_python
            environment = self._environment | self.process_settings.get(name, {})
            program = (sys.executable, *command)
            if name == FRONT_DOOR:
                program, start = command, start_program
            if self._supervised:
                command, start = ("-m", "launcher.supervisor", "--", *program), start_python
            with (self.logs / f"{name}.log").open("ab") as log:
                self._running[name] = start(
                    command, environment=environment, output=log, new_session=True
                )

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a process, its supervisor and its children at once, and wait for its
        end.
        """
        self.kill_together(name, number=number)

    def kill_together(self, *names: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Like `kill`, for several processes at the same moment."""
        ending = [self._running.pop(name) for name in names]
        for process in ending:
            for pid in {process.pid, *(children_of(process.pid) if self._supervised else ())}:
                with suppress(ProcessLookupError):
                    os.killpg(pid, number)
        for process in ending:
            process.wait(timeout=DEADLINE_S)

    def pause(self, name: str) -> None:
        """Freeze a process and its children."""
        os.killpg(self.pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Resume a frozen process and its children."""
        os.killpg(self.pid(name), signal.SIGCONT)

    def terminate(self, name: str) -> float:
        """Send SIGTERM to a process and return the seconds until it ended."""
        process = self._running.pop(name)
        began = time.monotonic()
        process.terminate()
        process.wait(timeout=DEADLINE_S)
        return time.monotonic() - began

    def pid(self, name: str) -> int:
        """Return the pid of the process itself, not of its supervisor."""
        pid = self._running[name].pid
        if not self._supervised:
            return pid
        (supervised,) = children_of(pid)
        return supervised

    def children(self, name: str) -> list[int]:
        """Return the pids of a process's children."""
        return children_of(self.pid(name))

    def stop(self) -> None:
        for name in list(self._running):
            self.kill(name)

    def wait_until_up(self) -> None:
        """Wait until the API takes orders and the relayer is healthy."""
        ready, health = (
            f"{self.api_url}/readyz",
            f"{self.url}/api/v1/trading/realtime/daemon/health",
        )
        wait_until(lambda: self._answers(ready), what="the API is ready")
        wait_until(lambda: self._answers(health), what="the relayer is healthy")

    def _answers(self, url: str) -> bool:
        with suppress(requests.RequestException):
            return requests.get(url, timeout=DEADLINE_S).status_code == 200
        return False

    def trader(self, name: str) -> "Trader":
        """Return a newly registered, signed-in user."""
        return Trader(self.url, name)

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")


def children_of(pid: int) -> list[int]:
    """Return the pids of a process's children; empty if the process is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    return []


class Trader:
    """User with one connection. Answers must come within DEADLINE_S and be below 500, or 503."""

    def __init__(self, url: str, name: str) -> None:
        self._url = f"{url}/api/v1"
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(pool_maxsize=1, max_retries=0))
        account = {"email": f"{name}@example.com", "password": "correct horse battery"}
        self._post_until_admitted("/users", account | {"name": name})
        tokens = self._post_until_admitted("/users/login", account).json()["data"]
        self._session.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def _post_until_admitted(self, path: str, body: Mapping[str, Any]) -> requests.Response:
        """Post until the answer is not 503, which the API gives while it cannot count requests in
        Redis.
        """
        answers: list[requests.Response] = []

        def admitted() -> bool:
            answers.append(self.post(path, body, slow=True))
            return answers[-1].status_code != 503

        wait_until(admitted, what="sign-ups are counted")
        return answers[-1]

    def get(self, path: str) -> Any:
        """Return the `data` of a successful answer."""
        answer = self._checked(self._session.get(self._url + path, timeout=DEADLINE_S))
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def post(
        self, path: str, body: Mapping[str, Any], *, slow: bool = False, **headers: str
    ) -> requests.Response:
        return self._checked(
            self._session.post(self._url + path, json=body, headers=headers, timeout=DEADLINE_S),
            slow=slow,
        )

    def order(
        self, side: str, quantity: int, code: str = "A005930", **headers: str
    ) -> requests.Response:
        body = {"stock_code": code, "side": side, "order_type": "MARKET", "quantity": quantity}
        return self.post("/trading/orders", body, **headers)

    def resting_order(
        self, side: str, quantity: int, price: int, code: str = "A005930"
    ) -> requests.Response:
        """Place a GTC limit order."""
        body = {
            "stock_code": code,
            "side": side,
            "order_type": "LIMIT",
            "quantity": quantity,
            "price": price,
        }
        return self.post("/trading/orders", body | {"time_in_force": "GTC"})

    def applied(self, order_id: str) -> dict[str, Any] | None:
        """Return the order once it is applied to the holdings; None before."""
        order = self.get(f"/trading/orders/{order_id}")
        done = order["status"] == "FILLED" and all(
            execution["applied_at"] for execution in order["executions"]
        )
        return order if done else None

    def wait_until_applied(self, order_id: str) -> dict[str, Any]:
        wait_until(
            lambda: self.applied(order_id),
            what=f"order {order_id} is applied",
        )
        order = self.applied(order_id)
        assert order is not None
        return order

    @staticmethod
    def _checked(answer: requests.Response, *, slow: bool = False) -> requests.Response:
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        assert slow or answer.elapsed.total_seconds() < DEADLINE_S, (
            f"{answer.url} took {answer.elapsed}"
        )
        return answer


@contextmanager
def running_stack(
    database_uri: str, folder: Path, *, valkey: Valkey | None = None, **more: Any
) -> Iterator[tuple[Stack, TradingHarness]]:
    """Run a stack on an emptied database, and yield it with a trading harness on the same database.

    It uses its own Redis unless a running one is given. `more` are arguments of `Stack`.
    """
    with (
        Valkey(folder / "valkey") if valkey is None else nullcontext(valkey) as running,
        opened(settings_for(database_uri, running.url)) as harness,
    ):
        stack = Stack(database_uri, running, folder, **more)
        try:
            stack.start()
            stack.wait_until_up()
            yield stack, harness
        finally:
            stack.stop()


def all_orders_done(harness: TradingHarness) -> bool:
    """Return True if every order is final and every fill is settled and applied."""
    waiting = (
        "SELECT (SELECT COUNT(*) FROM orders WHERE finished_at IS NULL) + (SELECT COUNT(*) FROM "
        "order_executions WHERE applied_at IS NULL)"
    )
    return harness.core.database.read(lambda session: session.scalar(text(waiting))) == 0


def matcher_caught_up(harness: TradingHarness) -> bool:
    """Return True if the matcher has read the whole tick stream and none of its fills is left to
    apply.
    """
    (last,) = harness.core.redis.xrevrange(keys.TICK_STREAM, count=1)
    position = Position.parse(last[0]).packed
    undone = f"""SELECT (SELECT COUNT(*) FROM match_cursors WHERE position < {position}) +
        (SELECT COUNT(*) FROM pending_fills)
        + (SELECT COUNT(*) FROM orders WHERE next_attempt_at IS NOT NULL)
        + (SELECT COUNT(*) FROM order_executions WHERE applied_at IS NULL)"""
    return harness.core.database.read(lambda session: session.scalar(text(undone))) == 0


def breaches(harness: TradingHarness) -> list[object]:
    return [one for one in harness.core.snapshot(audit) if one.breaches]


def register_traders(stack: Stack, names: list[str]) -> list[Trader]:
    """Register many users concurrently."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(stack.trader, names))
