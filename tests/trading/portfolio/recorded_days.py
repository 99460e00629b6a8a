"""Rows of recorded days and of index closes."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from tests.support.trading_harness import TradingHarness
from trading.exchange.time import KST
from trading.portfolio.tables import DAILY_SNAPSHOTS
from trading.stocks.indices.queries import KOSPI
from trading.stocks.indices.record import record_index_closes


def record_day(
    harness: TradingHarness, user: UUID, day: date, worth: int, flow: int = 0, **more: Any
) -> None:
    """Record an account's day with its value and its flow in won (negative for a withdrawal)."""
    ended_at = datetime.combine(day, time(), KST) + timedelta(days=1)
    row = {
        "user_id": user,
        "day": day,
        "ended_at": ended_at,
        "last_sequence": 1,
        "cash_balance": worth,
        "holdings_value": 0,
        "net_flow": flow,
        "paid_out": max(-flow, 0),
        "carried_holdings": 0,
        "unpriced_holdings": 0,
        "recorded_at": ended_at,
        **more,
    }
    harness.do(lambda session: session.execute(insert(DAILY_SNAPSHOTS), [row]))


def record_days(
    harness: TradingHarness, user: UUID, first: date, days: Sequence[tuple[int, int]]
) -> None:
    """Record successive days from (value, flow)."""
    for n, (worth, flow) in enumerate(days):
        record_day(harness, user, first + timedelta(days=n), worth, flow)


def record_closes(harness: TradingHarness, closes: Mapping[date, int]) -> None:
    harness.core.run(record_index_closes, KOSPI, closes)
