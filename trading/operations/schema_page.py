"""Generate docs/database.md from the models: ``flask database describe > docs/database.md``."""

import inspect
from collections.abc import Iterator
from itertools import groupby

from sqlalchemy import CheckConstraint, Column, DefaultClause, ForeignKey, Table, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapper

from trading.db.declarative import Base

_HEAD = """\
# The database

`flask database describe > docs/database.md` writes this page from the models in the `tables.py`
files and their docstrings. A test compares the page with the models. Types are MySQL's; MariaDB
has the same types, SQLite the nearest.

- An id is a UUIDv7 in 16 bytes, so rows are stored in the order of creation.
  `BIN_TO_UUID(id)` shows an id as the API does; `WHERE id = UUID_TO_BIN('…')` finds it.
- A time is UTC with microseconds in a DATETIME. Korean time is
  `accepted_at + INTERVAL 9 HOUR`. A DATE is a day in Korea.
- Amounts are whole won, quantities are whole shares; no column holds a fraction.
  `VARCHAR … ascii` is compared byte by byte, as all text is.
- InnoDB adds an index for each foreign key that no key or index below begins with. The table
  `alembic_version` holds the current migration.
- Constraints restrict what a column may hold; the database enforces them. `flask audit` checks
  rules that span several rows.
"""


def schema_page() -> str:
    """Return the page as Markdown: a diagram, then columns, indexes and constraints by table."""
    mappers = sorted(
        Base.registry.mappers, key=lambda mapper: (_package(mapper), _table(mapper).name)
    )
    parts = [_HEAD, _diagram([_table(mapper) for mapper in mappers])]
    for package, members in groupby(mappers, key=_package):
        parts.append(f"## {package.capitalize().replace('_', ' ')}\n")
        parts += map(_section, members)
    return "\n".join(parts)


def _package(mapper: Mapper[Base]) -> str:
    """Return the capability that owns the table: ``orders`` of ``trading.orders.tables``."""
    module = str(mapper.class_.__module__)
    return "idempotency" if module.startswith("trading.idempotency") else module.split(".")[1]


def _table(mapper: Mapper[Base]) -> Table:
    table = mapper.local_table
    if not isinstance(table, Table):
        raise TypeError("A model must be mapped to one table.")
    return table


def _diagram(tables: list[Table]) -> str:
    """Return the foreign keys as a Mermaid diagram."""
    lines = [f"    {line}" for table in tables for line in _relations(table)]
    return "\n".join(["## Foreign keys\n", "```mermaid", "erDiagram", *lines, "```\n"])


def _relations(table: Table) -> Iterator[str]:
    for column in table.columns:
        for key in column.foreign_keys:
            one = "|o" if column.nullable else "||"
            many = "o|" if _is_unique(table, column) else "o{"
            yield f"{key.column.table.name} {one}--{many} {table.name} : {column.name}"


def _is_unique(table: Table, column: Column[object]) -> bool:
    keys = [
        table.primary_key,
        *(one for one in table.constraints if isinstance(one, UniqueConstraint)),
    ]
    return any(list(key.columns) == [column] for key in keys)


def _section(mapper: Mapper[Base]) -> str:
    table = _table(mapper)
    description = inspect.getdoc(mapper.class_) if mapper.class_.__doc__ else None
    lines = [f"### {table.name}\n"]
    if description:
        lines.append(description.replace("``", "`") + "\n")
    lines += ["| column | type | NULL | |", "|---|---|---|---|", *map(_row, table.columns), ""]
    lines += [*_indexes(table), *_checks(table)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _row(column: Column[object]) -> str:
    kind = column.type.compile(dialect=mysql.dialect()).replace(
        " CHARACTER SET ascii COLLATE ascii_bin", " ascii"
    )
    remarks = ["key"] if column.primary_key else []
    remarks += [_reference(key) for key in sorted(column.foreign_keys, key=_reference)]
    if isinstance(column.server_default, DefaultClause):
        remarks.append(f"default {column.server_default.arg}")
    null = "yes" if column.nullable else "no"
    return f"| `{column.name}` | {kind} | {null} | {', '.join(remarks)}".rstrip() + " |"


def _reference(key: ForeignKey) -> str:
    return f"→ {key.column.table.name}.{key.column.name}"


def _indexes(table: Table) -> Iterator[str]:
    unique = [one for one in table.constraints if isinstance(one, UniqueConstraint)]
    named = [("unique", str(one.name), one.columns) for one in unique]
    named += [
        ("unique" if one.unique else "index", str(one.name), one.columns) for one in table.indexes
    ]
    for kind, name, columns in sorted(named, key=lambda one: one[1]):
        yield f"- {kind} `{name}` ({', '.join(column.name for column in columns)})"


def _checks(table: Table) -> Iterator[str]:
    checks = {
        str(one.name): str(one.sqltext)
        for one in table.constraints
        if isinstance(one, CheckConstraint)
    }
    for name in sorted(checks):
        yield f"- check `{name}`: `{checks[name]}`"
