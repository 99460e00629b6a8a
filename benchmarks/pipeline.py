"""Benchmark of execution, settlement and holdings: `python -m benchmarks.pipeline`.

MariaDB with durable commits and a real Celery worker with two pool processes process 10,000
accepted orders of 1,000 users in 100 stocks: half of them sales, and half of each side limit
orders. Every other limit order is marketable on arrival and is executed like a market order; the
others rest in the order book until a trade meets them and a matcher scan finds them. The time is
measured from that trade and the first task to the last fill applied to its holding. The same run
measures how many single rows one connection inserts and commits per second on the same server. The
ratio of the two is the most useful figure, because machines differ.

Prints a line per round and, as its last line, one JSON object with the medians.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path
from uuid import UUID

import pymysql
from celery import Celery
from flask_migrate import upgrade
from sqlalchemy import exists, func, or_, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

import celery_config
from benchmarks.celery_processes import worker
from benchmarks.command_line import plan_from_command_line
from benchmarks.mariadb import MariaDB
from benchmarks.market_setup import list_stocks, open_accounts, print_trades, require_clean_audit
from launcher.valkey import Valkey
from trading import bootstrap as trading_core
from trading.bootstrap import Core, Deliver
from trading.config.settings import Settings
from trading.db.ids import new_id
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.orders.place import PlaceOrder, place_order
from trading.orders.tables import OrderExecutionRow, OrderRow
from trading.stocks.tables import StockRow
from trading.tasks import Task, task_requests
from trading.unit_of_work import UnitOfWork
from webapp import create_app
from webapp.background_sender import background_dispatcher

USERS = 1_000
STOCKS = 100
PRICE = 10_000
TICK_SIZE = 10
COMMIT_SAMPLE_S = 3.0
DEADLINE_S = 300.0
_SETUP_BATCH = 100
# How many ticks a limit is better than the last price: marketable at once, or resting until a
# trade.
_MARKET_ONLY = (None,)
_ALL_KINDS = (None, 2, None, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Size of the run: the options of the command line."""

    orders: int = 10_000
    rounds: int = 3


def main() -> None:
    plan = plan_from_command_line(Plan, __doc__)
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
                "market_hours": "always",
                "tick_freshness_ms": 3_600_000,
                "starting_cash": 10**12,
                "cash_max": 10**14,
            }
        )
        _run(settings, uri, Path(folder) / "worker.log", orders=plan.orders, rounds=plan.rounds)


def _run(settings: Settings, uri: str, log: Path, *, orders: int, rounds: int) -> None:
    core = trading_core.build(settings)
    deliver = background_dispatcher(settings)
    with create_app(core).app_context():
        upgrade()
    traders = _set_up(core)
    results = []
    with worker(settings, log):
        _process_backlog(
            core,
            deliver,
            _accept(core, traders, orders=USERS, side=Side.BUY, quantity=1_000, kinds=_MARKET_ONLY),
        )
        for number in range(1, rounds + 1):
            commits_before = _single_row_commits_per_s(uri)
            buys = _accept(
                core, traders, orders=orders // 2, side=Side.BUY, quantity=10, kinds=_ALL_KINDS
            )
            sales = _accept(
                core,
                traders,
                orders=orders - orders // 2,
                side=Side.SELL,
                quantity=10,
                kinds=_ALL_KINDS,
            )
            backlog = [order for pair in zip_longest(buys, sales) for order in pair if order]
            fills_per_s, statements_per_fill = _process_backlog(core, deliver, backlog)
            # The machine may be shared, so the reference rate is measured before and after the
            # backlog.
            commits_per_s = (commits_before + _single_row_commits_per_s(uri)) / 2
            results.append(
                {
                    "fills_per_s": round(fills_per_s, 1),
                    "commits_per_s": round(commits_per_s, 1),
                    "ratio": round(fills_per_s / commits_per_s, 3),
                    "statements_per_fill": round(statements_per_fill, 4),
                }
            )
            print(f"round {number}: {results[-1]}, filled {_rules(core)}", flush=True)
    require_clean_audit(core)
    core.close()
    print(
        json.dumps(
            {name: round(statistics.median(one[name] for one in results), 4) for name in results[0]}
        )
    )


def _set_up(core: Core) -> list[tuple[UUID, str]]:
    """Create users and stocks with a tick each. Return each user with the stock to trade."""
    codes = [f"A{900_000 + number}" for number in range(STOCKS)]
    list_stocks(core, codes, price=PRICE)
    users = open_accounts(core, USERS, now=core.clock())
    return [(user_id, codes[number % STOCKS]) for number, user_id in enumerate(users)]


def _accept(
    core: Core,
    traders: Sequence[tuple[UUID, str]],
    *,
    orders: int,
    side: Side,
    quantity: int,
    kinds: Sequence[int | None],
) -> list[UUID]:
    """Accept orders of all users in turn without dispatching tasks. Return their ids in order.

    `kinds` are used in turn: by how many ticks a limit is better than the last price; None for a
    market order.
    """
    accepted: list[UUID] = []
    better = TICK_SIZE if side is Side.BUY else -TICK_SIZE

    def accept(uow: UnitOfWork, numbers: range) -> None:
        for number in numbers:
            user_id, code = traders[number % len(traders)]
            # The number of users is a multiple of the number of kinds, so each user's next order
            # has another kind.
            kind = kinds[(number + number // len(traders)) % len(kinds)]
            command = PlaceOrder(
                order_id=new_id(),
                user_id=user_id,
                stock_code=code,
                side=side,
                order_type=OrderType.MARKET if kind is None else OrderType.LIMIT,
                time_in_force=TimeInForce.DAY,
                quantity=quantity,
                limit_price=None if kind is None else PRICE + kind * better,
            )
            place_order(uow, command)
            accepted.append(command.order_id)
        # The recovery sweep must not dispatch the backlog while it is being created.
        uow.session.execute(
            update(OrderRow)
            .where(OrderRow.next_attempt_at.is_not(None), OrderRow.finished_at.is_(None))
            .values(next_attempt_at=uow.now + timedelta(minutes=10))
        )

    for start in range(0, orders, _SETUP_BATCH):
        numbers = range(start, min(start + _SETUP_BATCH, orders))
        core.run(accept, numbers)
    return accepted


def _process_backlog(core: Core, deliver: Deliver, backlog: Sequence[UUID]) -> tuple[float, float]:
    """Trade each stock at prices that meet its resting orders, dispatch the matcher and the other
    orders, and wait for the last applied fill.

    Return fills per second and statements per fill.
    """
    due = core.database.read(
        lambda session: set(
            session.scalars(select(OrderRow.id).where(OrderRow.next_attempt_at.is_not(None)))
        )
    )
    codes = core.database.read(
        lambda session: session.scalars(select(StockRow.code).order_by(StockRow.code)).all()
    )
    statements_before = _statement_count(core)
    polls = 0
    began = time.perf_counter()
    print_trades(core, codes, prices=(PRICE - TICK_SIZE, PRICE + TICK_SIZE, PRICE))
    _dispatch_matcher(core.settings)
    waiting = [order_id for order_id in backlog if order_id in due]
    deliver(
        list(task_requests(Task.EXECUTE_ORDERS, waiting, batch_size=core.settings.stage_batch_size))
    )
    while core.read(_anything_left):
        polls += 1
        if time.perf_counter() - began > DEADLINE_S:
            sys.exit(f"{len(backlog)} orders were not worked off within {DEADLINE_S:g} s.")
        time.sleep(0.05)
    elapsed_s = time.perf_counter() - began
    # Each poll of this benchmark is one SELECT and one ROLLBACK.
    statements = _statement_count(core) - statements_before - 2 * (polls + 2)
    return len(backlog) / elapsed_s, statements / len(backlog)


def _dispatch_matcher(settings: Settings) -> None:
    """Dispatch the matcher as beat does."""
    with Celery("stocking", set_as_current=False) as producer:
        producer.conf.update(celery_config.producer(settings))
        producer.send_task(
            str(Task.MATCH_LIMIT_ORDERS),
            args=(0,),
            queue=celery_config.match_queue(0),
            ignore_result=True,
        )


def _anything_left(session: Session) -> bool:
    """Return True if an order is not filled or an execution is not settled or applied."""
    unfilled = exists().where(OrderRow.finished_at.is_(None))
    unapplied = exists().where(OrderExecutionRow.applied_at.is_(None))
    return bool(session.scalar(select(or_(unfilled, unapplied))))


def _rules(core: Core) -> dict[str, int]:
    """Return the number of fills by rule."""
    counted = select(OrderExecutionRow.rule, func.count().label("fills")).group_by(
        OrderExecutionRow.rule
    )
    return core.database.read(
        lambda session: {row.rule: row.fills for row in session.execute(counted)}
    )


def _statement_count(core: Core) -> int:
    """Return the number of statements received by the server, COMMIT and ROLLBACK included."""
    return core.database.read(
        lambda session: int(session.execute(text("SHOW GLOBAL STATUS LIKE 'Questions'")).one()[1])
    )


def _single_row_commits_per_s(uri: str) -> float:
    """Return the single-row commits per second of one connection with the product's driver."""
    url = make_url(uri)
    connection = pymysql.connect(
        host=url.host,
        port=url.port or 3306,
        user=url.username,
        database=url.database,
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS one_row (id BIGINT AUTO_INCREMENT PRIMARY KEY, payload "
            "VARCHAR(100)) ENGINE=InnoDB"
        )
        count, began = 0, time.perf_counter()
        while (elapsed_s := time.perf_counter() - began) < COMMIT_SAMPLE_S:
            cursor.execute(
                "INSERT INTO one_row (payload) VALUES ('an order of some hundred bytes, or so it "
                "would be in the real table')"
            )
            count += 1
    return count / elapsed_s


if __name__ == "__main__":
    main()
