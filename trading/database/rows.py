"""Small words for statements: the type of any row, and how many rows a change met."""

from typing import Any, cast

from sqlalchemy import CursorResult, Row, UpdateBase
from sqlalchemy.orm import Session

AnyRow = Row[*tuple[Any, ...]]


def rows_changed(session: Session, change: UpdateBase) -> int:
    """Run an INSERT, UPDATE or DELETE and return how many rows its condition met, changed or not."""
    return cast("CursorResult[Any]", session.execute(change)).rowcount
