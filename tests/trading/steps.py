"""Steps and looks that tests of the services and queries share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tests.books import SAMSUNG, Books
from trading.database.account_events import first_events_behind
from trading.database.ids import new_id
from trading.database.transactions import nothing_to_find
from trading.market.account_events import AccountEvent
from trading.rules.orders import Side
from trading.rules.records import OrderRecord, TransactionRecord
from trading.services import halts
from trading.services.cash import deposit as deposit_cash
from trading.services.cash import withdraw as withdraw_cash
from trading.services.end_orders import cancel_open_orders
from trading.services.sweep_due_work import Overdue, find_overdue

T = TypeVar("T")


def do(books: Books, work: Callable[[Session], T]) -> T:
    """Run ``work`` in a transaction."""
    return books.core.database.transaction(work, landed=nothing_to_find)


def deposit(books: Books, user: UUID, amount: int) -> TransactionRecord:
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


def withdraw(books: Books, user: UUID, amount: int) -> TransactionRecord:
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


def sweep(books: Books) -> Overdue:
    """What a sweep finds now; its wake-ups are not acted on."""
    return books.core.database.read(
        lambda session: find_overdue(session, settings=books.settings, now=books.clock())
    )


def set_status(books: Books, status: str, code: str = SAMSUNG) -> None:
    """Halt, delist or reopen a stock, as an operator does."""
    do(
        books,
        lambda session: session.execute(
            text("UPDATE stocks SET status = :status WHERE code = :code"),
            {"status": status, "code": code},
        ),
    )


def halt(books: Books, admin: UUID) -> None:
    """Stop all trading, as an administrator does."""
    do(
        books,
        lambda session: halts.halt(
            session, halt_id=new_id(), by=admin, reason=None, now=books.clock()
        ),
    )


def resume(books: Books, admin: UUID) -> None:
    """Let trading go on."""
    do(books, lambda session: halts.resume(session, by=admin, now=books.clock()))


def cancel_all(books: Books, user: UUID) -> list[UUID]:
    """Cancel every open order of a user; their ids."""
    return do(books, lambda session: cancel_open_orders(session, user_id=user, now=books.clock()))


def change_settings(books: Books, **changed: object) -> None:
    """Go on under other settings, as after a restart of all processes."""
    books.core = replace(books.core, settings=books.settings.model_copy(update=changed))


def running_statements(books: Books) -> int:
    """Count the statements that a database server executes now, this one and waiting ones included."""
    return int(rows(books, "SHOW GLOBAL STATUS LIKE 'Threads_running'")[0]["Value"])


def rows(books: Books, sql: str, **values: Any) -> list[RowMapping]:
    """The rows of a plain statement, read; ids in it and in ``values`` are bytes."""
    return list(
        books.core.database.read(
            lambda session: session.execute(text(sql), values).mappings().all()
        )
    )


def cash(books: Books, user: UUID) -> tuple[int, int]:
    """An account's balance and what of it is reserved."""
    (row,) = rows(
        books,
        "SELECT cash_balance, reserved_cash FROM virtual_balances WHERE user_id = :id",
        id=user.bytes,
    )
    return row["cash_balance"], row["reserved_cash"]


def shares(books: Books, user: UUID, code: str = SAMSUNG) -> tuple[int, int]:
    """A holding's quantity and what of it is reserved; (0, 0) without one."""
    found = rows(
        books,
        "SELECT quantity, reserved_quantity FROM portfolios WHERE user_id = :id AND stock_code = :code",
        id=user.bytes,
        code=code,
    )
    return (found[0]["quantity"], found[0]["reserved_quantity"]) if found else (0, 0)


def bought(
    books: Books, user: UUID, quantity: int, price: int = 70_000, code: str = SAMSUNG
) -> OrderRecord:
    """A purchase that went through all stages."""
    books.tick(price, code)
    order = books.place(user, Side.BUY, quantity, code)
    books.run_all()
    return books.order(user, order.id)


def bought_in_part(
    books: Books, *, traded_at: int = 70_000, stages: int = 3
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


def events(books: Books, user: UUID, *, after: int = 0) -> list[AccountEvent]:
    """All account events of a user, or those behind one."""
    return books.core.database.read(
        lambda session: first_events_behind(session, user, after, limit=100_000)
    )


def everything(books: Books) -> dict[str, list[tuple[Any, ...]]]:
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
