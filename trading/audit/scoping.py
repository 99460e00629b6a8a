"""Restrict a SELECT about all accounts to some of them.

Common table expressions with the tables' names hold only these accounts' rows, so that each check
is written once.
"""

import re
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection

# Conditions for the rows of the accounts ``{users}``. A table without a user_id is restricted by
# the row that it refers to. ``{schema}`` refers to the table instead of the expression of that
# name.
_BY_USER = "user_id IN ({users})"
_BY_ORDER = "order_id IN (SELECT id FROM {schema}.orders WHERE user_id IN ({users}))"
_BY_PAYMENT = "payment_id IN (SELECT id FROM {schema}.payments WHERE user_id IN ({users}))"
_BY_DIRECTORY = (
    "directory_id IN (SELECT id FROM {schema}.watchlist_directories WHERE user_id IN ({users}))"
)
_BY_ITEM = (
    "item_id IN (SELECT i.id FROM {schema}.watchlist_items i"
    " JOIN {schema}.watchlist_directories d ON d.id = i.directory_id WHERE d.user_id IN ({users}))"
)
OWN_ROWS = {
    "users": "id IN ({users})",
    "virtual_balances": _BY_USER,
    "transactions": _BY_USER,
    "portfolios": _BY_USER,
    "holding_write_offs": _BY_USER,
    "orders": _BY_USER,
    "order_executions": _BY_USER,
    "pending_fills": _BY_ORDER,
    "account_event_heads": _BY_USER,
    "account_events": _BY_USER,
    "daily_snapshots": _BY_USER,
    "payments": _BY_USER,
    "payment_refunds": _BY_USER,
    "payment_cancellations": _BY_PAYMENT,
    "watchlist_directories": _BY_USER,
    "watchlist_items": _BY_DIRECTORY,
    "price_alerts": _BY_ITEM,
}

# Tables that belong to no account; checks read all their rows.
SHARED = frozenset({"candles", "candle_cursors", "candle_gaps", "rule_changes"})

_READ = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")


def tables_read(statement: str) -> frozenset[str]:
    """Return the tables that a SELECT reads."""
    return frozenset(_READ.findall(statement))


def restrict_to_accounts(
    statement: str, user_ids: Iterable[UUID], *, connection: Connection
) -> str:
    """Restrict a SELECT to the rows of these accounts, at least one.

    Raise KeyError if it reads a table that is neither of accounts nor shared.
    """
    users = ", ".join(f"X'{user_id.hex}'" for user_id in user_ids)
    schema = _schema(connection)
    definitions = ", ".join(
        f"{table} AS (SELECT * FROM {schema}.{table} WHERE "  # noqa: S608 - own ids and names
        f"{OWN_ROWS[table].format(users=users, schema=schema)})"
        for table in sorted(tables_read(statement) - SHARED)
    )
    return f"WITH {definitions} {statement}"


def _schema(connection: Connection) -> str:
    """Return the schema that qualifies a table's name, so that it cannot refer to an expression."""
    if connection.dialect.name == "sqlite":
        return "main"
    return connection.dialect.identifier_preparer.quote_identifier(
        str(connection.engine.url.database)
    )
