"""Deprecation warnings of MySQL, as failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


class Deprecated(AssertionError):
    """A statement used what a later MySQL will not know."""


@contextmanager
def deprecations_refused() -> Iterator[None]:
    """Have each statement of any engine raise Deprecated if the server warns of a deprecation."""

    def check(_connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        if not getattr(cursor, "warning_count", 0):
            return
        warnings = cursor.connection.show_warnings()
        if found := [message for _, _, message in warnings if "deprecated" in message.lower()]:
            raise Deprecated(statement, found)

    event.listen(Engine, "after_cursor_execute", check)
    try:
        yield
    finally:
        event.remove(Engine, "after_cursor_execute", check)


# Deprecated, and needed for as long as the server's own new way has a fault (benchmarks/mysql.py).
_NEEDED = "innodb_native_foreign_keys"


def deprecations_in(log: str) -> list[str]:
    """Return the lines of a server's error log that warn of a deprecation."""
    lines = log.splitlines()
    return [line for line in lines if "deprecat" in line.lower() and _NEEDED not in line]
