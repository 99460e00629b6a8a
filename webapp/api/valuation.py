"""Value of a user's account: rows from one database snapshot, ticks from one Redis round trip."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any

import structlog
from marshmallow import fields
from sqlalchemy.orm import Session

from trading.account_events.push_messages import tick_members
from trading.exchange.time import KST, trade_date
from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.ticks import Tick
from trading.portfolio.holding_rows import HoldingRows, load_holdings
from trading.portfolio.holdings import (
    CashRecord,
    HoldingRecord,
    SummaryRecord,
    load_cash,
    summarize_portfolio,
    value_holdings,
)
from trading.stocks.valuation_prices import (
    Freshness,
    RecordedPrices,
    ValuationPrice,
    valuation_prices,
)
from webapp.context import get_core
from webapp.http.authentication import current_user

log = structlog.get_logger(__name__)

_TICK_ONLY = (
    "volume",
    "cumulative_volume",
    "trade_type",
    "session",
    "exchange",
    "received_at",
    "position",
)


def freshness_field() -> fields.String:
    return fields.String(
        required=True,
        allow_none=True,
        metadata={
            "example": "LIVE",
            "enum": [*Freshness, None],
            "description": (
                "LIVE: 주문을 체결할 수 있는 최근 체결가, STALE: 그보다 오래된 체결가, "
                "CLOSE: 거래일의 종가. 여러 종목이면 그중 가장 오래된 것"
            ),
        },
    )


def my_holdings(stock_code: str | None = None) -> tuple[HoldingRecord, ...]:
    """Return the signed-in user's holdings, all or one, at their last prices."""
    core, user_id = get_core(), current_user().user_id
    now = core.clock()
    rows = core.snapshot(
        load_holdings, user_id, since=_todays_beginning(now), stock_code=stock_code
    )
    return value_holdings(rows, last_prices(rows.codes, rows.recorded, now=now))


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
    """Return a summary of these rows at their last prices."""
    return summarize_portfolio(cash, rows, last_prices(rows.codes, rows.recorded, now=now))


def last_prices(
    codes: Sequence[str], recorded: Mapping[str, RecordedPrices], *, now: datetime
) -> dict[str, ValuationPrice]:
    """Return the prices of stocks from their last ticks and these recorded prices."""
    ticks: Mapping[str, Tick] = {}
    try:
        ticks = get_core().quotes.last_ticks(codes)
    except MarketUnavailable:
        log.warning("market_unavailable_for_valuation")
    return prices_at(ticks, recorded, now=now)


def prices_at(
    ticks: Mapping[str, Tick], recorded: Mapping[str, RecordedPrices], *, now: datetime
) -> dict[str, ValuationPrice]:
    """Return the prices of stocks from these ticks and recorded prices."""
    core = get_core()
    return valuation_prices(
        recorded,
        ticks,
        now=now,
        freshness_ms=core.settings.tick_freshness_ms,
        hours=core.market_hours(),
    )


def quote_of(price: ValuationPrice) -> dict[str, Any]:
    """Return the members of a quote; a recorded price has none that only a tick has."""
    base = price.base_price
    recorded = {
        "stock_code": price.stock_code,
        "price": price.price,
        "base_price": base,
        "change": None if base is None else price.price - base,
        "change_rate_bp": price.change_rate_bp,
        "traded_at": price.traded_at,
        **dict.fromkeys(_TICK_ONLY),
    }
    return {
        **(recorded if price.tick is None else tick_members(price.tick)),
        "price_day": price.day,
        "age_ms": price.age_ms,
        "freshness": price.freshness,
    }


def _todays_beginning(now: datetime) -> datetime:
    return datetime.combine(trade_date(now), time(), KST)
