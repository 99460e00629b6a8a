"""Benchmark of order entry: `python -m benchmarks.order_entry`.

The real `gunicorn wsgi:app` with `gunicorn.conf.py` runs on MariaDB with durable commits and on
Valkey. Signed-in users place orders, half of them sales and half of them limit orders, over
persistent connections; a load generator in its own process keeps all connections busy. Rounds of
orders alternate with rounds of a trivial signed-in request, `GET /api/v1/users/me`. The ratio of
the two rates is the most useful figure, because machines differ and may be shared. A last round
sends orders at half of the measured rate at random times, for realistic latencies.

No Celery worker runs during the measurement: it would take a share of the cores, and only entry is
measured, so the queue grows. Before it, a worker fills the orders with which the users buy their
shares. Afterwards every order that was answered with 201 must be a row, and the audit must find
nothing.

Prints a line per round, the processor time per order of each server and, as its last line, one JSON
object.
"""

import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice, pairwise
from multiprocessing import get_context
from pathlib import Path
from urllib.request import urlopen

from flask_migrate import upgrade
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from benchmarks.command_line import percentile, plan_from_command_line
from benchmarks.http_load import Load, Outcome, measure
from benchmarks.mariadb import MariaDB
from benchmarks.market_setup import list_stocks, require_clean_audit
from benchmarks.processes import UNLIMITED, cpu_s, running, wait_for
from launcher.ports import LOOPBACK, free_port
from launcher.valkey import Valkey
from trading import bootstrap as trading_core
from trading.accounts.accounts import RegisterUser, SignIn, register, sign_in
from trading.bootstrap import Core
from trading.config.settings import Settings
from trading.db.ids import new_id
from trading.exchange.order_types import Side
from trading.ledger.tables import HoldingRow
from trading.orders.tables import OrderRow
from trading.unit_of_work import UnitOfWork
from webapp import create_app
from webapp.background_sender import background_dispatcher
from webapp.http.authentication import issue_tokens

STOCKS = 100
PRICE = 10_000
TICK_SIZE = 10
SHARES_HELD = 100_000
ORDERS = "/api/v1/trading/orders"
TRIVIAL = "/api/v1/users/me"
_PASSWORD = "everybody's"

Send = Callable[[Load], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Size of the run: the options of the command line."""

    users: int = 500
    connections: int = 32
    rounds: int = 5
    seconds: float = 5.0
    limit_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Trader:
    """A signed-in user and the one stock that this user trades."""

    token: str
    stock_code: str


@dataclass(slots=True)
class Measurements:
    """Results of the rounds. `accepted` are the URLs of all orders that were answered with 201."""

    accepted: list[str]
    orders_per_s: list[float] = field(default_factory=list)
    trivial_per_s: list[float] = field(default_factory=list)
    cpu_ms: list[dict[str, float]] = field(default_factory=list)
    calm_ms: tuple[float, float] = (0.0, 0.0)
    alone_ms: float = 0.0

    def add_round(self, outcome: Outcome, cpu_s: Mapping[str, float]) -> None:
        self.accepted += outcome.locations
        self.orders_per_s.append(outcome.per_s)
        self.cpu_ms.append(
            {name: 1_000 * spent / len(outcome.locations) for name, spent in cpu_s.items()}
        )

    @property
    def ratios(self) -> list[float]:
        """Return each round of orders divided by the trivial rounds before and after it."""
        trivial = self.trivial_per_s
        around = [(before + after) / 2 for before, after in pairwise(trivial)]
        return [rate / yardstick for rate, yardstick in zip(self.orders_per_s, around, strict=True)]


def main() -> None:
    plan = plan_from_command_line(Plan, __doc__)
    with (
        tempfile.TemporaryDirectory() as folder,
        _load_process() as send,
        MariaDB(innodb_flush_log_at_trx_commit=1) as mariadb,
        Valkey(Path(folder) / "valkey") as valkey,
    ):
        settings = Settings.model_validate(
            {
                "database_uri": mariadb.create_database("order_entry"),
                "redis_url": valkey.url,
                "log_format": "json",
                "tick_freshness_ms": 3_600_000,
                "access_token_minutes": 24 * 60,
                "starting_cash": 10**12,
                "cash_max": 10**14,
                **UNLIMITED,
            }
        )
        traders = _set_up(settings, Path(folder) / "worker.log", users=plan.users)
        servers = {"MariaDB": [mariadb.pid or 0], "Valkey": [valkey.pid or 0]}
        with _gunicorn(settings, Path(folder) / "gunicorn.log") as (port, workers):
            measured = _measure(plan, traders, send, port=port, processes={**servers, **workers})
        _check(settings, measured.accepted)
    _print(measured)


@contextmanager
def _load_process() -> Iterator[Send]:
    """Run loads in a forked process. Forking is only safe before this process has threads."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as generator:
        generator.submit(os.getpid).result()
        yield lambda load: generator.submit(measure, load).result()


def _measure(
    plan: Plan,
    traders: Sequence[Trader],
    send: Send,
    *,
    port: int,
    processes: Mapping[str, Sequence[int]],
) -> Measurements:
    """Warm up, then measure: orders between trivial rounds, half of the rate, one connection."""
    load = partial(Load, port=port, connections=plan.connections, seconds=plan.seconds)
    trivial = partial(
        load, requests=[_request("GET", TRIVIAL, trader) for trader in traders], status=200
    )
    drawn = _orders(traders, 10 * len(traders), limit_share=plan.limit_share)
    orders = partial(
        load, requests=[_request("POST", ORDERS, *order) for order in drawn], status=201
    )
    send(trivial(seconds=plan.seconds / 2))
    done = Measurements(accepted=send(orders(seconds=plan.seconds / 2)).locations)
    done.trivial_per_s.append(send(trivial()).per_s)
    for number in range(1, plan.rounds + 1):
        cpu_before_s = _cpu_s(processes)
        outcome = send(orders())
        done.add_round(
            outcome, {name: spent - cpu_before_s[name] for name, spent in _cpu_s(processes).items()}
        )
        done.trivial_per_s.append(send(trivial()).per_s)
        before, after = done.trivial_per_s[-2:]
        print(
            f"round {number}: {outcome.per_s:,.0f} orders/s, {before:,.0f} and {after:,.0f} "
            "trivial/s around it",
            flush=True,
        )
    calm = send(
        orders(connections=4 * plan.connections, per_s=statistics.median(done.orders_per_s) / 2)
    )
    alone = send(orders(connections=1, seconds=plan.seconds / 2))
    done.accepted += calm.locations + alone.locations
    done.calm_ms = (percentile(calm.latencies_ms, 0.5), percentile(calm.latencies_ms, 0.99))
    done.alone_ms = percentile(alone.latencies_ms, 0.5)
    return done


def _print(measured: Measurements) -> None:
    p50_ms, p99_ms = measured.calm_ms
    print(f"\nat half of the rate: p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms")
    print("\nprocessor time that one order takes when saturated, ms")
    for name in measured.cpu_ms[0]:
        print(f"{statistics.median(one[name] for one in measured.cpu_ms):8.2f}  {name}")
    print(f"\nalone, over one connection: {measured.alone_ms:.2f} ms (median)\n")
    print(
        json.dumps(
            {
                "orders_per_s": round(statistics.median(measured.orders_per_s), 1),
                "trivial_per_s": round(statistics.median(measured.trivial_per_s), 1),
                "ratio": round(statistics.median(measured.ratios), 3),
                "p99_ms": round(p99_ms, 1),
            }
        )
    )


def _set_up(settings: Settings, log: Path, *, users: int) -> list[Trader]:
    """Create stocks with a tick each, and signed-in users with shares bought through the API."""
    core = trading_core.build(settings, deliver=background_dispatcher(settings))
    app = create_app(core)
    with app.app_context():
        upgrade()
        codes = [f"A{900_000 + number}" for number in range(STOCKS)]
        list_stocks(core, codes, price=PRICE)
        password_hash = core.passwords.hash(_PASSWORD)
        traders = [
            _sign_up(
                core, codes[number % STOCKS], password_hash=password_hash, name=f"user{number}"
            )
            for number in range(users)
        ]
    client = app.test_client()
    for trader in traders:
        order = _market_order(trader, Side.BUY) | {"quantity": SHARES_HELD}
        client.post(ORDERS, json=order, headers={"Authorization": f"Bearer {trader.token}"})
    with running(
        ["celery", "-A", "workers", "worker", "-P", "solo", "-l", "WARNING"], settings, log
    ) as worker:
        wait_for(
            lambda: core.read(_holders) == users,
            "every trader to hold shares",
            worker,
            log,
        )
    core.close()
    return traders


def _holders(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(HoldingRow)) or 0


def _sign_up(core: Core, stock_code: str, *, password_hash: str, name: str) -> Trader:
    """Create a signed-in user. All share one password, because hashing takes long."""
    user_id = new_id()

    def register_and_sign_in(uow: UnitOfWork) -> SignIn:
        command = RegisterUser(
            user_id=user_id, email=f"{name}@example.com", password_hash=password_hash, name=name
        )
        register(uow, command)
        return sign_in(
            uow,
            user_id=user_id,
            verified_hash=password_hash,
            passwords=core.passwords,
            password=_PASSWORD,
        )

    signed_in = core.run(register_and_sign_in)
    return Trader(issue_tokens(signed_in)["access_token"], stock_code)


def _orders(
    traders: Sequence[Trader], count: int, *, limit_share: float
) -> Iterator[tuple[Trader, bytes]]:
    """Yield orders for one share: users in turn, sides at random, `limit_share` of them limit
    orders.
    """
    for trader in islice(cycle(traders), count):
        order = _market_order(trader, random.choice(list(Side)))
        if random.random() < limit_share:
            order |= {"order_type": "LIMIT", "price": PRICE + TICK_SIZE * random.randint(-20, 20)}
        yield trader, json.dumps(order).encode()


def _market_order(trader: Trader, side: Side) -> dict[str, object]:
    return {"stock_code": trader.stock_code, "side": side, "order_type": "MARKET", "quantity": 1}


def _request(method: str, path: str, trader: Trader, body: bytes = b"") -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {LOOPBACK}",
        f"Authorization: Bearer {trader.token}",
        *(["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def _gunicorn(settings: Settings, log: Path) -> Iterator[tuple[int, dict[str, list[int]]]]:
    """Run the API as the Procfile does. Yield its port and its workers' pids.

    Its log is a file, so that the cost of logging is included.
    """
    port = free_port()
    with running(
        ["gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"], settings, log, API_PORT=str(port)
    ) as process:
        wait_for(lambda: _is_ready(port), "gunicorn to be ready", process, log)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield port, {"gunicorn's workers": [int(pid) for pid in children]}


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=1):
            return True
    except OSError:
        return False


def _cpu_s(processes: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the processor time (s) that each group of processes has used."""
    return {name: cpu_s(*pids) for name, pids in processes.items()}


def _check(settings: Settings, accepted: Sequence[str]) -> None:
    """Check that every answer of 201 is a row and that the audit is clean."""
    core = trading_core.build(settings)
    rows = {
        str(order_id)
        for order_id in core.database.read(
            lambda session: session.scalars(select(OrderRow.id)).all()
        )
    }
    lost = {location.rpartition("/")[2] for location in accepted} - rows
    if lost:
        sys.exit(f"{len(lost)} accepted orders are no rows.")
    require_clean_audit(core)
    core.close()
    print(
        f"\n{len(accepted):,} orders were accepted, each of them is a row, and the audit finds "
        "nothing"
    )


if __name__ == "__main__":
    main()
