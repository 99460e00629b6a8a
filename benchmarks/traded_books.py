"""Books of many accounts that traded, for benchmarks: each account buys and sells by turns, each order through all its stages, on a private MariaDB."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from uuid import UUID

from flask_migrate import upgrade
from sqlalchemy.orm import Session

from benchmarks.mariadb import MariaDB
from launcher.valkey import Valkey
from trading import core as trading_core
from trading.core import Core
from trading.database.ids import new_id
from trading.database.transactions import nothing_to_find
from trading.market import keys
from trading.market.listing import seed_listing
from trading.market.tick import Position, Tick
from trading.queries.audit import audit
from trading.queue import Task, Wakeup
from trading.rules.orders import OrderType, Side, TimeInForce
from trading.services.accounts import register
from trading.services.execute_orders import execute_orders
from trading.services.place_order import PlaceOrder, place_order
from trading.services.settle_executions import settle_executions
from trading.services.stock_list import import_stocks
from trading.services.update_portfolios import update_portfolios
from trading.settings import Settings
from webapp import create_app

PRICE = 70_000
# Orders that are accepted in one transaction.
BATCH = 200


@dataclass(frozen=True, slots=True)
class TradedBooks:
    """A core on the books, the accounts that traded, and the stocks."""

    core: Core
    users: Sequence[UUID]
    codes: Sequence[str]


@contextmanager
def traded_books(name: str, *, users: int, orders: int) -> Iterator[TradedBooks]:
    """Books of so many accounts with so many filled orders together. SystemExit when the audit finds a breach in them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        MariaDB(innodb_flush_log_at_trx_commit=0) as server,
        Valkey(Path(folder)) as valkey,
    ):
        settings = Settings.model_validate(
            {
                "database_uri": server.create_database(name),
                "redis_url": valkey.url,
                "market_hours": "always",
                "tick_freshness_ms": 3_600_000,
                "starting_cash": 10**12,
            }
        )
        sent: list[Wakeup] = []
        core = trading_core.build(settings, deliver=sent.extend)
        try:
            with create_app(core).app_context():
                upgrade()
            yield _fill(core, sent, users=users, orders=orders)
        finally:
            core.close()


def _fill(core: Core, sent: list[Wakeup], *, users: int, orders: int) -> TradedBooks:
    now = core.clock()
    stocks = seed_listing()
    core.database.transaction(
        lambda session: import_stocks(session, stocks, now=now), landed=nothing_to_find
    )
    codes = [stock.code for stock in stocks]
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
    user_ids = [new_id() for _ in range(users)]
    core.database.transaction(
        lambda session: _open_accounts(session, core, user_ids), landed=nothing_to_find
    )
    commands = _commands(user_ids, codes)
    # What a batch sells was bought in an earlier one.
    batch = min(BATCH, users)
    for start in range(0, orders, batch):
        _trade(core, sent, list(islice(commands, min(batch, orders - start))))
    breaches = sum(
        finding.breaches for finding in core.database.snapshot(lambda session: list(audit(session)))
    )
    if breaches:
        raise SystemExit(f"The audit found {breaches} breaches: the figures mean nothing.")
    return TradedBooks(core, user_ids, codes)


def _open_accounts(session: Session, core: Core, users: Sequence[UUID]) -> None:
    for user_id in users:
        register(
            session,
            user_id=user_id,
            email=f"{user_id.hex}@example.com",
            password_hash="$argon2id$" + 87 * "x",
            name="시험",
            settings=core.settings,
            now=core.clock(),
        )


def _commands(users: Sequence[UUID], codes: Sequence[str]) -> Iterator[PlaceOrder]:
    """Market orders without an end: every user in turn buys, then every user sells what he bought."""
    round_of_users = 0
    while True:
        for number, user_id in enumerate(users):
            yield PlaceOrder(
                order_id=new_id(),
                user_id=user_id,
                stock_code=codes[(number + round_of_users // 2) % len(codes)],
                side=Side.SELL if round_of_users % 2 else Side.BUY,
                order_type=OrderType.MARKET,
                time_in_force=TimeInForce.DAY,
                quantity=10,
                limit_price=None,
                client_order_id=None,
            )
        round_of_users += 1


def _trade(core: Core, sent: list[Wakeup], commands: Sequence[PlaceOrder]) -> None:
    """Accept these orders in one transaction, and do what it woke until nothing is due."""

    def accept(session: Session) -> None:
        for command in commands:
            place_order(
                session,
                command,
                quotes=core.quotes,
                hours=core.market_hours(),
                settings=core.settings,
                now=core.clock(),
            )

    core.database.transaction(accept, landed=nothing_to_find)
    while sent:
        core.database.transaction(
            partial(_stage, core=core, wakeup=sent.pop(0)), landed=nothing_to_find
        )


def _stage(session: Session, *, core: Core, wakeup: Wakeup) -> None:
    """What a worker does on this wake-up."""
    now = core.clock()
    match wakeup.task:
        case Task.EXECUTE_ORDERS:
            hours = core.market_hours()
            execute_orders(
                session,
                wakeup.ids,
                quotes=core.quotes,
                hours=hours,
                settings=core.settings,
                now=now,
            )
        case Task.SETTLE_EXECUTIONS:
            settle_executions(session, wakeup.ids, settings=core.settings, now=now)
        case Task.UPDATE_PORTFOLIOS:
            update_portfolios(session, wakeup.ids, now=now)
