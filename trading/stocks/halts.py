"""Halts of single stocks."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.stocks.tables import STOCKS


class StockHalt(NamedTuple):
    """The latest halt of a stock that is tradable again."""

    halted_at: datetime
    resumed_at: datetime

    def is_active_at(self, at: datetime) -> bool:
        """Return True if the stock was halted at a time. The end does not belong to the halt."""
        return self.halted_at <= at < self.resumed_at


def stock_halts_since(session: Session, since: datetime) -> dict[str, StockHalt]:
    """Return the latest halts that ended after a time, by product code."""
    columns = STOCKS.c.code, STOCKS.c.halted_at, STOCKS.c.resumed_at
    rows = session.execute(select(*columns).where(STOCKS.c.resumed_at > since))
    return {code: StockHalt(halted_at, resumed_at) for code, halted_at, resumed_at in rows}
