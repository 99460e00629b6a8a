"""Benchmark of the push gateway: `python -m benchmarks.gateway`.

The real `python -m push_gateway` runs on Valkey. Clients in their own processes follow a few of a
hundred stocks each, half of them over server-sent events and half over WebSocket, while trades are
published at a steady rate, and account events of some users. The second round is the same with
additional clients that never read.

After each round every client must have the last tick of each of its stocks, and every account event
of its user once and in order; otherwise the run fails. It prints latencies from publication to
arrival at a client (clients share the processor with the gateway here), the gateway's processor use
and its memory. The last line is one JSON object.
"""

import json
import multiprocessing
import os
import random
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.request import urlopen
from uuid import UUID, uuid4

import jwt
from redis import Redis

from benchmarks.command_line import percentile, plan_from_command_line
from benchmarks.processes import cpu_s, rss_mib, running, wait_for
from benchmarks.push_clients import Outcome, Reader, follow
from launcher.ports import LOOPBACK, free_port
from launcher.valkey import Valkey
from push_gateway.server import HEALTH_PATH, STREAM_PATH
from relayer.ticks.sequence import TickSequence
from trading.access_tokens import ALGORITHM, ISSUER
from trading.account_events.stream import AccountEvent, AccountStreams, EventKind
from trading.config.settings import Settings
from trading.marketdata.ticks import Tick
from trading.redis import keys
from trading.redis.client import connect

SECRET = "a secret of the benchmark's own, as long as it must be"
_STEP_S = 0.01
_PAUSE_S = 0.5
_SETTLED_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Size of the run: the options of the command line."""

    clients: int = 2_000
    processes: int = 2
    stocks: int = 100
    ticks_per_s: int = 200
    events_per_s: int = 20
    seconds: float = 20.0
    dead: int = 50


@dataclass(frozen=True, slots=True)
class Round:
    """Result of one round.

    `cpu` is the gateway's share of one core, memory is in MiB, and `settled_s` is the time from the
    last tick until all clients had received everything.
    """

    p50_ms: float
    p99_ms: float
    messages_per_s: float
    cpu: float
    rss_mib: float
    settled_s: float

    @property
    def us_per_message(self) -> float:
        """Processor time of the gateway per message and client (µs), independent of other load on
        the machine.
        """
        return 1_000_000 * self.cpu / self.messages_per_s


class Market:
    """Publishes ticks like the relayer and account events like the workers, and records what each
    client must receive.
    """

    def __init__(self, redis_url: str, codes: Sequence[str], users: Sequence[UUID]) -> None:
        self.last: dict[str, str] = {}
        self.events: dict[UUID, int] = dict.fromkeys(users, 0)
        self._redis: Redis = connect(redis_url, timeout_s=10)
        self._streams = AccountStreams(self._redis)
        self._sequence = TickSequence()
        self._codes = codes
        self._users = users

    def run(self, plan: Plan) -> None:
        """Publish for the plan's seconds. Messages that became due during a write go into the next
        one.
        """
        began, ticks, events = time.monotonic(), 0, 0
        while (elapsed_s := time.monotonic() - began) < plan.seconds:
            due_ticks = int(elapsed_s * plan.ticks_per_s) - ticks
            due_events = int(elapsed_s * plan.events_per_s) - events
            self._tick(due_ticks)
            for number in range(events, events + due_events):
                self._event(self._users[number % len(self._users)])
            ticks, events = ticks + due_ticks, events + due_events
            time.sleep(_STEP_S)

    def _tick(self, count: int) -> None:
        with self._redis.pipeline(transaction=True) as pipeline:
            for code in random.choices(self._codes, k=count):
                now = datetime.now(UTC)
                position = self._sequence.next(int(now.timestamp() * 1_000))
                text = Tick(
                    code=code,
                    price=random.randrange(50_000, 60_000),
                    base=55_000,
                    volume=10,
                    cumulative_volume=1_000_000,
                    trade_type="BUY",
                    session="REGULAR_MARKET",
                    exchange="KRX",
                    traded_at=now,
                    received_at=now,
                    position=position,
                ).to_json()
                pipeline.publish(keys.tick_channel(code), text)
                pipeline.set(keys.last_tick(code), text, ex=keys.TICK_TTL_S)
                self.last[code] = str(position)
            pipeline.execute()

    def _event(self, user_id: UUID) -> None:
        self.events[user_id] += 1
        event = AccountEvent(
            user_id=user_id,
            id=self.events[user_id],
            kind=EventKind.FILL,
            occurred_at=datetime.now(UTC),
            data={"order_id": str(uuid4()), "price": 55_000, "quantity": 10},
        )
        self._streams.append([event])


def main() -> None:
    plan = plan_from_command_line(Plan, __doc__)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder, Valkey(Path(folder) / "valkey") as valkey:
        settings = Settings.model_validate(
            {
                "redis_url": valkey.url,
                "jwt_secret_key": SECRET,
                "log_format": "json",
                "log_level": "WARNING",
            }
        )
        port, log = free_port(), Path(folder) / "gateway.log"
        more = {"GATEWAY_PORT": str(port), "GATEWAY_CLIENTS_MAX": str(plan.clients + plan.dead)}
        with running(["push_gateway"], settings, log, **more) as gateway:
            wait_for(lambda: _health(port).get("redis") is True, "the gateway", gateway, log)
            _measure(plan, port=port, pid=gateway.pid, redis_url=valkey.url)
            if text := log.read_text(errors="replace").strip():
                sys.exit(f"The gateway complained:\n{text[-2_000:]}")


def _measure(plan: Plan, *, port: int, pid: int, redis_url: str) -> None:
    codes = [f"A{number:06}" for number in range(plan.stocks)]
    users = [uuid4() for _ in range(plan.clients)]
    readers = [
        Reader(
            _token(user),
            tuple(random.sample(codes, random.randint(3, 5))),
            by_websocket=bool(number % 2),
        )
        for number, user in enumerate(users)
    ]
    rss_empty = rss_mib(pid)
    with ExitStack() as stack:
        shares = [range(number, plan.clients, plan.processes) for number in range(plan.processes)]
        began = time.monotonic()
        controls = [
            stack.enter_context(_following([readers[i] for i in share], port)) for share in shares
        ]
        for control in controls:
            _answer(control)
        print(f"{plan.clients} clients are in after {time.monotonic() - began:.1f} s", flush=True)
        rss_idle = rss_mib(pid)
        print(
            f"the gateway's memory: {rss_empty:.0f} MiB without clients, {rss_idle:.0f} MiB with "
            "all "
            "of them",
            flush=True,
        )
        market = Market(redis_url, codes, users[: max(1, plan.clients // 10)])
        settle = partial(_settle, market, users, readers, shares, controls)
        calm = _round(plan, market, controls, pid, settle)
        _report("all read", calm)
        for sock in [_dead_client(port, codes) for _ in range(plan.dead)]:
            stack.callback(sock.close)
        dead = _round(plan, market, controls, pid, settle)
        _report(f"{plan.dead} more never read", dead)
        print(f"of these {_health(port)['clients'] - plan.clients} are still connected", flush=True)
        for control in controls:
            control.send("end")
    figures = {
        "clients": plan.clients,
        "p50_ms": round(calm.p50_ms, 1),
        "p99_ms": round(calm.p99_ms, 1),
        "messages_per_s": round(calm.messages_per_s),
        "cpu": round(calm.cpu, 2),
        "us_per_message": round(calm.us_per_message, 1),
        "rss_empty_mib": round(rss_empty),
        "rss_idle_mib": round(rss_idle),
        "rss_mib": round(calm.rss_mib),
        "p99_dead_ms": round(dead.p99_ms, 1),
        "cpu_dead": round(dead.cpu, 2),
        "rss_dead_mib": round(dead.rss_mib),
    }
    print(
        f"load of the machine in the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} "
        "cores"
    )
    print(json.dumps(figures))


def _round(
    plan: Plan, market: Market, controls: Sequence[Connection], pid: int, settle: Callable[[], None]
) -> Round:
    for control in controls:
        control.send("begin")
    used_s, began = cpu_s(pid), time.monotonic()
    market.run(plan)
    seconds = time.monotonic() - began
    share = (cpu_s(pid) - used_s) / seconds
    settle()
    settled_s = time.monotonic() - began - seconds
    outcomes = _outcomes(controls)
    latencies = [latency for outcome in outcomes for latency in outcome.latencies_ms]
    return Round(
        p50_ms=percentile(latencies, 0.5),
        p99_ms=percentile(latencies, 0.99),
        messages_per_s=sum(outcome.messages for outcome in outcomes) / seconds,
        cpu=share,
        rss_mib=rss_mib(pid),
        settled_s=settled_s,
    )


def _settle(
    market: Market,
    users: Sequence[UUID],
    readers: Sequence[Reader],
    shares: Sequence[range],
    controls: Sequence[Connection],
) -> None:
    """Wait until every client has received everything once and in order. Exit if one never has."""
    deadline = time.monotonic() + _SETTLED_S
    while fault := _first_error(
        market, users, readers, zip(shares, _outcomes(controls), strict=True)
    ):
        if time.monotonic() > deadline:
            sys.exit(fault)
        time.sleep(_PAUSE_S)


def _first_error(
    market: Market,
    users: Sequence[UUID],
    readers: Sequence[Reader],
    outcomes: Iterable[tuple[range, Outcome]],
) -> str | None:
    """Return the first missing or surplus message of a client, or None."""
    for share, outcome in outcomes:
        if outcome.lost:
            return f"{outcome.lost} clients lost their connection."
        for number, last, ids in zip(share, outcome.last_ticks, outcome.event_ids, strict=True):
            if ids != list(range(1, market.events.get(users[number], 0) + 1)):
                return f"Client {number} got the events {ids}."
            got = {code: json.loads(data)["position"] for code, data in last.items()}
            wanted = {
                code: market.last[code] for code in readers[number].codes if code in market.last
            }
            if got != wanted:
                return f"Client {number} got {got} instead of {wanted}."
    return None


def _report(name: str, measured: Round) -> None:
    print(
        f"{name}: tick to client p50 {measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms, "
        f"{measured.messages_per_s:,.0f} messages/s, "
        f"{measured.cpu:.0%} of a core ({measured.us_per_message:.0f} µs a message), "
        f"{measured.rss_mib:.0f} MiB; {measured.settled_s:.1f} s later every client has all that "
        "it must",
        flush=True,
    )


@contextmanager
def _following(readers: Sequence[Reader], port: int) -> Iterator[Connection]:
    """Run a process of clients, and end it by its pid."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=follow, args=(readers, port, there), daemon=True
    )
    process.start()
    there.close()
    try:
        yield here
    finally:
        process.join(5)
        process.kill()


def _outcomes(controls: Sequence[Connection]) -> list[Outcome]:
    for control in controls:
        control.send("report")
    return [_answer(control) for control in controls]  # type: ignore[misc]


def _answer(control: Connection) -> object:
    try:
        return control.recv()
    except EOFError:
        sys.exit("A process of clients has ended.")


def _token(user_id: UUID) -> str:
    claims = {"type": "access", "sub": str(user_id), "sid": uuid4().hex, "iss": ISSUER}
    return jwt.encode(
        {**claims, "exp": datetime.now(UTC) + timedelta(hours=8)}, SECRET, algorithm=ALGORITHM
    )


def _dead_client(port: int, codes: Sequence[str]) -> socket.socket:
    """Open a client that follows all stocks and never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect((LOOPBACK, port))
    query = "&".join(f"stock_codes={code}" for code in codes[:200])
    connection.sendall(
        f"GET {STREAM_PATH}?{query} HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Bearer "
        f"{_token(uuid4())}\r\n\r\n".encode()
    )
    return connection


def _health(port: int) -> dict[str, int]:
    try:
        with urlopen(f"http://{LOOPBACK}:{port}{HEALTH_PATH}", timeout=5) as answer:
            counts: dict[str, int] = json.loads(answer.read())
            return counts
    except OSError:
        return {}


if __name__ == "__main__":
    main()
