"""How many rows the tables have: counted where that is cheap, estimated where it is not."""

from dataclasses import dataclass

from sqlalchemy import Table, func, literal_column, select, text
from sqlalchemy.orm import Session

from trading.account_events.tables import AccountEventRow
from trading.accounts.tables import User
from trading.db.declarative import table_of
from trading.ledger.tables import Transaction
from trading.orders.tables import Order, OrderExecution

# Counting this many takes some tens of milliseconds; of ten millions, seconds.
COUNTED_MAX = 200_000

_TABLES = tuple(map(table_of, (User, Order, OrderExecution, Transaction, AccountEventRow)))

# MySQL 8 keeps these figures for a day unless it is told otherwise; to MariaDB, which always looks, that is a comment.
_STATISTICS = text(
    "SELECT /*+ SET_VAR(information_schema_stats_expiry = 0) */ table_rows FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND table_name = :name"
)


@dataclass(frozen=True, slots=True)
class RowCount:
    """Rows of a table; ``estimated`` by the server's statistics, or on SQLite by the largest number that a row was ever given."""

    rows: int
    estimated: bool


def row_counts(session: Session, *, counted_max: int = COUNTED_MAX) -> dict[str, RowCount]:
    """By table, those that grow with users and trading; one with more than ``counted_max`` rows is estimated."""
    return {table.name: _count(session, table, counted_max) for table in _TABLES}


def _count(session: Session, table: Table, counted_max: int) -> RowCount:
    estimate = _estimate(session, table)
    if estimate > counted_max:
        return RowCount(estimate, estimated=True)
    return RowCount(session.scalar(select(func.count()).select_from(table)) or 0, estimated=False)


def _estimate(session: Session, table: Table) -> int:
    if session.get_bind().dialect.name == "sqlite":
        return session.scalar(select(func.max(literal_column("rowid"))).select_from(table)) or 0
    return int(session.scalar(_STATISTICS, {"name": table.name}) or 0)
