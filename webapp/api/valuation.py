"""Value of a user's account: rows from one database snapshot, prices from one Redis round trip."""

from datetime import datetime, time

import structlog
from sqlalchemy.orm import Session

from trading.exchange.time import KST, trade_date
from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.ticks import Tick
from trading.portfolio.holdings import (
    CashRecord,
    HoldingRecord,
    HoldingRows,
    SummaryRecord,
    load_cash,
    load_holdings,
    summarize_portfolio,
    value_holdings,
)
from webapp.context import get_core
from webapp.http.authentication import current_user

log = structlog.get_logger(__name__)


def my_holdings(stock_code: str | None = None) -> tuple[HoldingRecord, ...]:
    """Return the signed-in user's holdings, all or one, at their last ticks."""
    core, user_id = get_core(), current_user().user_id
    now = core.clock()
    rows = core.snapshot(
        load_holdings, user_id, since=_todays_beginning(now), stock_code=stock_code
    )
    return value_holdings(
        rows, _last_ticks(rows), now=now, freshness_ms=core.settings.tick_freshness_ms
    )


def my_summary() -> SummaryRecord:
    """Return cash, holdings, today's change and realized profit of the signed-in user."""
    core, now = get_core(), get_core().clock()
    return valued(*core.snapshot(my_rows, now), now=now)


def my_rows(session: Session, now: datetime) -> tuple[CashRecord, HoldingRows]:
    """Return the rows of a summary, for a snapshot that reads more than the summary."""
    user_id = current_user().user_id
    return load_cash(session, user_id), load_holdings(
        session, user_id, since=_todays_beginning(now)
    )


def valued(cash: CashRecord, rows: HoldingRows, *, now: datetime) -> SummaryRecord:
    """Return a summary of these rows at the last ticks."""
    ticks = _last_ticks(rows)
    holdings = value_holdings(
        rows, ticks, now=now, freshness_ms=get_core().settings.tick_freshness_ms
    )
    return summarize_portfolio(cash, rows, holdings, ticks, now=now)


def _todays_beginning(now: datetime) -> datetime:
    return datetime.combine(trade_date(now), time(), KST)


def _last_ticks(rows: HoldingRows) -> dict[str, Tick]:
    try:
        return get_core().quotes.last_ticks(rows.codes)
    except MarketUnavailable:
        # Holdings stay visible; their value is then unknown.
        log.warning("market_unavailable_for_valuation")
        return {}
