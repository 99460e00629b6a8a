"""Steps and looks that tests of the services and queries share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tests.support.trading_harness import SAMSUNG, TradingHarness
from trading.account_events.rows import first_events_behind
from trading.account_events.stream import AccountEvent
from trading.db.ids import new_id
from trading.db.transactions import rerun_is_safe
from trading.exchange.order_types import Side
from trading.halts import trading
from trading.ledger.deposits import deposit as deposit_cash
from trading.ledger.deposits import withdraw as withdraw_cash
from trading.ledger.records import TransactionRecord
from trading.orders.close import cancel_open_orders
from trading.orders.records import OrderRecord
from trading.orders.recovery import Overdue, find_overdue

T = TypeVar("T")


def do(books: TradingHarness, work: Callable[[Session], T]) -> T:
    """Run ``work`` in a transaction."""
    return books.core.database.transaction(work, landed=rerun_is_safe)


def deposit(books: TradingHarness, user: UUID, amount: int) -> TransactionRecord:
    return do(
        books,
        lambda session: deposit_cash(
            session,
            transaction_id=new_id(),
            user_id=user,
            amount=amount,
            settings=books.settings,
            now=books.clock(),
        ),
    )


def withdraw(books: TradingHarness, user: UUID, amount: int) -> TransactionRecord:
    return do(
        books,
        lambda session: withdraw_cash(
            session,
            transaction_id=new_id(),
            user_id=user,
            amount=amount,
            settings=books.settings,
            now=books.clock(),
        ),
    )


def sweep(books: TradingHarness) -> Overdue:
    """What a sweep finds now; its wake-ups are not acted on."""
    return books.core.database.read(
        lambda session: find_overdue(session, settings=books.settings, now=books.clock())
    )


def set_status(books: TradingHarness, status: str, code: str = SAMSUNG) -> None:
    """Halt, delist or reopen a stock, as an operator does."""
    do(
        books,
        lambda session: session.execute(
            text("UPDATE stocks SET status = :status WHERE code = :code"),
            {"status": status, "code": code},
        ),
    )


def halt(books: TradingHarness, admin: UUID) -> None:
    """Stop all trading, as an administrator does."""
    do(
        books,
        lambda session: trading.halt(
            session, halt_id=new_id(), by=admin, reason=None, now=books.clock()
        ),
    )


def resume(books: TradingHarness, admin: UUID) -> None:
    """Let trading go on."""
    do(books, lambda session: trading.resume(session, by=admin, now=books.clock()))


def cancel_all(books: TradingHarness, user: UUID) -> list[UUID]:
    """Cancel every open order of a user; their ids."""
    return do(books, lambda session: cancel_open_orders(session, user_id=user, now=books.clock()))


def change_settings(books: TradingHarness, **changed: object) -> None:
    """Go on under other settings, as after a restart of all processes."""
    books.core = replace(books.core, settings=books.settings.model_copy(update=changed))


def running_statements(books: TradingHarness) -> int:
    """Count the statements that a database server executes now, this one and waiting ones included."""
    return int(rows(books, "SHOW GLOBAL STATUS LIKE 'Threads_running'")[0]["Value"])


def rows(books: TradingHarness, sql: str, **values: Any) -> list[RowMapping]:
    """The rows of a plain statement, read; ids in it and in ``values`` are bytes."""
    return list(
        books.core.database.read(
            lambda session: session.execute(text(sql), values).mappings().all()
        )
    )


def cash(books: TradingHarness, user: UUID) -> tuple[int, int]:
    """An account's balance and what of it is reserved."""
    (row,) = rows(
        books,
        "SELECT cash_balance, reserved_cash FROM virtual_balances WHERE user_id = :id",
        id=user.bytes,
    )
    return row["cash_balance"], row["reserved_cash"]


def shares(books: TradingHarness, user: UUID, code: str = SAMSUNG) -> tuple[int, int]:
    """A holding's quantity and what of it is reserved; (0, 0) without one."""
    found = rows(
        books,
        "SELECT quantity, reserved_quantity FROM portfolios WHERE user_id = :id AND stock_code = :code",
        id=user.bytes,
        code=code,
    )
    return (found[0]["quantity"], found[0]["reserved_quantity"]) if found else (0, 0)


def bought(
    books: TradingHarness, user: UUID, quantity: int, price: int = 70_000, code: str = SAMSUNG
) -> OrderRecord:
    """A purchase that went through all stages."""
    books.tick(price, code)
    order = books.place(user, Side.BUY, quantity, code)
    books.run_all()
    return books.order(user, order.id)


def bought_in_part(
    books: TradingHarness, *, traded_at: int = 70_000, stages: int = 3
) -> tuple[UUID, OrderRecord]:
    """Books by volume: a new user with a buy of ten at 70,000, of which one trade filled four, and that fill went through so many stages."""
    user = books.user()
    books.tick(70_500)
    order = books.place(user, Side.BUY, 10, limit=70_000)
    books.tick(traded_at, volume=4)
    books.match()
    for _ in range(stages):
        books.run(books.sent.pop(0))
    return user, order


def events(books: TradingHarness, user: UUID, *, after: int = 0) -> list[AccountEvent]:
    """All account events of a user, or those behind one."""
    return books.core.database.read(
        lambda session: first_events_behind(session, user, after, limit=100_000)
    )


def everything(books: TradingHarness) -> dict[str, list[tuple[Any, ...]]]:
    """All rows that a trade or a watchlist's change touches, for telling whether anything changed."""
    tables = (
        "virtual_balances", "orders", "order_executions", "transactions", "portfolios",
        "watchlist_directories", "watchlist_items", "price_alerts",
    )  # fmt: skip
    return {
        table: sorted(
            (tuple(row.values()) for row in rows(books, f"SELECT * FROM {table}")), key=str
        )
        for table in tables
    }
