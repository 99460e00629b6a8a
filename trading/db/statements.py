"""Small words for statements: the type of any row, how rows are locked by their key, and how many a change met."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from sqlalchemy import CursorResult, Row, Select, Table, UpdateBase
from sqlalchemy.orm import Session

AnyRow = Row[*tuple[Any, ...]]
Selection = TypeVar("Selection", bound=Select[*tuple[Any, ...]])


def force_primary_key(statement: Selection, table: Table) -> Selection:
    """The statement, made to find the rows of ``table`` by their primary key on MySQL and MariaDB.

    For one that locks. Left to itself the optimizer may go by another index, or read all of a small table: through rows that others hold, and in another
    order than the locks are asked for.
    """
    for dialect in ("mysql", "mariadb"):
        statement = statement.with_hint(table, "FORCE INDEX (PRIMARY)", dialect)
    return statement


def execute_rowcount(
    session: Session, change: UpdateBase, values: Mapping[str, Any] | None = None
) -> int:
    """Run an INSERT, UPDATE or DELETE, with ``values`` for its parameters, and return how many rows its condition met, changed or not."""
    return cast("CursorResult[Any]", session.execute(change, values)).rowcount
