"""Declarative base class, naming of constraints, and types and options shared by tables."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, MetaData, Table
from sqlalchemy.orm import DeclarativeBase

from trading.db.types import Id, Instant, ascii_text

STOCK_CODE = ascii_text(20)
WORD = ascii_text(32)

# Rows of this table are never changed or deleted, so the production user needs no such rights.
APPEND_ONLY = {"append_only": True}

MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def one_of(column: str, words: Iterable[str]) -> str:
    """Return the SQL condition that a column holds one of these words."""
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
    """Return the Core table of a model, for statements without the ORM's bookkeeping."""
    table = model.__table__
    if not isinstance(table, Table):
        raise TypeError("A model of ours is mapped to one table.")
    return table
