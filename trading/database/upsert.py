"""Writing many rows of known primary keys in one statement, inserted or replaced."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Table, TextClause, bindparam, text
from sqlalchemy.orm import Session


def upsert(session: Session, table: Table, rows: Sequence[Mapping[str, Any]], *, update: Sequence[str]) -> None:
    """Insert ``rows`` (all columns each) or, where the primary key exists, set the columns named in ``update``.

    The driver sends them as one statement. Rows are written, and so locked, in the order given: give them by ascending key.
    """
    if rows:
        on_sqlite = session.get_bind().dialect.name == "sqlite"
        session.execute(_statement(table, tuple(update), on_sqlite=on_sqlite), rows)


@cache
def _statement(table: Table, update: tuple[str, ...], *, on_sqlite: bool) -> TextClause:
    # Written by hand, because for MySQL 8.0.20 and later SQLAlchemy names the new row by an alias, which PyMySQL does not know: it would
    # send the rows one by one. VALUES() is understood by every MySQL 8 and by MariaDB.
    columns = [column.name for column in table.columns]
    if on_sqlite:
        key = ", ".join(column.name for column in table.primary_key)
        changes = f"ON CONFLICT ({key}) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in update)
    else:
        changes = "ON DUPLICATE KEY UPDATE " + ", ".join(f"{name} = VALUES({name})" for name in update)
    values = ", ".join(f":{name}" for name in columns)
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({values}) {changes}"  # noqa: S608 - names of our own tables only
    return text(statement).bindparams(*(bindparam(column.name, type_=column.type) for column in table.columns))
