"""Insert or update many rows of known primary keys in one statement."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import Dialect, Table, TextClause, bindparam, text
from sqlalchemy.orm import Session

_NEW = re.compile(r"\bnew\.(\w+)")
_OLD = re.compile(r"\bold\.")


def server_of(dialect: Dialect) -> str:
    """Return sqlite, mariadb or mysql. The dialect must have had a connection."""
    return "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name


def on_duplicate(server: str, table: str, key: str, sets: str) -> str:
    """Return what follows the VALUES of an INSERT, so that an existing row is changed by ``sets``.

    In ``sets``, ``old.column`` is the existing row's value and ``new.column`` the given one.
    ``server`` is as ``server_of`` says it; ``key`` names the columns of the primary key.
    """
    sets = _OLD.sub(f"{table}.", sets)
    if server == "sqlite":
        return f"ON CONFLICT ({key}) DO UPDATE SET " + _NEW.sub(r"excluded.\1", sets)
    # MySQL 8.0.20 deprecates VALUES(column), and MariaDB has no alias for the new row.
    if server == "mariadb":
        return "ON DUPLICATE KEY UPDATE " + _NEW.sub(r"VALUES(\1)", sets)
    return f"AS new ON DUPLICATE KEY UPDATE {sets}"


def upsert(
    session: Session,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    update: Sequence[str] = (),
    merge: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Insert `rows` (all columns each); for existing primary keys, set the columns in `update`.

    `merge` maps a column to an SQL expression of `old.column`, the existing value, and
    `new.column`, the given one. MySQL sets columns in the order of `merge`, and each expression
    sees the columns before it already changed: list a column after those that read it.

    The driver sends one statement. Rows are written, and so locked, in the given order: pass them
    by ascending key.
    """
    if rows:
        changes = (*merge.items(), *((name, f"new.{name}") for name in update))
        session.execute(_statement(table, changes, server_of(session.connection().dialect)), rows)


@cache
def _statement(table: Table, changes: tuple[tuple[str, str], ...], server: str) -> TextClause:
    columns = [column.name for column in table.columns]
    sets = ", ".join(f"{name} = {expression}" for name, expression in changes)
    key = ", ".join(column.name for column in table.primary_key)
    on_conflict = on_duplicate(server, table.name, key, sets)
    values = ", ".join(f":{name}" for name in columns)
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({values}) {on_conflict}"  # noqa: S608 - names of our own tables only
    return text(statement).bindparams(
        *(bindparam(column.name, type_=column.type) for column in table.columns)
    )
