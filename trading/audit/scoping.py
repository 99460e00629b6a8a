"""Some accounts' rows alone under the names of their tables, so that a statement about all accounts is one about these without being written twice."""

import re
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection

# Each table's rows of the accounts ``{users}``. A table without a user_id belongs to the row that it refers to; ``{schema}`` says that the table
# is meant, and not the definition that bears its name.
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
    "virtual_balances": _BY_USER,
    "transactions": _BY_USER,
    "portfolios": _BY_USER,
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

_READ = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")


def tables_read(statement: str) -> frozenset[str]:
    """The tables that a SELECT names."""
    return frozenset(_READ.findall(statement))


def restrict_to_accounts(
    statement: str, user_ids: Iterable[UUID], *, connection: Connection
) -> str:
    """The same SELECT on the rows of these accounts, of which there is at least one. KeyError when it reads a table that is nobody's."""
    users = ", ".join(f"X'{user_id.hex}'" for user_id in user_ids)
    schema = _schema(connection)
    definitions = ", ".join(
        f"{table} AS (SELECT * FROM {schema}.{table} WHERE {OWN_ROWS[table].format(users=users, schema=schema)})"  # noqa: S608 - ids and names of our own
        for table in sorted(tables_read(statement))
    )
    return f"WITH {definitions} {statement}"


def _schema(connection: Connection) -> str:
    """What a table's name is preceded by where it can't be anything else than the table."""
    if connection.dialect.name == "sqlite":
        return "main"
    return connection.dialect.identifier_preparer.quote_identifier(
        str(connection.engine.url.database)
    )
