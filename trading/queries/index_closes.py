"""An index's closes by day, in hundredths of a point."""

from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.database.tables import IndexClose, table_of

_CLOSES = table_of(IndexClose)


def index_closes(
    session: Session, index_code: str, *, since: date | None = None, until: date | None = None
) -> dict[date, int]:
    """The closes from ``since`` to ``until``, both included, oldest first. One statement."""
    wanted = select(_CLOSES.c.day, _CLOSES.c.close).where(_CLOSES.c.index_code == index_code)
    if since is not None:
        wanted = wanted.where(_CLOSES.c.day >= since)
    if until is not None:
        wanted = wanted.where(_CLOSES.c.day <= until)
    return {row.day: row.close for row in session.execute(wanted.order_by(_CLOSES.c.day))}
