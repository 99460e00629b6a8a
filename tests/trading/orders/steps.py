"""Steps and queries shared by tests of use cases."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import RowMapping, text, update
from sqlalchemy.orm import Session

from tests.support.trading_harness import SAMSUNG, TradingHarness
from trading.account_events.rows import first_events_after
from trading.account_events.stream import AccountEvent
from trading.db.ids import new_id
from trading.db.transactions import rerun_is_safe
from trading.exchange.order_types import Side
from trading.halts import trading
from trading.halts.trading import HaltRequest
from trading.ledger.deposits import MoveCash
from trading.ledger.deposits import deposit as deposit_cash
from trading.ledger.deposits import withdraw as withdraw_cash
from trading.ledger.records import TransactionRecord
from trading.orders.close import cancel_open_orders
from trading.orders.records import OrderRecord
from trading.orders.recovery import Overdue, find_overdue
from trading.stocks.tables import STOCKS

T = TypeVar("T")


def do(harness: TradingHarness, work: Callable[[Session], T]) -> T:
    """Run ``work`` in a transaction."""
    return harness.core.database.transaction(work, find_committed=rerun_is_safe)


def move_cash(user: UUID, amount: int) -> MoveCash:
    return MoveCash(transaction_id=new_id(), user_id=user, amount=amount)


def deposit(harness: TradingHarness, user: UUID, amount: int) -> TransactionRecord:
    return harness.core.run(deposit_cash, move_cash(user, amount))


def withdraw(harness: TradingHarness, user: UUID, amount: int) -> TransactionRecord:
    return harness.core.run(withdraw_cash, move_cash(user, amount))


def sweep(harness: TradingHarness) -> Overdue:
    """Return what a sweep finds now, without dispatching it."""
    return harness.core.read(find_overdue, settings=harness.settings, now=harness.clock())


def set_status(harness: TradingHarness, status: str, code: str = SAMSUNG) -> None:
    """Halt, delist or reopen a stock, as an operator does."""
    do(
        harness,
        lambda session: session.execute(
            text("UPDATE stocks SET status = :status WHERE code = :code"),
            {"status": status, "code": code},
        ),
    )


def forget_reference_prices(harness: TradingHarness) -> None:
    """Remove the imported closes, so that a stock without a tick has no price at all."""
    change = update(STOCKS).values(reference_price=None)
    do(harness, lambda session: session.execute(change))


def halt(harness: TradingHarness, admin: UUID) -> None:
    """Halt all trading, as an administrator does."""
    harness.core.run(trading.halt_trading, HaltRequest(halt_id=new_id(), by=admin))


def resume(harness: TradingHarness, admin: UUID) -> None:
    """Resume trading."""
    harness.core.run(trading.resume_trading, by=admin)


def cancel_all(harness: TradingHarness, user: UUID) -> list[UUID]:
    """Cancel every open order of a user and return their ids."""
    return harness.core.run(cancel_open_orders, user_id=user)


def change_settings(harness: TradingHarness, **changed: object) -> None:
    """Change the settings, as after a restart of all processes."""
    harness.core = replace(harness.core, settings=harness.settings.model_copy(update=changed))


def running_statements(harness: TradingHarness) -> int:
    """Count the statements that the server executes now, including this and waiting ones."""
    return int(rows(harness, "SHOW GLOBAL STATUS LIKE 'Threads_running'")[0]["Value"])


def rows(harness: TradingHarness, sql: str, **values: Any) -> list[RowMapping]:
    """Return the rows of a plain query; ids in it and in ``values`` are bytes."""
    return list(
        harness.core.database.read(
            lambda session: session.execute(text(sql), values).mappings().all()
        )
    )


def cash(harness: TradingHarness, user: UUID) -> tuple[int, int]:
    """Return an account's balance and reserved cash (won)."""
    (row,) = rows(
        harness,
        "SELECT cash_balance, reserved_cash FROM virtual_balances WHERE user_id = :id",
        id=user.bytes,
    )
    return row["cash_balance"], row["reserved_cash"]


def shares(harness: TradingHarness, user: UUID, code: str = SAMSUNG) -> tuple[int, int]:
    """Return a holding's quantity and reserved quantity; (0, 0) without a holding."""
    found = rows(
        harness,
        "SELECT quantity, reserved_quantity FROM portfolios"
        " WHERE user_id = :id AND stock_code = :code",
        id=user.bytes,
        code=code,
    )
    return (found[0]["quantity"], found[0]["reserved_quantity"]) if found else (0, 0)


def bought(
    harness: TradingHarness, user: UUID, quantity: int, price: int = 70_000, code: str = SAMSUNG
) -> OrderRecord:
    """Return a purchase that went through all stages."""
    harness.tick(price, code)
    order = harness.place(user, Side.BUY, quantity, code)
    harness.run_all()
    return harness.order(user, order.id)


def bought_in_part(
    harness: TradingHarness, *, traded_at: int = 70_000, stages: int = 3
) -> tuple[UUID, OrderRecord]:
    """Return a new user and a buy of ten at 70,000, of which one trade filled four.

    Needs the volume profile. The fill has gone through ``stages`` stages.
    """
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 10, limit=70_000)
    harness.tick(traded_at, volume=4)
    harness.match()
    for _ in range(stages):
        harness.run(harness.sent.pop(0))
    return user, order


def events(harness: TradingHarness, user: UUID, *, after: int = 0) -> list[AccountEvent]:
    """Return all account events of a user, or those after one."""
    return harness.core.read(first_events_after, user, after, limit=100_000)


def everything(harness: TradingHarness) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows that trading or watchlists may change, to compare them."""
    tables = (
        "virtual_balances", "orders", "order_executions", "transactions", "portfolios",
        "watchlist_directories", "watchlist_items", "price_alerts",
    )  # fmt: skip
    return {
        table: sorted(
            (tuple(row.values()) for row in rows(harness, f"SELECT * FROM {table}")), key=str
        )
        for table in tables
    }
