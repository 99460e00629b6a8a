"""Daily closes of an index, in hundredths of a point."""

from datetime import date, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.exchange.hours import MarketHours
from trading.exchange.time import trade_date
from trading.stocks.indices.tables import INDEX_CLOSES
from trading.stocks.toss.client import Index

# Benchmark index of accounts.
KOSPI = Index.KOSPI

# Finished trading days checked for a missing close; the feed reports no older ones.
_DAYS_DUE = 2
_SEARCH_DAYS = 60


def index_closes(
    session: Session, index_code: str, *, since: date | None = None, until: date | None = None
) -> dict[date, int]:
    """Return the closes from ``since`` to ``until`` inclusive, oldest first. One statement."""
    statement = select(INDEX_CLOSES.c.day, INDEX_CLOSES.c.close).where(
        INDEX_CLOSES.c.index_code == index_code
    )
    if since is not None:
        statement = statement.where(INDEX_CLOSES.c.day >= since)
    if until is not None:
        statement = statement.where(INDEX_CLOSES.c.day <= until)
    return {row.day: row.close for row in session.execute(statement.order_by(INDEX_CLOSES.c.day))}


def closes_due(
    session: Session, index_code: str, *, hours: MarketHours, now: datetime
) -> frozenset[date]:
    """Return those of the last two finished trading days that have no close. One statement."""
    finished: list[date] = []
    today = trade_date(now)
    for day in (today - timedelta(days=back) for back in range(_SEARCH_DAYS)):
        ends = hours.trading_ends(day)
        if ends is not None and ends <= now:
            finished.append(day)
        if len(finished) == _DAYS_DUE:
            break
    if not finished:
        return frozenset()
    return (
        frozenset(finished)
        - index_closes(session, index_code, since=finished[-1], until=finished[0]).keys()
    )
