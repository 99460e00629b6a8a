"""An index's closes by day, in hundredths of a point."""

from datetime import date, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.exchange.hours import MarketHours
from trading.exchange.time import trade_date
from trading.stocks.indices.tables import INDEX_CLOSES
from trading.stocks.toss.client import Index

# What accounts are measured against.
KOSPI = Index.KOSPI

# Of how many days that are over a close is looked for, which is as far back as the feed tells them.
_DAYS_DUE = 2
_LOOK_BACK_DAYS = 60


def index_closes(
    session: Session, index_code: str, *, since: date | None = None, until: date | None = None
) -> dict[date, int]:
    """The closes from ``since`` to ``until``, both included, oldest first. One statement."""
    wanted = select(INDEX_CLOSES.c.day, INDEX_CLOSES.c.close).where(
        INDEX_CLOSES.c.index_code == index_code
    )
    if since is not None:
        wanted = wanted.where(INDEX_CLOSES.c.day >= since)
    if until is not None:
        wanted = wanted.where(INDEX_CLOSES.c.day <= until)
    return {row.day: row.close for row in session.execute(wanted.order_by(INDEX_CLOSES.c.day))}


def closes_due(
    session: Session, index_code: str, *, hours: MarketHours, now: datetime
) -> frozenset[date]:
    """Those of the last two trading days that are over which have no close yet. One statement."""
    over: list[date] = []
    today = trade_date(now)
    for day in (today - timedelta(days=back) for back in range(_LOOK_BACK_DAYS)):
        ends = hours.trading_ends(day)
        if ends is not None and ends <= now:
            over.append(day)
        if len(over) == _DAYS_DUE:
            break
    if not over:
        return frozenset()
    return frozenset(over) - index_closes(session, index_code, since=over[-1], until=over[0]).keys()
