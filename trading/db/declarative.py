"""What every table is made with: the declarative class, the naming of constraints, and the types and options that many columns share."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, MetaData, Table
from sqlalchemy.orm import DeclarativeBase

from trading.db.types import Id, Instant, ascii_text

STOCK_CODE = ascii_text(20)
WORD = ascii_text(32)

# On a table whose rows are added and never changed or deleted: the user of the rows in production need not be able to.
APPEND_ONLY = {"append_only": True}

MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def one_of(column: str, words: Iterable[str]) -> str:
    """SQL for a column that holds one of these words."""
    return f"{column} IN ({', '.join(repr(str(word)) for word in words)})"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {UUID: Id, datetime: Instant, int: BigInteger}


def table_of(model: type[Base]) -> Table:
    """The plain table behind a model, for statements over many rows: they skip the ORM's bookkeeping."""
    table = model.__table__
    if not isinstance(table, Table):
        raise TypeError("A model of ours is mapped to one table.")
    return table
