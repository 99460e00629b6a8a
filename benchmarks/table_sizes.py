"""How many bytes a row takes on MariaDB, its indexes included: ``python -m benchmarks.table_sizes``.

Fills the tables that grow as the product does: users open accounts and trade by turns, each order through all its stages with the account events that
come of it. Candles and the history of accounts are written as they would be, a row a minute and a day. Then the server is asked.

Prints a line a table, and as its last line one JSON object with the bytes a row of each, and of a filled order with all that it leaves behind.
"""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.orm import Session

from benchmarks.traded_books import PRICE, traded_books
from trading.core import Core
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
from trading.rules.candles import CandleInterval

USERS = 200
BATCH = 500
TABLES = tuple(
    map(table_of, (User, Order, OrderExecution, Transaction, AccountEventRow, Candle, AccountDay))
)
# What a filled order leaves behind.
OF_AN_ORDER = ("orders", "order_executions", "transactions", "account_events")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument(
        "--orders",
        type=int,
        default=20_000,
        help="orders, and rows of the histories (default 20000)",
    )
    orders = arguments.parse_args().orders
    with traded_books("table_sizes", users=USERS, orders=orders) as books:
        # Only their size is that of real ones, so they come behind the audit of the books.
        _write_histories(books.core, books.users, books.codes, rows=orders)
        _tell(books.core)


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
        amounts = dict.fromkeys(
            ("holdings_value", "net_flow", "paid_out", "carried_holdings", "unpriced_holdings"), 0
        )
        ended = first_day + timedelta(days=number // len(users))
        return {
            "user_id": users[number % len(users)], "day": ended, "ended_at": first, "last_sequence": 1,
            "cash_balance": PRICE, **amounts, "recorded_at": first,
        }  # fmt: skip

    for table, row in ((table_of(Candle), candle), (table_of(AccountDay), day)):
        for start in range(0, rows, BATCH):
            written = [row(number) for number in range(start, min(start + BATCH, rows))]
            core.database.transaction(
                partial(_insert, table=table, rows=written), landed=nothing_to_find
            )


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
