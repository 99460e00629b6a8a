"""SQL functions of a time: its day in Korea, and its seconds."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _KoreanDay(FunctionElement[str]):
    inherit_cache = True
    type = String()


class _Seconds(FunctionElement[int]):
    inherit_cache = True
    type = BigInteger()


def korean_day(instant: ColumnElement[Any]) -> ColumnElement[str]:
    """The day in Korea as text, e.g. 2026-11-20. Korea has been at UTC+9 all year since 1989."""
    return _KoreanDay(instant)


def seconds(instant: ColumnElement[Any]) -> ColumnElement[int]:
    """Whole seconds since 2020: small enough for products with quantities summed up in 64 bits."""
    return _Seconds(instant)


@compiles(_KoreanDay)
def _day_on_mysql(element: _KoreanDay, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(DATE({compiler.process(element.clauses, **options)} + INTERVAL 9 HOUR) AS CHAR)"


@compiles(_KoreanDay, "sqlite")
def _day_on_sqlite(element: _KoreanDay, compiler: SQLCompiler, **options: Any) -> str:
    return f"date({compiler.process(element.clauses, **options)}, '+9 hours')"


@compiles(_Seconds)
def _seconds_on_mysql(element: _Seconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"TIMESTAMPDIFF(SECOND, '2020-01-01', {compiler.process(element.clauses, **options)})"


@compiles(_Seconds, "sqlite")
def _seconds_on_sqlite(element: _Seconds, compiler: SQLCompiler, **options: Any) -> str:
    instant = compiler.process(element.clauses, **options)
    return f"(strftime('%s', {instant}) - strftime('%s', '2020-01-01'))"
