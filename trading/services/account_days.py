"""Recording the daily history of the accounts: what each was worth at the end of a trading day, once the day is over.

Cash, shares and flows are those of the Transactions up to the last one before the day's end, whenever this runs, and never those of now. A Transaction moves
cash and shares at once, so no trade counts by half. Closes are those of the daily candles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Date, Select, Subquery, case, func, literal, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from trading.database.rows import rows_changed
from trading.database.tables import (
    AccountDay,
    Candle,
    CandleCursor,
    Transaction,
    User,
    VirtualBalance,
    table_of,
)
from trading.database.types import Instant
from trading.rules.account_days import EndedDay, days_between, latest_finished
from trading.rules.candles import CandleInterval
from trading.rules.exchange_time import KST, trade_date
from trading.rules.ledger import DIRECTION, FLOWS, TRADES, TransactionType
from trading.rules.market_hours import MarketHours

_DAYS = table_of(AccountDay)
_CANDLES = table_of(Candle)
_CURSORS = table_of(CandleCursor)
_TRANSACTIONS = table_of(Transaction)
_USERS = table_of(User)
_BALANCES = table_of(VirtualBalance)

# After a long outage one transaction records so many days of a batch of accounts, and the next goes on.
DAYS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class DaysReport:
    """How many rows one batch wrote, the last account that is done with, and whether there may be more to record."""

    rows: int = 0
    done_to: UUID | None = None
    more: bool = False


def record_account_days(
    session: Session, *, hours: MarketHours, done_to: UUID | None, batch_size: int, now: datetime
) -> DaysReport:
    """Record what one batch of accounts, by id behind ``done_to``, lacks of the days that have ended.

    Nothing while the candles lack trades of the newest of these days. One statement a day, however many accounts; twice at once writes each row once.
    """
    latest = latest_finished(hours, now)
    if latest is None or not _has_closes(session, latest):
        return DaysReport()
    accounts = session.execute(_lacking(latest, done_to).limit(batch_size)).all()
    if not accounts:
        return DaysReport()
    first = min(
        row.last_day + timedelta(days=1) if row.last_day else trade_date(row.created_at)
        for row in accounts
    )
    user_ids = [row.id for row in accounts]
    missing = list(islice(days_between(hours, first, latest.day), DAYS_AT_ONCE))
    rows = sum(_record(session, ended, user_ids, now) for ended in missing)
    complete = missing[-1] == latest
    return DaysReport(rows, user_ids[-1] if complete else done_to, more=True)


def _has_closes(session: Session, ended: EndedDay) -> bool:
    """Whether the candles have all trades of a day. Where none were ever built there is nothing to wait for."""
    read_at = session.scalar(select(_CURSORS.c.read_at))
    return read_at is None or read_at >= ended.ended_at


def _lacking(latest: EndedDay, done_to: UUID | None) -> Select[Any]:
    """The open accounts without a row of the latest day, by id, with the last day that each has."""
    last_day = select(func.max(_DAYS.c.day)).where(_DAYS.c.user_id == _USERS.c.id).scalar_subquery()
    recorded = (
        select(_DAYS.c.day)
        .where(_DAYS.c.user_id == _USERS.c.id, _DAYS.c.day >= latest.day)
        .exists()
    )
    lacking = (
        select(_USERS.c.id, _USERS.c.created_at, last_day.label("last_day"))
        .join(_BALANCES, _BALANCES.c.user_id == _USERS.c.id)
        .where(
            _USERS.c.deleted_at.is_(None),
            _USERS.c.created_at < latest.ended_at,
            _BALANCES.c.transaction_count > 0,
            ~recorded,
        )
        .order_by(_USERS.c.id)
    )
    return lacking if done_to is None else lacking.where(_USERS.c.id > done_to)


def _record(session: Session, ended: EndedDay, user_ids: Sequence[UUID], now: datetime) -> int:
    """Write the rows of one day of those among these accounts that were open by its end and have none of it, or of a later one."""
    ledger = _ledger(ended, user_ids)
    flows, holdings = _flows(ledger), _holdings(ledger, ended)
    rows = (
        select(
            ledger.c.user_id,
            literal(ended.day, Date),
            literal(ended.ended_at, Instant),
            ledger.c.last_sequence,
            _TRANSACTIONS.c.cash_after,
            func.coalesce(holdings.c.value, 0),
            func.coalesce(flows.c.net_flow, 0),
            func.coalesce(flows.c.paid_out, 0),
            func.coalesce(holdings.c.carried, 0),
            func.coalesce(holdings.c.unpriced, 0),
            literal(now, Instant),
        )
        .select_from(ledger)
        .outerjoin(flows, flows.c.user_id == ledger.c.user_id)
        .outerjoin(holdings, holdings.c.user_id == ledger.c.user_id)
        .join(_TRANSACTIONS, _TRANSACTIONS.c.user_id == ledger.c.user_id)
        .where(_TRANSACTIONS.c.sequence == ledger.c.last_sequence)
    )
    columns = [column.name for column in _DAYS.columns]
    # Whoever records the same day at the same moment has found the same.
    if session.get_bind().dialect.name == "sqlite":
        return rows_changed(
            session, sqlite.insert(_DAYS).from_select(columns, rows).on_conflict_do_nothing()
        )
    written = mysql.insert(_DAYS).from_select(columns, rows)
    return rows_changed(session, written.on_duplicate_key_update(recorded_at=_DAYS.c.recorded_at))


def _ledger(ended: EndedDay, user_ids: Sequence[UUID]) -> Subquery:
    """Of each account its last Transaction before the day's end, and the last one that an earlier row counted (0 without one).

    All up to that Transaction counts, in the order in which it was booked: one that was dated a moment later and booked before it is in its balance, too.
    """
    last_sequence = (
        select(_TRANSACTIONS.c.sequence)
        .where(
            _TRANSACTIONS.c.user_id == _USERS.c.id,
            _TRANSACTIONS.c.transaction_date < ended.ended_at,
        )
        .order_by(_TRANSACTIONS.c.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )
    counted = (
        select(func.max(_DAYS.c.last_sequence))
        .where(_DAYS.c.user_id == _USERS.c.id)
        .scalar_subquery()
    )
    recorded = (
        select(_DAYS.c.day).where(_DAYS.c.user_id == _USERS.c.id, _DAYS.c.day >= ended.day).exists()
    )
    return (
        select(
            _USERS.c.id.label("user_id"),
            last_sequence.label("last_sequence"),
            func.coalesce(counted, 0).label("counted"),
        )
        .where(_USERS.c.id.in_(user_ids), _USERS.c.created_at < ended.ended_at, ~recorded)
        .subquery("ledger")
    )


def _flows(ledger: Subquery) -> Subquery:
    """What each account's owner paid in and out since the row before."""
    kind, amount = _TRANSACTIONS.c.transaction_type, _TRANSACTIONS.c.amount
    outward = [flow for flow in FLOWS if DIRECTION[flow] < 0]
    return (
        select(
            ledger.c.user_id,
            func.sum(case((kind.in_(outward), -amount), else_=amount)).label("net_flow"),
            func.sum(case((kind.in_(outward), amount), else_=0)).label("paid_out"),
        )
        .join(_TRANSACTIONS, _TRANSACTIONS.c.user_id == ledger.c.user_id)
        .where(
            _TRANSACTIONS.c.sequence > ledger.c.counted,
            _TRANSACTIONS.c.sequence <= ledger.c.last_sequence,
            kind.in_(FLOWS),
        )
        .group_by(ledger.c.user_id)
        .subquery("flows")
    )


def _holdings(ledger: Subquery, ended: EndedDay) -> Subquery:
    """What the shares of each account were worth at the close, and how many holdings have an earlier day's close or none."""
    bought = _TRANSACTIONS.c.transaction_type == TransactionType.BUY
    quantity = func.sum(case((bought, _TRANSACTIONS.c.quantity), else_=-_TRANSACTIONS.c.quantity))
    shares = (
        select(ledger.c.user_id, _TRANSACTIONS.c.stock_code, quantity.label("quantity"))
        .join(_TRANSACTIONS, _TRANSACTIONS.c.user_id == ledger.c.user_id)
        .where(
            _TRANSACTIONS.c.sequence <= ledger.c.last_sequence,
            _TRANSACTIONS.c.transaction_type.in_(TRADES),
        )
        .group_by(ledger.c.user_id, _TRANSACTIONS.c.stock_code)
        .having(quantity > 0)
        .subquery("shares")
    )
    that_day = datetime.combine(ended.day, time(), KST)
    of_the_stock = (
        _CANDLES.c.stock_code == shares.c.stock_code,
        _CANDLES.c.candle_interval == CandleInterval.DAY,
    )
    close_of = (
        select(func.max(_CANDLES.c.starts_at))
        .where(*of_the_stock, _CANDLES.c.starts_at <= that_day)
        .scalar_subquery()
    )
    dated = select(shares, close_of.label("close_of")).subquery("dated")
    return (
        select(
            dated.c.user_id,
            func.sum(func.coalesce(dated.c.quantity * _CANDLES.c.close, 0)).label("value"),
            func.sum(case((dated.c.close_of < that_day, 1), else_=0)).label("carried"),
            func.sum(case((dated.c.close_of.is_(None), 1), else_=0)).label("unpriced"),
        )
        .outerjoin(
            _CANDLES,
            (_CANDLES.c.stock_code == dated.c.stock_code)
            & (_CANDLES.c.candle_interval == CandleInterval.DAY)
            & (_CANDLES.c.starts_at == dated.c.close_of),
        )
        .group_by(dated.c.user_id)
        .subquery("holdings")
    )
