"""Small words for statements: the type of any row, and how many rows a change met."""

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import CursorResult, Row, UpdateBase
from sqlalchemy.orm import Session

AnyRow = Row[*tuple[Any, ...]]


def rows_changed(session: Session, change: UpdateBase, values: Mapping[str, Any] | None = None) -> int:
    """Run an INSERT, UPDATE or DELETE, with ``values`` for its parameters, and return how many rows its condition met, changed or not."""
    return cast("CursorResult[Any]", session.execute(change, values)).rowcount
