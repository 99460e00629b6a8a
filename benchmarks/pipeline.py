"""How fast a backlog of accepted market orders becomes settled holdings: ``python -m benchmarks.pipeline``.

MariaDB with durable commits and a real Celery worker with two pool children work off 10,000 orders of 1,000 users in 100 stocks, half of them
sales. Timed is everything from the first wake-up to the last fill applied to its holding. Beside it, in the same run and on the same server,
stands the rate at which one connection inserts and commits single rows: the ratio of the two says more than either, as machines differ.

Prints a line a round, and as its last line one JSON object with the medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any
from uuid import UUID

import pymysql
from flask_migrate import upgrade
from sqlalchemy import exists, or_, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from benchmarks.mariadb import MariaDB
from launcher.valkey import Valkey
from trading import core as trading_core
from trading.core import Core
from trading.database.ids import new_id
from trading.database.tables import Order, OrderExecution
from trading.database.transactions import nothing_to_find
from trading.market import keys
from trading.market.listing import ListedStock
from trading.market.tick import Position, Tick
from trading.queries.audit import audit
from trading.queue import Task, wakeups
from trading.rules.orders import OrderType, Side, TimeInForce
from trading.services.accounts import register
from trading.services.place_order import PlaceOrder, place_order
from trading.services.stock_list import import_stocks
from trading.settings import Settings
from webapp import create_app
from webapp.queue import producer_courier

USERS = 1_000
STOCKS = 100
POOL_CHILDREN = 2
PRICE = 10_000
COMMIT_SAMPLE_S = 3.0
DEADLINE_S = 300.0
_SETUP_BATCH = 100


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("--orders", type=int, default=10_000, help="size of the backlog (default 10000)")
    arguments.add_argument(
        "--rounds", type=int, default=3, help="how often, each with a backlog of its own (default 3)"
    )
    chosen = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        MariaDB(innodb_flush_log_at_trx_commit=1) as server,
        Valkey(Path(folder)) as valkey,
    ):
        uri = server.create_database("pipeline")
        settings = Settings.model_validate(
            {
                "database_uri": uri,
                "redis_url": valkey.url,
                "tick_freshness_ms": 3_600_000,
                "starting_cash": 10**12,
                "cash_max": 10**14,
            }
        )
        _run(settings, uri, orders=chosen.orders, rounds=chosen.rounds)


def _run(settings: Settings, uri: str, *, orders: int, rounds: int) -> None:
    core = trading_core.build(settings, deliver=lambda _wakeups: None)
    deliver = producer_courier(settings)
    with create_app(core).app_context():
        upgrade()
    traders = _set_up(core)
    results = []
    with _worker(settings, uri):
        _work_off(core, deliver, _accept(core, traders, orders=USERS, side=Side.BUY, quantity=1_000))
        for number in range(1, rounds + 1):
            commits_before = _single_row_commits_per_s(uri)
            buys = _accept(core, traders, orders=orders // 2, side=Side.BUY, quantity=10)
            sales = _accept(core, traders, orders=orders - orders // 2, side=Side.SELL, quantity=10)
            backlog = [order for pair in zip_longest(buys, sales) for order in pair if order]
            fills_per_s, statements_per_fill = _work_off(core, deliver, backlog)
            # The machine may be shared: the yardstick is laid on both sides of what it measures.
            commits_per_s = (commits_before + _single_row_commits_per_s(uri)) / 2
            results.append(
                {
                    "fills_per_s": round(fills_per_s, 1),
                    "commits_per_s": round(commits_per_s, 1),
                    "ratio": round(fills_per_s / commits_per_s, 3),
                    "statements_per_fill": round(statements_per_fill, 4),
                }
            )
            print(f"round {number}: {results[-1]}", flush=True)
    breaches = sum(finding.breaches for finding in core.database.snapshot(lambda session: list(audit(session))))
    core.close()
    if breaches:
        sys.exit(f"The audit found {breaches} breaches: the figures mean nothing.")
    print(json.dumps({name: round(statistics.median(one[name] for one in results), 4) for name in results[0]}))


def _set_up(core: Core) -> list[tuple[UUID, str]]:
    """Users and stocks with a tick each; returns who trades which stock."""
    now = core.clock()
    codes = [f"A{900_000 + number}" for number in range(STOCKS)]
    listing = [ListedStock(code=code, name=code, market="KOSPI", reference_price=PRICE) for code in codes]
    core.database.transaction(lambda session: import_stocks(session, listing, now=now), landed=nothing_to_find)
    for number, code in enumerate(codes):
        tick = Tick(
            code=code,
            price=PRICE,
            volume=1,
            traded_at=now,
            received_at=now,
            position=Position(int(now.timestamp() * 1_000), number),
        )
        core.redis.set(keys.last_tick(code), tick.to_json())
    users = [new_id() for _ in range(USERS)]

    def open_accounts(session: Session) -> None:
        for user_id in users:
            email = f"{user_id.hex}@example.com"
            register(session, user_id=user_id, email=email, password_hash="", name="-", settings=core.settings, now=now)

    core.database.transaction(open_accounts, landed=nothing_to_find)
    return [(user_id, codes[number % STOCKS]) for number, user_id in enumerate(users)]


def _accept(core: Core, traders: Sequence[tuple[UUID, str]], *, orders: int, side: Side, quantity: int) -> list[UUID]:
    """Accept that many orders, users in turn, without waking anybody; their ids in order of acceptance."""
    accepted: list[UUID] = []

    def accept(session: Session, numbers: range) -> None:
        for number in numbers:
            user_id, code = traders[number % len(traders)]
            command = PlaceOrder(
                order_id=new_id(),
                user_id=user_id,
                stock_code=code,
                side=side,
                order_type=OrderType.MARKET,
                time_in_force=TimeInForce.DAY,
                quantity=quantity,
            )
            # The sweep must not find the backlog while it is being built, so its grace begins later.
            later = core.clock() + timedelta(minutes=10)
            place_order(session, command, quotes=core.quotes, settings=core.settings, now=later)
            accepted.append(command.order_id)

    for start in range(0, orders, _SETUP_BATCH):
        numbers = range(start, min(start + _SETUP_BATCH, orders))
        core.database.transaction(partial(accept, numbers=numbers), landed=nothing_to_find)
    return accepted


def _work_off(core: Core, deliver: Any, backlog: Sequence[UUID]) -> tuple[float, float]:
    """Wake the worker for a backlog in the sweep's batches, wait for the last fill to be applied; fills/s and statements a fill."""
    questions_before = _questions(core)
    polls = 0
    began = time.perf_counter()
    deliver(list(wakeups(Task.EXECUTE_ORDERS, backlog, batch_size=core.settings.stage_batch_size)))
    while core.database.read(_anything_due):
        polls += 1
        if time.perf_counter() - began > DEADLINE_S:
            sys.exit(f"{len(backlog)} orders were not worked off within {DEADLINE_S:g} s.")
        time.sleep(0.05)
    elapsed_s = time.perf_counter() - began
    # Each look of ours is one SELECT and one ROLLBACK.
    statements = _questions(core) - questions_before - 2 * (polls + 2)
    return len(backlog) / elapsed_s, statements / len(backlog)


def _anything_due(session: Session) -> bool:
    """Whether an order still waits for its execution, or an execution for its settlement or its holding."""
    waiting = exists().where(Order.wake_at.is_not(None))
    unapplied = exists().where(OrderExecution.applied_at.is_(None))
    return bool(session.scalar(select(or_(waiting, unapplied))))


def _questions(core: Core) -> int:
    """Statements that the server was ever asked, COMMIT and ROLLBACK included."""
    return core.database.read(
        lambda session: int(session.execute(text("SHOW GLOBAL STATUS LIKE 'Questions'")).one()[1])
    )


def _single_row_commits_per_s(uri: str) -> float:
    """Rows a second that one connection inserts and commits one at a time, with the product's own driver and nothing else."""
    url = make_url(uri)
    connection = pymysql.connect(
        host=url.host, port=url.port or 3306, user=url.username, database=url.database, autocommit=True
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS one_row (id BIGINT AUTO_INCREMENT PRIMARY KEY, payload VARCHAR(100)) ENGINE=InnoDB"
        )
        count, began = 0, time.perf_counter()
        while (elapsed_s := time.perf_counter() - began) < COMMIT_SAMPLE_S:
            cursor.execute(
                "INSERT INTO one_row (payload) VALUES ('an order of some hundred bytes, or so it would be in the real table')"
            )
            count += 1
    return count / elapsed_s


@contextmanager
def _worker(settings: Settings, uri: str) -> Iterator[None]:
    """A real worker with two pool children, as the Procfile starts it."""
    environment = os.environ | {
        "DATABASE_URI": uri,
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "TICK_FRESHNESS_MS": str(settings.tick_freshness_ms),
        "LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-E", "-c", str(POOL_CHILDREN), "-l", "WARNING",
               "--without-gossip", "--without-mingle"]  # fmt: skip
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


if __name__ == "__main__":
    main()
