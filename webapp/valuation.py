"""A user's wealth at this moment: rows from the database, prices from Redis, one round trip to each."""

import structlog

from trading.database.rows import AnyRow
from trading.market.quote_book import MarketUnavailable
from trading.market.tick import Tick
from trading.queries.portfolio import (
    HoldingRecord,
    SummaryRecord,
    cash_of,
    priced,
    realized_profit_of,
    rows_of,
)
from webapp.authentication import me
from webapp.core import the_core

log = structlog.get_logger(__name__)


def my_holdings(stock_code: str | None = None) -> tuple[HoldingRecord, ...]:
    """The signed-in user's holdings, all or one, at their last ticks."""
    user_id = me().user_id
    rows = the_core().database.read(lambda session: rows_of(session, user_id, stock_code=stock_code))
    return _priced(rows)


def my_summary() -> SummaryRecord:
    """Cash, holdings and what was realised so far, from one state of the database."""
    user_id = me().user_id
    cash, rows, realized = the_core().database.snapshot(
        lambda session: (cash_of(session, user_id), rows_of(session, user_id), realized_profit_of(session, user_id))
    )
    return SummaryRecord(cash=cash, holdings=_priced(rows), realized_profit=realized)


def _priced(rows: list[AnyRow]) -> tuple[HoldingRecord, ...]:
    core = the_core()
    ticks: dict[str, Tick] = {}
    try:
        ticks = core.quotes.last_ticks(row.stock_code for row in rows)
    except MarketUnavailable:
        # What is held stays visible; what it is worth is then unknown, and said to be.
        log.warning("market_unavailable_for_valuation")
    return priced(rows, ticks, now=core.clock(), freshness_ms=core.settings.tick_freshness_ms)
