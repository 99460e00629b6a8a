"""Writing many rows of known primary keys in one statement, inserted or replaced."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session


def upsert(session: Session, table: Table, rows: Sequence[Mapping[str, Any]], *, update: Sequence[str]) -> None:
    """Insert ``rows`` (all columns each) or, where the primary key exists, set the columns named in ``update``.

    The driver sends them as one statement. Rows are written, and so locked, in the order given: give them by ascending key.
    """
    if not rows:
        return
    if session.get_bind().dialect.name == "sqlite":
        lite = sqlite.insert(table)
        session.execute(
            lite.on_conflict_do_update(
                index_elements=list(table.primary_key.columns), set_={name: lite.excluded[name] for name in update}
            ),
            rows,
        )
        return
    insert = mysql.insert(table)
    session.execute(insert.on_duplicate_key_update({name: insert.inserted[name] for name in update}), rows)
