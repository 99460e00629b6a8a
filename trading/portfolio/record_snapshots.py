"""Record the daily snapshots of all accounts: each account's value at the end of a trading day.

Cash, shares and flows come from the ledger entries up to the last one before the day's end, however
late this runs. A ledger entry moves cash and shares at once, so a trade never counts only for one
of them. Closing prices come from the daily candles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from uuid import UUID

from sqlalchemy import Date, Select, Subquery, case, func, literal, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from trading.accounts.tables import USERS
from trading.db.statements import execute_rowcount
from trading.db.types import Instant
from trading.exchange.time import KST, trade_date
from trading.ledger.model import DIRECTION, FLOWS, TRADES, TransactionType
from trading.ledger.tables import HOLDING_WRITE_OFFS, TRANSACTIONS, VIRTUAL_BALANCES
from trading.portfolio.daily_snapshots import CompletedDay, days_between, last_complete_day
from trading.portfolio.tables import DAILY_SNAPSHOTS
from trading.stocks.candles.model import CandleInterval
from trading.stocks.candles.tables import CANDLE_CURSORS, CANDLES
from trading.unit_of_work import UnitOfWork

# Limits the length of a transaction after a long outage. The next batch records the next days.
DAYS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class DaysReport:
    """Result of one batch: rows written, the last account done, and whether more may follow."""

    rows: int = 0
    done_to: UUID | None = None
    more: bool = False


def record_account_days(uow: UnitOfWork, *, done_to: UUID | None, batch_size: int) -> DaysReport:
    """Record the missing days of one batch of accounts, by id after ``done_to``.

    Record nothing while the candles lack trades of the newest of these days. It takes one statement
    for each day, whatever the number of accounts. Concurrent runs write each row once.
    """
    session, now, hours = uow.session, uow.now, uow.hours
    latest = last_complete_day(hours, now)
    if latest is None or not _has_closes(session, latest):
        return DaysReport()
    accounts = session.execute(_accounts_without(latest, done_to).limit(batch_size)).all()
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


def _has_closes(session: Session, ended: CompletedDay) -> bool:
    """Return True if the candles have all trades of a day, or if there are no candles at all."""
    read_at = session.scalar(select(CANDLE_CURSORS.c.read_at))
    return read_at is None or read_at >= ended.ended_at


def _accounts_without(
    latest: CompletedDay, done_to: UUID | None
) -> Select[UUID, datetime, date | None]:
    """Select the open accounts without a row of the latest day, with their last recorded day, by
    id.
    """
    last_day = (
        select(func.max(DAILY_SNAPSHOTS.c.day))
        .where(DAILY_SNAPSHOTS.c.user_id == USERS.c.id)
        .scalar_subquery()
    )
    recorded = (
        select(DAILY_SNAPSHOTS.c.day)
        .where(DAILY_SNAPSHOTS.c.user_id == USERS.c.id, DAILY_SNAPSHOTS.c.day >= latest.day)
        .exists()
    )
    accounts = (
        select(USERS.c.id, USERS.c.created_at, last_day.label("last_day"))
        .join(VIRTUAL_BALANCES, VIRTUAL_BALANCES.c.user_id == USERS.c.id)
        .where(
            USERS.c.deleted_at.is_(None),
            USERS.c.created_at < latest.ended_at,
            VIRTUAL_BALANCES.c.transaction_count > 0,
            ~recorded,
        )
        .order_by(USERS.c.id)
    )
    return accounts if done_to is None else accounts.where(USERS.c.id > done_to)


def _record(session: Session, ended: CompletedDay, user_ids: Sequence[UUID], now: datetime) -> int:
    """Write one day's rows of those accounts that need one, and return their number.

    These are the accounts opened by the end of the day that have no row of this day or a later one.
    """
    ledger = _ledger(ended, user_ids)
    flows, holdings = _flows(ledger), _holdings(ledger, ended)
    rows = (
        select(
            ledger.c.user_id,
            literal(ended.day, Date),
            literal(ended.ended_at, Instant),
            ledger.c.last_sequence,
            TRANSACTIONS.c.cash_after,
            func.coalesce(holdings.c.value, 0),
            func.coalesce(flows.c.net_flow, 0),
            func.coalesce(flows.c.paid_out, 0),
            func.coalesce(holdings.c.carried, 0),
            literal(0),
            literal(now, Instant),
        )
        .select_from(ledger)
        .outerjoin(flows, flows.c.user_id == ledger.c.user_id)
        .outerjoin(holdings, holdings.c.user_id == ledger.c.user_id)
        .join(TRANSACTIONS, TRANSACTIONS.c.user_id == ledger.c.user_id)
        .where(TRANSACTIONS.c.sequence == ledger.c.last_sequence)
    )
    columns = [column.name for column in DAILY_SNAPSHOTS.columns]
    # Concurrent transactions compute the same row, so a duplicate is ignored.
    if session.get_bind().dialect.name == "sqlite":
        return execute_rowcount(
            session,
            sqlite.insert(DAILY_SNAPSHOTS).from_select(columns, rows).on_conflict_do_nothing(),
        )
    written = mysql.insert(DAILY_SNAPSHOTS).from_select(columns, rows)
    return execute_rowcount(
        session, written.on_duplicate_key_update(recorded_at=DAILY_SNAPSHOTS.c.recorded_at)
    )


def _ledger(ended: CompletedDay, user_ids: Sequence[UUID]) -> Subquery:
    """Select each account's last ledger entry before the day's end and the last one already
    recorded.

    The latter is 0 without an earlier row. All entries up to the former count, in ledger order: an
    entry dated a moment later but written before it is included in its balance, too.
    """
    last_sequence = (
        select(TRANSACTIONS.c.sequence)
        .where(
            TRANSACTIONS.c.user_id == USERS.c.id,
            TRANSACTIONS.c.transaction_date < ended.ended_at,
        )
        .order_by(TRANSACTIONS.c.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )
    counted = (
        select(func.max(DAILY_SNAPSHOTS.c.last_sequence))
        .where(DAILY_SNAPSHOTS.c.user_id == USERS.c.id)
        .scalar_subquery()
    )
    recorded = (
        select(DAILY_SNAPSHOTS.c.day)
        .where(DAILY_SNAPSHOTS.c.user_id == USERS.c.id, DAILY_SNAPSHOTS.c.day >= ended.day)
        .exists()
    )
    return (
        select(
            USERS.c.id.label("user_id"),
            last_sequence.label("last_sequence"),
            func.coalesce(counted, 0).label("counted"),
        )
        .where(USERS.c.id.in_(user_ids), USERS.c.created_at < ended.ended_at, ~recorded)
        .subquery("ledger")
    )


def _flows(ledger: Subquery) -> Subquery:
    """Sum each account's deposits and withdrawals since its previous row."""
    kind, amount = TRANSACTIONS.c.transaction_type, TRANSACTIONS.c.amount
    outward = [flow for flow in FLOWS if DIRECTION[flow] < 0]
    return (
        select(
            ledger.c.user_id,
            func.sum(case((kind.in_(outward), -amount), else_=amount)).label("net_flow"),
            func.sum(case((kind.in_(outward), amount), else_=0)).label("paid_out"),
        )
        .join(TRANSACTIONS, TRANSACTIONS.c.user_id == ledger.c.user_id)
        .where(
            TRANSACTIONS.c.sequence > ledger.c.counted,
            TRANSACTIONS.c.sequence <= ledger.c.last_sequence,
            kind.in_(FLOWS),
        )
        .group_by(ledger.c.user_id)
        .subquery("flows")
    )


def _holdings(ledger: Subquery, ended: CompletedDay) -> Subquery:
    """Compute each account's holdings value at the close.

    Also count the holdings valued at an earlier day's close, or without any close at the price of
    the account's last fill.
    """
    shares, lost = _traded_shares(ledger), _written_off_shares(ledger, ended)
    midnight = datetime.combine(ended.day, time(), KST)
    is_daily_candle = (
        CANDLES.c.stock_code == shares.c.stock_code,
        CANDLES.c.candle_interval == CandleInterval.DAY,
    )
    close_of = (
        select(func.max(CANDLES.c.starts_at))
        .where(*is_daily_candle, CANDLES.c.starts_at <= midnight)
        .scalar_subquery()
    )
    remaining = shares.c.quantity - func.coalesce(lost.c.quantity, 0)
    dated = (
        select(
            shares.c.user_id,
            shares.c.stock_code,
            remaining.label("quantity"),
            shares.c.last_trade,
            close_of.label("close_of"),
        )
        .outerjoin(
            lost,
            (lost.c.user_id == shares.c.user_id) & (lost.c.stock_code == shares.c.stock_code),
        )
        .where(remaining > 0)
        .subquery("dated")
    )
    return (
        select(
            dated.c.user_id,
            func.sum(dated.c.quantity * func.coalesce(CANDLES.c.close, TRANSACTIONS.c.price)).label(
                "value"
            ),
            func.sum(case((dated.c.close_of == midnight, 0), else_=1)).label("carried"),
        )
        .join(
            TRANSACTIONS,
            (TRANSACTIONS.c.user_id == dated.c.user_id)
            & (TRANSACTIONS.c.sequence == dated.c.last_trade),
        )
        .outerjoin(
            CANDLES,
            (CANDLES.c.stock_code == dated.c.stock_code)
            & (CANDLES.c.candle_interval == CandleInterval.DAY)
            & (CANDLES.c.starts_at == dated.c.close_of),
        )
        .group_by(dated.c.user_id)
        .subquery("holdings")
    )


def _traded_shares(ledger: Subquery) -> Subquery:
    """Sum each account's bought less sold shares, with the sequence of the last trade."""
    bought = TRANSACTIONS.c.transaction_type == TransactionType.BUY
    quantity = func.sum(case((bought, TRANSACTIONS.c.quantity), else_=-TRANSACTIONS.c.quantity))
    return (
        select(
            ledger.c.user_id,
            TRANSACTIONS.c.stock_code,
            quantity.label("quantity"),
            func.max(TRANSACTIONS.c.sequence).label("last_trade"),
        )
        .join(TRANSACTIONS, TRANSACTIONS.c.user_id == ledger.c.user_id)
        .where(
            TRANSACTIONS.c.sequence <= ledger.c.last_sequence,
            TRANSACTIONS.c.transaction_type.in_(TRADES),
        )
        .group_by(ledger.c.user_id, TRANSACTIONS.c.stock_code)
        .having(quantity > 0)
        .subquery("shares")
    )


def _written_off_shares(ledger: Subquery, ended: CompletedDay) -> Subquery:
    """Sum the shares that left each account by a write-off, without a ledger entry."""
    return (
        select(
            HOLDING_WRITE_OFFS.c.user_id,
            HOLDING_WRITE_OFFS.c.stock_code,
            func.sum(HOLDING_WRITE_OFFS.c.quantity).label("quantity"),
        )
        .join(ledger, ledger.c.user_id == HOLDING_WRITE_OFFS.c.user_id)
        .where(HOLDING_WRITE_OFFS.c.written_off_at < ended.ended_at)
        .group_by(HOLDING_WRITE_OFFS.c.user_id, HOLDING_WRITE_OFFS.c.stock_code)
        .subquery("lost")
    )
