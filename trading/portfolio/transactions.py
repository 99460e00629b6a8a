"""Queries of a user's ledger."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, and_, case, select
from sqlalchemy.orm import Session

from trading.ledger.errors import TransactionNotFound
from trading.ledger.model import TransactionType, cash_change
from trading.ledger.records import TransactionRecord
from trading.ledger.tables import TRANSACTIONS
from trading.orders.tables import ORDER_EXECUTIONS
from trading.pagination import Page, page_of
from trading.stocks.tables import STOCKS

# The labels are the fields of TransactionRecord.
_TRANSACTION = (
    select(
        TRANSACTIONS.c.id,
        TRANSACTIONS.c.user_id,
        TRANSACTIONS.c.sequence,
        TRANSACTIONS.c.transaction_type,
        TRANSACTIONS.c.stock_code.label("stock_id"),
        STOCKS.c.name.label("stock_name"),
        TRANSACTIONS.c.order_id,
        TRANSACTIONS.c.quantity,
        TRANSACTIONS.c.price,
        TRANSACTIONS.c.amount,
        TRANSACTIONS.c.commission,
        TRANSACTIONS.c.tax,
        ORDER_EXECUTIONS.c.realized_profit,
        TRANSACTIONS.c.cash_before.label("cash_balance_before"),
        TRANSACTIONS.c.cash_after.label("cash_balance_after"),
        TRANSACTIONS.c.description,
        TRANSACTIONS.c.transaction_date,
    )
    .outerjoin(STOCKS, STOCKS.c.code == TRANSACTIONS.c.stock_code)
    .outerjoin(ORDER_EXECUTIONS, ORDER_EXECUTIONS.c.id == TRANSACTIONS.c.execution_id)
)

_PREVIOUS = TRANSACTIONS.alias("previous")
_NEWEST_FIRST = TRANSACTIONS.c.sequence.desc()
_EQUAL = {name: TRANSACTIONS.c[name] for name in ("transaction_type", "stock_code", "order_id")}


class LedgerFilters(TypedDict, total=False):
    """Filters of a list of transactions; None does not filter.

    ``until`` and ``before_sequence`` are exclusive.
    """

    before_sequence: int | None
    transaction_type: str | None
    stock_code: str | None
    order_id: UUID | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementRecord(TransactionRecord):
    """A transaction as a link of the account's chain.

    ``previous_balance`` (won) is the balance after the previous transaction: 0 before the first,
    None if the previous transaction is missing.
    """

    previous_balance: int | None

    @property
    def change(self) -> int:
        """Return the signed change of the cash balance."""
        return self.cash_balance_after - self.cash_balance_before

    @property
    def is_linked(self) -> bool:
        """Return True if the balances match.

        The balance before must be the previous one's after, and the change must follow from type,
        amount and costs.
        """
        moved = cash_change(
            TransactionType(self.transaction_type),
            amount=self.amount,
            commission=self.commission,
            tax=self.tax,
        )
        return self.cash_balance_before == self.previous_balance and self.change == moved


def get_transaction(session: Session, *, user_id: UUID, transaction_id: UUID) -> TransactionRecord:
    """Return one transaction of a user. Raise TransactionNotFound, also for another user's."""
    statement = _TRANSACTION.where(
        TRANSACTIONS.c.id == transaction_id, TRANSACTIONS.c.user_id == user_id
    )
    row = session.execute(statement).mappings().one_or_none()
    if row is None:
        raise TransactionNotFound
    return _transaction(row)


def list_transactions(
    session: Session, *, user_id: UUID, limit: int, **filters: Unpack[LedgerFilters]
) -> Page[TransactionRecord]:
    """List a user's transactions, newest first, in one statement.

    Transactions never change and new ones have higher sequence numbers, so all pages together show
    the state of the ledger at the time of the first page.
    """
    statement = _TRANSACTION.where(_matches(user_id, filters)).order_by(_NEWEST_FIRST)
    rows = session.execute(statement.limit(limit + 1)).mappings().all()
    return page_of(rows, limit=limit, record=_transaction, cursor=_cursor)


def list_movements(
    session: Session, *, user_id: UUID, limit: int, **filters: Unpack[LedgerFilters]
) -> Page[MovementRecord]:
    """List transactions, each with the balance after the previous one, in one statement.

    The previous transaction is read whether or not the filters match it.
    """
    previous_balance = case((TRANSACTIONS.c.sequence == 1, 0), else_=_PREVIOUS.c.cash_after)
    statement = (
        _TRANSACTION.add_columns(previous_balance.label("previous_balance"))
        .outerjoin(
            _PREVIOUS,
            (_PREVIOUS.c.user_id == TRANSACTIONS.c.user_id)
            & (_PREVIOUS.c.sequence == TRANSACTIONS.c.sequence - 1),
        )
        .where(_matches(user_id, filters))
    )
    rows = session.execute(statement.order_by(_NEWEST_FIRST).limit(limit + 1)).mappings().all()
    return page_of(rows, limit=limit, record=_movement, cursor=_cursor)


def _matches(user_id: UUID, filters: LedgerFilters) -> ColumnElement[bool]:
    conditions = [TRANSACTIONS.c.user_id == user_id]
    for name, column in _EQUAL.items():
        if (value := filters.get(name)) is not None:
            conditions.append(column == value)
    if (before_sequence := filters.get("before_sequence")) is not None:
        conditions.append(TRANSACTIONS.c.sequence < before_sequence)
    if (since := filters.get("since")) is not None:
        conditions.append(TRANSACTIONS.c.transaction_date >= since)
    if (until := filters.get("until")) is not None:
        conditions.append(TRANSACTIONS.c.transaction_date < until)
    return and_(*conditions)


def _transaction(row: RowMapping) -> TransactionRecord:
    return TransactionRecord(**row)


def _movement(row: RowMapping) -> MovementRecord:
    return MovementRecord(**row)


def _cursor(row: RowMapping) -> str:
    return str(row["sequence"])
