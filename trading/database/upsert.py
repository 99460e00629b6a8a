"""Writing many rows of known primary keys in one statement, inserted or replaced."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import Table, TextClause, bindparam, text
from sqlalchemy.orm import Session

_NEW = re.compile(r"\bnew\.(\w+)")
_SQLITE_NEW = r"excluded.\1"
_MYSQL_NEW = r"VALUES(\1)"


def upsert(
    session: Session,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    update: Sequence[str] = (),
    merge: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Insert ``rows`` (all columns each) or, where the primary key exists, set the columns named in ``update`` to those of the row.

    ``merge`` gives a column's SQL expression of what is there and what is given, which is ``new.column``. MySQL sets columns one after the other in its
    order, each expression seeing those before it changed already: name a column behind those whose expressions read it.

    The driver sends them as one statement. Rows are written, and so locked, in the order given: give them by ascending key.
    """
    if rows:
        changes = (*merge.items(), *((name, f"new.{name}") for name in update))
        on_sqlite = session.get_bind().dialect.name == "sqlite"
        session.execute(_statement(table, changes, on_sqlite=on_sqlite), rows)


@cache
def _statement(
    table: Table, changes: tuple[tuple[str, str], ...], *, on_sqlite: bool
) -> TextClause:
    # Written by hand, because for MySQL 8.0.20 and later SQLAlchemy names the new row by an alias, which PyMySQL does not know: it would
    # send the rows one by one. VALUES() is understood by every MySQL 8 and by MariaDB.
    columns = [column.name for column in table.columns]
    sets = ", ".join(f"{name} = {expression}" for name, expression in changes)
    if on_sqlite:
        key = ", ".join(column.name for column in table.primary_key)
        on_conflict = f"ON CONFLICT ({key}) DO UPDATE SET {_NEW.sub(_SQLITE_NEW, sets)}"
    else:
        on_conflict = f"ON DUPLICATE KEY UPDATE {_NEW.sub(_MYSQL_NEW, sets)}"
    values = ", ".join(f":{name}" for name in columns)
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({values}) {on_conflict}"  # noqa: S608 - names of our own tables only
    return text(statement).bindparams(
        *(bindparam(column.name, type_=column.type) for column in table.columns)
    )
