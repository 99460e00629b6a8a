"""The day in Korea at an instant, in SQL, for grouping by it."""

from typing import Any

from sqlalchemy import ColumnElement, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _KoreanDay(FunctionElement[str]):
    inherit_cache = True
    type = String()


def korean_day(instant: ColumnElement[Any]) -> ColumnElement[str]:
    """The day in Korea as text, 2026-11-20. Korea's clock has been nine hours ahead of UTC the whole year since 1989."""
    return _KoreanDay(instant)


@compiles(_KoreanDay)
def _on_mysql(element: _KoreanDay, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(DATE({compiler.process(element.clauses, **options)} + INTERVAL 9 HOUR) AS CHAR)"


@compiles(_KoreanDay, "sqlite")
def _on_sqlite(element: _KoreanDay, compiler: SQLCompiler, **options: Any) -> str:
    return f"date({compiler.process(element.clauses, **options)}, '+9 hours')"
