"""Column types that mean the same on MySQL, MariaDB and SQLite."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Dialect, LargeBinary, String
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine


def fixed_bytes(length: int) -> TypeEngine[bytes]:
    """Bytes of exactly this length."""
    return LargeBinary().with_variant(mysql.BINARY(length), "mysql", "mariadb")


class Id(TypeDecorator[UUID]):
    """A UUID as 16 bytes: half the index size of text, in id order, and portable."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(fixed_bytes(16).dialect_impl(dialect))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        return None if value is None else value.bytes

    def process_result_value(self, value: Any | None, dialect: Dialect) -> UUID | None:  # noqa: ARG002
        return None if value is None else UUID(bytes=bytes(value))


class Instant(TypeDecorator[datetime]):
    """An aware time, stored in UTC to the microsecond. Times without offset are refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A time without an offset can't be stored.")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


def ascii_text(length: int) -> TypeEngine[str]:
    """ASCII text compared by bytes: short in an index and case-sensitive on every database."""
    narrow = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(narrow, "mysql", "mariadb")


Won = BigInteger
Shares = BigInteger
