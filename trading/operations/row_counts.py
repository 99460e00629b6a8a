"""Row counts of the growing tables, exact if that is cheap, else estimated."""

from dataclasses import dataclass

from sqlalchemy import Table, func, literal_column, select, text
from sqlalchemy.orm import Session

from trading.account_events.tables import AccountEventRow
from trading.accounts.tables import UserRow
from trading.db.declarative import table_of
from trading.ledger.tables import TransactionRow
from trading.orders.tables import OrderExecutionRow, OrderRow

# Counting this many rows takes some tens of milliseconds; ten million take seconds.
COUNTED_MAX = 200_000

_TABLES = tuple(
    map(table_of, (UserRow, OrderRow, OrderExecutionRow, TransactionRow, AccountEventRow))
)

# MySQL 8 caches these figures for a day unless the hint disables it. MariaDB does not cache them
# and ignores the hint as a comment.
_STATISTICS = text(
    "SELECT /*+ SET_VAR(information_schema_stats_expiry = 0) */ table_rows"
    " FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = :name"
)


@dataclass(frozen=True, slots=True)
class RowCount:
    """Number of rows of a table.

    If ``estimated``, it comes from the server's statistics, or on SQLite from the largest rowid.
    """

    rows: int
    estimated: bool


def row_counts(session: Session, *, counted_max: int = COUNTED_MAX) -> dict[str, RowCount]:
    """Count the rows of the tables that grow with users and trading, by table.

    Tables with more than ``counted_max`` rows are estimated.
    """
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
