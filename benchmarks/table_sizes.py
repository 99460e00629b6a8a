"""How many bytes a row takes on MariaDB, its indexes included: ``python -m benchmarks.table_sizes``.

Fills the tables that grow as the product does: users open accounts and trade by turns, each order through all its stages with the account events that
come of it. Candles and the history of accounts are written as they would be, a row a minute and a day. Then the server is asked.

Prints a line a table, and as its last line one JSON object with the bytes a row of each, and of a filled order with all that it leaves behind.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from uuid import UUID

from flask_migrate import upgrade
from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.orm import Session

from benchmarks.mariadb import MariaDB
from launcher.valkey import Valkey
from trading import core as trading_core
from trading.core import Core
from trading.database.ids import new_id
from trading.database.tables import (
    AccountDay,
    AccountEventRow,
    Candle,
    Order,
    OrderExecution,
    Transaction,
    User,
    table_of,
)
from trading.database.transactions import nothing_to_find
from trading.market import keys
from trading.market.listing import seed_listing
from trading.market.tick import Position, Tick
from trading.queries.audit import audit
from trading.queue import Task, Wakeup
from trading.rules.candles import CandleInterval
from trading.rules.orders import OrderType, Side, TimeInForce
from trading.services.accounts import register
from trading.services.execute_orders import execute_orders
from trading.services.place_order import PlaceOrder, place_order
from trading.services.settle_executions import settle_executions
from trading.services.stock_list import import_stocks
from trading.services.update_portfolios import update_portfolios
from trading.settings import Settings
from webapp import create_app

USERS = 200
PRICE = 70_000
BATCH = 500
TABLES = tuple(map(table_of, (User, Order, OrderExecution, Transaction, AccountEventRow, Candle, AccountDay)))
# What a filled order leaves behind.
OF_AN_ORDER = ("orders", "order_executions", "transactions", "account_events")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument(
        "--orders", type=int, default=20_000, help="orders, and rows of the histories (default 20000)"
    )
    orders = arguments.parse_args().orders
    with (
        tempfile.TemporaryDirectory() as folder,
        MariaDB(innodb_flush_log_at_trx_commit=0) as server,
        Valkey(Path(folder)) as valkey,
    ):
        settings = Settings.model_validate(
            {
                "database_uri": server.create_database("table_sizes"),
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
            _fill(core, sent, orders)
            _tell(core)
        finally:
            core.close()


def _fill(core: Core, sent: list[Wakeup], orders: int) -> None:
    now = core.clock()
    stocks = seed_listing()
    core.database.transaction(lambda session: import_stocks(session, stocks, now=now), landed=nothing_to_find)
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
    users = [new_id() for _ in range(USERS)]
    core.database.transaction(lambda session: _open_accounts(session, core, users), landed=nothing_to_find)
    commands = _commands(users, codes)
    for start in range(0, orders, USERS):
        _trade(core, sent, list(islice(commands, min(USERS, orders - start))))
    breaches = sum(finding.breaches for finding in core.database.snapshot(lambda session: list(audit(session))))
    if breaches:
        raise SystemExit(f"The audit found {breaches} breaches: the figures mean nothing.")
    # Only their size is that of real ones, so they come behind the audit.
    _write_histories(core, users, codes, rows=orders)


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
        core.database.transaction(partial(_stage, core=core, wakeup=sent.pop(0)), landed=nothing_to_find)


def _stage(session: Session, *, core: Core, wakeup: Wakeup) -> None:
    """What a worker does on this wake-up."""
    now = core.clock()
    match wakeup.task:
        case Task.EXECUTE_ORDERS:
            hours = core.market_hours()
            execute_orders(session, wakeup.ids, quotes=core.quotes, hours=hours, settings=core.settings, now=now)
        case Task.SETTLE_EXECUTIONS:
            settle_executions(session, wakeup.ids, settings=core.settings, now=now)
        case Task.UPDATE_PORTFOLIOS:
            update_portfolios(session, wakeup.ids, now=now)


def _write_histories(core: Core, users: Sequence[UUID], codes: Sequence[str], *, rows: int) -> None:
    """Candles of one minute after another, of every stock in turn, and of every account one day after another."""
    first, first_day = datetime(2026, 1, 5, 0, 0, tzinfo=UTC), date(2026, 1, 5)

    def candle(number: int) -> dict[str, object]:
        starts_at = first + timedelta(minutes=number // len(codes))
        prices = dict.fromkeys(("open", "high", "low", "close"), PRICE)
        times = {"starts_at": starts_at, "opened_at": starts_at, "closed_at": starts_at}
        code = codes[number % len(codes)]
        return {
            "stock_code": code, "candle_interval": CandleInterval.MINUTE, **times, **prices, "volume": 1, "amount": PRICE, "position": number,
        }  # fmt: skip

    def day(number: int) -> dict[str, object]:
        amounts = dict.fromkeys(("holdings_value", "net_flow", "paid_out", "carried_holdings", "unpriced_holdings"), 0)
        ended = first_day + timedelta(days=number // len(users))
        return {
            "user_id": users[number % len(users)], "day": ended, "ended_at": first, "last_sequence": 1,
            "cash_balance": PRICE, **amounts, "recorded_at": first,
        }  # fmt: skip

    for table, row in ((table_of(Candle), candle), (table_of(AccountDay), day)):
        for start in range(0, rows, BATCH):
            written = [row(number) for number in range(start, min(start + BATCH, rows))]
            core.database.transaction(partial(_insert, table=table, rows=written), landed=nothing_to_find)


def _insert(session: Session, *, table: Table, rows: list[dict[str, object]]) -> None:
    session.execute(insert(table), rows)


def _tell(core: Core) -> None:
    """Ask the server for the pages of each table, which it gives away by the extent: the more rows, the truer the share of one."""
    a_row: dict[str, float] = {}
    rows_of: dict[str, int] = {}
    for table in TABLES:
        rows, data, index = core.database.read(partial(_size, table=table))
        a_row[table.name], rows_of[table.name] = round((data + index) / rows), rows
        print(
            f"{table.name}: {rows:,} rows, {data / rows:.0f} bytes of data and {index / rows:.0f} of indexes each",
            flush=True,
        )
    of_an_order = sum(a_row[name] * rows_of[name] for name in OF_AN_ORDER) / rows_of["orders"]
    print(json.dumps(a_row | {"filled_order": round(of_an_order)}))


def _size(session: Session, *, table: Table) -> tuple[int, int, int]:
    """Rows, and bytes of data and of indexes."""
    session.execute(text(f"ANALYZE TABLE {table.name}"))
    rows = session.scalar(select(func.count()).select_from(table)) or 0
    asked = text(
        "SELECT data_length, index_length FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = :name"
    )
    data, index = session.execute(asked, {"name": table.name}).one()
    return rows, data, index


if __name__ == "__main__":
    main()
