"""A user's ledger."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow
from trading.ledger.errors import TransactionNotFound
from trading.ledger.model import TransactionType, cash_change
from trading.ledger.records import TransactionRecord
from trading.ledger.tables import TRANSACTIONS
from trading.orders.tables import ORDER_EXECUTIONS
from trading.pagination import Page, page_of
from trading.stocks.tables import STOCKS

_WITH_NAMES = (
    select(TRANSACTIONS, STOCKS.c.name.label("stock_name"), ORDER_EXECUTIONS.c.realized_profit)
    .outerjoin(STOCKS, STOCKS.c.code == TRANSACTIONS.c.stock_code)
    .outerjoin(ORDER_EXECUTIONS, ORDER_EXECUTIONS.c.id == TRANSACTIONS.c.execution_id)
)

_PREVIOUS = TRANSACTIONS.alias("previous")
_EQUAL = {name: TRANSACTIONS.c[name] for name in ("transaction_type", "stock_code", "order_id")}


class LedgerFilters(TypedDict, total=False):
    """What narrows a list of Transactions; None narrows nothing. ``until`` is exclusive, and so is ``before_sequence``."""

    before_sequence: int | None
    transaction_type: str | None
    stock_code: str | None
    order_id: UUID | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementRecord(TransactionRecord):
    """A Transaction as a link of the account's chain. ``previous_balance`` (won) is what the one before it left: 0 before the first, None where that
    is not there."""

    previous_balance: int | None

    @property
    def change(self) -> int:
        """What it added to the cash balance, with its sign."""
        return self.cash_balance_after - self.cash_balance_before

    @property
    def is_linked(self) -> bool:
        """Whether it begins with what the one before it left, and ends with what its kind, amount and costs make of that."""
        moved = cash_change(
            TransactionType(self.transaction_type),
            amount=self.amount,
            commission=self.commission,
            tax=self.tax,
        )
        return self.cash_balance_before == self.previous_balance and self.change == moved


def get_transaction(session: Session, *, user_id: UUID, transaction_id: UUID) -> TransactionRecord:
    """One Transaction of this user. Raises TransactionNotFound, for another's too."""
    row = session.execute(
        _WITH_NAMES.where(TRANSACTIONS.c.id == transaction_id, TRANSACTIONS.c.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise TransactionNotFound
    return _record(row)


def list_transactions(
    session: Session, *, user_id: UUID, limit: int, **filters: Unpack[LedgerFilters]
) -> Page[TransactionRecord]:
    """A user's Transactions, newest first, each filter narrowing. One statement.

    A Transaction never changes and a new one has a higher sequence, so all pages together are one state of the ledger: that of the first.
    """
    rows = session.execute(_page_of(_WITH_NAMES, user_id, limit, filters)).all()
    return page_of(rows, limit=limit, record=_record, cursor=lambda row: str(row.sequence))


def list_movements(
    session: Session, *, user_id: UUID, limit: int, **filters: Unpack[LedgerFilters]
) -> Page[MovementRecord]:
    """The same, each with the balance that the Transaction before it left, whether the filters show that one or not. One statement."""
    with_previous = _WITH_NAMES.add_columns(
        _PREVIOUS.c.cash_after.label("previous_balance")
    ).outerjoin(
        _PREVIOUS,
        (_PREVIOUS.c.user_id == TRANSACTIONS.c.user_id)
        & (_PREVIOUS.c.sequence == TRANSACTIONS.c.sequence - 1),
    )
    rows = session.execute(_page_of(with_previous, user_id, limit, filters)).all()
    return page_of(rows, limit=limit, record=_movement, cursor=lambda row: str(row.sequence))


def _page_of(wanted: Select[Any], user_id: UUID, limit: int, filters: LedgerFilters) -> Select[Any]:
    wanted = wanted.where(TRANSACTIONS.c.user_id == user_id)
    for name, column in _EQUAL.items():
        if (value := filters.get(name)) is not None:
            wanted = wanted.where(column == value)
    if (before_sequence := filters.get("before_sequence")) is not None:
        wanted = wanted.where(TRANSACTIONS.c.sequence < before_sequence)
    if (since := filters.get("since")) is not None:
        wanted = wanted.where(TRANSACTIONS.c.transaction_date >= since)
    if (until := filters.get("until")) is not None:
        wanted = wanted.where(TRANSACTIONS.c.transaction_date < until)
    return wanted.order_by(TRANSACTIONS.c.sequence.desc()).limit(limit + 1)


def _movement(row: AnyRow) -> MovementRecord:
    return MovementRecord(
        **asdict(_record(row)), previous_balance=0 if row.sequence == 1 else row.previous_balance
    )


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
