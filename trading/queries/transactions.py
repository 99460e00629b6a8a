"""A user's ledger."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.database.rows import AnyRow
from trading.database.tables import OrderExecution, Stock, Transaction, table_of
from trading.queries.pages import Page, page_of
from trading.rules.errors import TransactionNotFound
from trading.rules.records import TransactionRecord

_TRANSACTIONS = table_of(Transaction)
_EXECUTIONS = table_of(OrderExecution)
_STOCKS = table_of(Stock)

_WITH_NAMES = (
    select(_TRANSACTIONS, _STOCKS.c.name.label("stock_name"), _EXECUTIONS.c.realized_profit)
    .outerjoin(_STOCKS, _STOCKS.c.code == _TRANSACTIONS.c.stock_code)
    .outerjoin(_EXECUTIONS, _EXECUTIONS.c.id == _TRANSACTIONS.c.execution_id)
)


def transaction_of(session: Session, *, user_id: UUID, transaction_id: UUID) -> TransactionRecord:
    """One Transaction of this user. Raises TransactionNotFound, for another's too."""
    row = session.execute(
        _WITH_NAMES.where(_TRANSACTIONS.c.id == transaction_id, _TRANSACTIONS.c.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise TransactionNotFound
    return _record(row)


def transactions_of(
    session: Session,
    *,
    user_id: UUID,
    limit: int,
    before_sequence: int | None = None,
    transaction_type: str | None = None,
    stock_code: str | None = None,
    order_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[TransactionRecord]:
    """A user's Transactions, newest first, each filter narrowing; ``until`` is exclusive. One statement."""
    wanted = _WITH_NAMES.where(_TRANSACTIONS.c.user_id == user_id)
    if before_sequence is not None:
        wanted = wanted.where(_TRANSACTIONS.c.sequence < before_sequence)
    for column, value in (
        (_TRANSACTIONS.c.transaction_type, transaction_type),
        (_TRANSACTIONS.c.stock_code, stock_code),
        (_TRANSACTIONS.c.order_id, order_id),
    ):
        if value is not None:
            wanted = wanted.where(column == value)
    if since is not None:
        wanted = wanted.where(_TRANSACTIONS.c.transaction_date >= since)
    if until is not None:
        wanted = wanted.where(_TRANSACTIONS.c.transaction_date < until)
    rows = session.execute(wanted.order_by(_TRANSACTIONS.c.sequence.desc()).limit(limit + 1)).all()
    return page_of(rows, limit=limit, record=_record, cursor=lambda row: str(row.sequence))


def _record(row: AnyRow) -> TransactionRecord:
    return TransactionRecord(
        id=row.id,
        user_id=row.user_id,
        sequence=row.sequence,
        transaction_type=row.transaction_type,
        stock_id=row.stock_code,
        stock_name=row.stock_name,
        order_id=row.order_id,
        quantity=row.quantity,
        price=row.price,
        amount=row.amount,
        commission=row.commission,
        tax=row.tax,
        realized_profit=row.realized_profit,
        cash_balance_before=row.cash_before,
        cash_balance_after=row.cash_after,
        description=row.description,
        transaction_date=row.transaction_date,
    )
