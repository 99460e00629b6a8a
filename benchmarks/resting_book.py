"""An order book of resting limit orders with accounts, holdings and history, created in bulk by
SQL.

Prices are on the tick grid, 0.6 to 25 % away from the market, buys below it and sales above. Only
the targets are nearer: one order per stock, one tick away from the market, so that a trade there
meets it and nothing else. The same stocks have the same targets in an order book of any size. Every
sale has its shares, bought by an earlier filled order, and every buy its cash, so that the audit is
clean.
"""

# ruff: noqa: S608 - The SQL is put together from this program's own constants and numbers.

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from benchmarks.market_setup import open_accounts
from trading.bootstrap import Core
from trading.exchange.order_types import Side
from trading.exchange.price_grid import floor_to_grid, tick_size, tick_table
from trading.stocks.import_listing import import_stocks
from trading.stocks.listing import ListedStock

TARGET_QUANTITY = 10
STOCKS_OF_A_USER = 10

_ROWS_PER_STATEMENT = 50_000
# The order ids are spread over this time, whatever their number.
_SPAN_MS = 1_000_000_000
_TABLES = (
    "users",
    "virtual_balances",
    "orders",
    "order_executions",
    "transactions",
    "portfolios",
    "stocks",
)


@dataclass(frozen=True, slots=True)
class Quote:
    """A stock's price (won) that meets no order, and the adjacent one that meets its target of this
    side.
    """

    code: str
    price: int
    touch: int
    side: Side


@dataclass(frozen=True, slots=True)
class BookPlan:
    """Size of an order book.

    `placed_at` is when its DAY orders were accepted; the others were, within ten days before.
    """

    resting: int
    users: int
    placed_at: datetime


def quotes_of(stocks: int) -> list[Quote]:
    """Return the market: the same stocks in every run, priced from 1,200 to 400,000 won."""
    prices = random.Random(2_000)
    quotes = []
    for number in range(stocks):
        price = floor_to_grid(int(1_200 * (400_000 / 1_200) ** prices.random()))
        side = (Side.BUY, Side.SELL)[number % 2]
        below = price - tick_size(price - 1)
        quotes.append(
            Quote(
                f"A{100_000 + number}",
                price,
                below if side is Side.BUY else price + tick_size(price),
                side,
            )
        )
    return quotes


def fill_book(core: Core, quotes: Sequence[Quote], plan: BookPlan) -> None:
    """Fill an empty, migrated database."""
    listing = [
        ListedStock(code=quote.code, name=quote.code, market="KOSPI", reference_price=quote.price)
        for quote in quotes
    ]
    core.run(import_stocks, listing)
    user_ids = open_accounts(core, plan.users, now=plan.placed_at - timedelta(days=60))
    # Each statement is its own transaction: a half-filled database would do no harm.
    with core.database.engine.connect().execution_options(
        isolation_level="AUTOCOMMIT"
    ) as connection:
        connection.exec_driver_sql("SET foreign_key_checks = 0, unique_checks = 0")
        # The audit compares an account's cash with its events, and these bulk changes write none.
        for table in ("account_events", "account_event_heads"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        _name_traders(connection, user_ids)
        _name_stocks(connection, quotes)
        _store_random_orders(connection, plan, stocks=len(quotes))
        for start in range(0, plan.resting, _ROWS_PER_STATEMENT):
            end = min(start + _ROWS_PER_STATEMENT, plan.resting)
            connection.exec_driver_sql(_orders(core, plan), (start, end))
        _create_holdings(connection, plan, starting_cash=core.settings.starting_cash)
        _set_cash_aside(connection)
        connection.exec_driver_sql(f"ANALYZE TABLE {', '.join(_TABLES)}")
        # The connection has changed settings, so it must not return to the pool.
        connection.invalidate()


def _name_traders(connection: Connection, user_ids: Sequence[UUID]) -> None:
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE traders (number INT PRIMARY KEY, id BINARY(16) NOT NULL)"
    )
    connection.exec_driver_sql(
        "INSERT INTO traders VALUES (%s, %s)",
        [(number, user_id.bytes) for number, user_id in enumerate(user_ids)],
    )


def _name_stocks(connection: Connection, quotes: Sequence[Quote]) -> None:
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE quotes (number INT PRIMARY KEY,"
        " code VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin, price BIGINT, touch BIGINT,"
        " side VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin)"
    )
    rows = [
        (number, quote.code, quote.price, quote.touch, quote.side.value)
        for number, quote in enumerate(quotes)
    ]
    connection.exec_driver_sql("INSERT INTO quotes VALUES (%s, %s, %s, %s, %s)", rows)


def _store_random_orders(connection: Connection, plan: BookPlan, *, stocks: int) -> None:
    """Store random stocks and distances from the market: RAND() would change with each read."""
    every = plan.resting // stocks
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE draws (number INT PRIMARY KEY, is_target BOOLEAN, stock INT,"
        " trader INT, side INT, distance DOUBLE, held INT, for_the_day BOOLEAN)"
    )
    connection.exec_driver_sql(
        f"INSERT INTO draws SELECT seq, seq MOD {every} = 0 AND seq DIV {every} < {stocks},"
        f" FLOOR(RAND(1) * {stocks}), FLOOR(RAND(2) * {plan.users}), FLOOR(RAND(3) * 2),"
        f" 0.006 + 0.244 * RAND(4), FLOOR(RAND(5) * {STOCKS_OF_A_USER}), RAND(6) < 0.5"
        f" FROM seq_0_to_{plan.resting - 1}"
    )
    # Sales are of few stocks per seller, so that there are fewer holdings than sales.
    connection.exec_driver_sql(
        f"UPDATE draws SET stock = (trader * 7 + held * 199) MOD {stocks}"
        " WHERE side = 1 AND NOT is_target"
    )
    connection.exec_driver_sql(
        f"UPDATE draws SET stock = number DIV {every},"
        f" trader = number DIV {every} MOD {plan.users} WHERE is_target"
    )


def _id(at_ms: str, salt: str) -> str:
    """Return SQL for a time-ordered id, the same for the same arguments."""
    digest = f"MD5(CONCAT({salt}, {at_ms}))"
    time = f"LPAD(HEX({at_ms}), 12, '0')"
    return f"UNHEX(CONCAT({time}, '7', SUBSTR({digest}, 1, 3), '8', SUBSTR({digest}, 4, 15)))"


def _orders(core: Core, plan: BookPlan) -> str:
    """Return SQL for the orders from the first number up to, but excluding, the second."""
    placed_ms = int(plan.placed_at.timestamp() * 1_000)
    steps = " ".join(
        f"WHEN raw >= {price} THEN {step}" for price, step in reversed(tick_table("STOCK"))
    )
    commission = f"price * quantity * {core.settings.commission_ppm} DIV 1000000"
    placed_at = f"{plan.placed_at:%Y-%m-%d %H:%M:%S}"
    order_id = _id(f"{placed_ms - _SPAN_MS} + number * {_SPAN_MS // plan.resting}", "'order'")
    return f"""
        INSERT INTO orders (id, user_id, stock_code, side, order_type, time_in_force, quantity,
                            limit_price, status, executed_quantity, reserved_cash, accepted_at,
                            accepted_position, book_price, awaiting_first_print)
        SELECT {order_id}, user_id, code, side, 'LIMIT',
               IF(for_the_day, 'DAY', 'GTC'), quantity, price, 'PENDING', 0,
               IF(side = 'BUY', price * quantity + {commission}, 0),
               '{placed_at}' + INTERVAL IF(for_the_day, 0, -3600 - number MOD 864000) SECOND,
               {(placed_ms - _SPAN_MS) * 1_000_000} + number, price, 0
        FROM (
            SELECT number, user_id, code, side, quantity, for_the_day,
                   IF(is_target, raw, raw - raw MOD CASE {steps} END) AS price
            FROM (
                SELECT d.number, t.id AS user_id, q.code, d.is_target, d.for_the_day,
                       IF(d.is_target, q.side, IF(d.side = 0, 'BUY', 'SELL')) AS side,
                       IF(d.is_target, {TARGET_QUANTITY}, 1 + d.number MOD 20) AS quantity,
                       IF(d.is_target, q.touch,
                          FLOOR(q.price * (1 + IF(d.side = 0, -1, 1) * d.distance))) AS raw
                FROM draws d
                JOIN quotes q ON q.number = d.stock
                JOIN traders t ON t.number = d.trader
                WHERE d.number >= %s AND d.number < %s
            ) meant
        ) placed ORDER BY number"""


def _create_holdings(connection: Connection, plan: BookPlan, *, starting_cash: int) -> None:
    """Create the sellers' holdings, each bought by one order, with its cost."""
    bought_ms = int((plan.placed_at - timedelta(days=30)).timestamp() * 1_000)
    bought_at = f"'{plan.placed_at - timedelta(days=30):%Y-%m-%d %H:%M:%S}'"
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE held (number INT PRIMARY KEY, user_id BINARY(16),"
        " stock_code VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin, quantity BIGINT,"
        " price BIGINT, amount BIGINT, nth INT, spent BIGINT)"
    )
    connection.exec_driver_sql("""
        INSERT INTO held
        SELECT ROW_NUMBER() OVER (ORDER BY user_id, code), user_id, code, quantity, price,
               quantity * price, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY code),
               SUM(quantity * price) OVER (PARTITION BY user_id ORDER BY code)
        FROM (SELECT o.user_id, q.code, q.price, SUM(o.quantity) AS quantity
              FROM orders o JOIN quotes q ON q.code = o.stock_code
              WHERE o.side = 'SELL' GROUP BY o.user_id, q.code, q.price) sold""")
    order_id, execution_id, transaction_id = (
        _id(f"{bought_ms} + number", f"'{salt}'") for salt in "oet"
    )
    connection.exec_driver_sql(f"""
        INSERT INTO orders (id, user_id, stock_code, side, order_type, time_in_force, quantity,
                            status, executed_quantity, reserved_cash, accepted_at, finished_at)
        SELECT {order_id}, user_id, stock_code, 'BUY', 'MARKET', 'DAY', quantity,
               'FILLED', quantity, 0, {bought_at}, {bought_at}
        FROM held ORDER BY number""")
    connection.exec_driver_sql(f"""
        INSERT INTO order_executions (id, order_id, user_id, stock_code, side, fill_number,
            quantity, price, amount, commission, transaction_tax, rural_tax, rule,
            tick_position, tick_price, tick_traded_at, tick_age_ms,
            executed_at, settled_at, applied_at)
        SELECT {execution_id}, {order_id}, user_id, stock_code, 'BUY', 1,
            quantity, price, amount, 0, 0, 0, 'market-at-last-trade',
            {bought_ms * 1_000_000} + number, price, {bought_at}, 0,
            {bought_at}, {bought_at}, {bought_at}
        FROM held ORDER BY number""")
    connection.exec_driver_sql(f"""
        INSERT INTO transactions (id, user_id, sequence, transaction_type, stock_code,
            order_id, execution_id, quantity, price, amount, commission, tax,
            cash_before, cash_after, transaction_date)
        SELECT {transaction_id}, user_id, nth + 1, 'BUY', stock_code,
            {order_id}, {execution_id}, quantity, price, amount, 0, 0,
            {starting_cash} - spent + amount, {starting_cash} - spent, {bought_at}
        FROM held ORDER BY number""")
    connection.exec_driver_sql(f"""
        INSERT INTO portfolios (user_id, stock_code, quantity, reserved_quantity, cost,
            buy_commission, realized_profit, updated_at)
        SELECT user_id, stock_code, quantity, quantity, amount, 0, 0, {bought_at}
        FROM held ORDER BY number""")
    connection.exec_driver_sql("""
        UPDATE virtual_balances b
        JOIN (SELECT user_id, COUNT(*) AS count, SUM(amount) AS spent FROM held GROUP BY user_id) h
        ON h.user_id = b.user_id
        SET b.transaction_count = 1 + h.count, b.cash_balance = b.cash_balance - h.spent""")


def _set_cash_aside(connection: Connection) -> None:
    connection.exec_driver_sql("""
        UPDATE virtual_balances b
        JOIN (SELECT user_id, SUM(reserved_cash) AS reserved FROM orders GROUP BY user_id) o
        ON o.user_id = b.user_id SET b.reserved_cash = o.reserved""")
