"""Turn MySQL's deprecation warnings into failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


class Deprecated(AssertionError):
    """A statement used a feature that a later MySQL removes."""


@contextmanager
def deprecations_forbidden() -> Iterator[None]:
    """Raise Deprecated for each statement of any engine that causes a deprecation warning."""

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


# Deprecated, but needed until the replacement has no fault (see benchmarks/mysql.py).
_NEEDED = "innodb_native_foreign_keys"


def deprecations_in(log: str) -> list[str]:
    """Return the lines of a server's error log that warn of a deprecation."""
    lines = log.splitlines()
    return [line for line in lines if "deprecat" in line.lower() and _NEEDED not in line]
