"""Statements: index hints for locks, row counts."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from sqlalchemy import CursorResult, Select, Table, UpdateBase
from sqlalchemy.orm import Session

Selection = TypeVar("Selection", bound=Select[*tuple[Any, ...]])


def force_primary_key(statement: Selection, table: Table) -> Selection:
    """Return the statement with a hint to find rows of `table` by primary key on MySQL and MariaDB.

    For locking statements. Without the hint the optimizer may use another index or scan a small
    table: through rows that others have locked, and in another lock order.
    """
    for dialect in ("mysql", "mariadb"):
        statement = statement.with_hint(table, "FORCE INDEX (PRIMARY)", dialect)
    return statement


def execute_rowcount(
    session: Session, change: UpdateBase, values: Mapping[str, Any] | None = None
) -> int:
    """Run an INSERT, UPDATE or DELETE with `values` as parameters; return the number of matched
    rows.
    """
    return cast("CursorResult[Any]", session.execute(change, values)).rowcount
