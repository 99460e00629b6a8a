"""Daily snapshots for tests: closing prices, recording, and a recomputation from the ledger."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from tests.support.trading_harness import SAMSUNG, TradingHarness
from trading.exchange.hours import MarketHours
from trading.exchange.time import KST
from trading.ledger.tables import TRANSACTIONS
from trading.portfolio.daily_snapshots import CompletedDay
from trading.portfolio.record_snapshots import record_account_days
from trading.portfolio.tables import DAILY_SNAPSHOTS
from trading.stocks.candles.model import CandleInterval
from trading.stocks.candles.tables import CANDLES

FIGURES = (
    "day",
    "ended_at",
    "last_sequence",
    "cash_balance",
    "holdings_value",
    "net_flow",
    "paid_out",
    "carried_holdings",
    "unpriced_holdings",
)


def close(harness: TradingHarness, day: date, price: int, code: str = SAMSUNG) -> None:
    """Store a stock's close of a day in won."""
    midnight = datetime.combine(day, time(), KST)
    candle = {
        "stock_code": code,
        "candle_interval": CandleInterval.DAY,
        "starts_at": midnight,
        "open": price,
        "high": price,
        "low": price,
        "close": price,
        "volume": 1,
        "amount": price,
        "opened_at": midnight,
        "closed_at": midnight,
        "position": 1,
    }
    harness.do(lambda session: session.execute(insert(CANDLES), candle))


def record(
    harness: TradingHarness, hours: MarketHours | None = None, *, batch_size: int = 500
) -> int:
    """Record all ended days like the task, and return the number of rows written."""
    hours = hours or harness.core.market_hours()
    rows, done_to, more = 0, None, True
    while more:
        report = harness.do(
            lambda session, done_to=done_to: record_account_days(
                replace(harness.core.unit_of_work(session), market_hours=lambda: hours),
                done_to=done_to,
                batch_size=batch_size,
            )
        )
        rows, done_to, more = rows + report.rows, report.done_to, report.more
    return rows


def days_of(harness: TradingHarness, user: UUID) -> list[dict[str, Any]]:
    """Return the recorded days of an account, oldest first."""
    days = DAILY_SNAPSHOTS
    wanted = select(days).where(days.c.user_id == user).order_by(days.c.day)
    rows = harness.core.database.read(lambda session: session.execute(wanted).mappings().all())
    return [{name: row[name] for name in FIGURES} for row in rows]


def replayed(
    harness: TradingHarness, user: UUID, ended: Iterable[CompletedDay]
) -> list[dict[str, Any]]:
    """Compute the days of an account from its ledger, one transaction at a time."""
    transactions, candles = TRANSACTIONS, CANDLES
    ledger, closes = harness.core.database.read(
        lambda session: (
            session.execute(
                select(transactions)
                .where(transactions.c.user_id == user)
                .order_by(transactions.c.sequence)
            ).all(),
            session.execute(
                select(candles).where(candles.c.candle_interval == CandleInterval.DAY)
            ).all(),
        )
    )
    days, counted = [], 0
    for day, ended_at in ended:
        booked = [row.sequence for row in ledger if row.transaction_date < ended_at]
        if not booked:
            continue
        shares, cash, paid_in, paid_out = Counter[str](), 0, 0, 0
        fills: dict[str, int] = {}
        for row in ledger[: booked[-1]]:
            cash = row.cash_after
            shares[row.stock_code] += {"BUY": 1, "SELL": -1}.get(row.transaction_type, 0) * (
                row.quantity or 0
            )
            if row.stock_code is not None:
                fills[row.stock_code] = row.price
            if row.sequence > counted:
                paid_in += row.amount if row.transaction_type == "DEPOSIT" else 0
                paid_out += row.amount if row.transaction_type in ("WITHDRAW", "REFUND") else 0
        held = {code: quantity for code, quantity in shares.items() if quantity}
        last = {
            code: max(
                (one.starts_at.astimezone(KST).date(), one.close)
                for one in closes
                if one.stock_code == code and one.starts_at.astimezone(KST).date() <= day
            )
            for code in held
            if any(
                one.stock_code == code and one.starts_at.astimezone(KST).date() <= day
                for one in closes
            )
        }
        figures = (
            day,
            ended_at,
            booked[-1],
            cash,
            sum(held[code] * (last[code][1] if code in last else fills[code]) for code in held),
            paid_in - paid_out,
            paid_out,
            sum(code not in last or last[code][0] < day for code in held),
            0,
        )
        days.append(dict(zip(FIGURES, figures, strict=True)))
        counted = booked[-1]
    return days
