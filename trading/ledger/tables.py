"""Tables of the ledger: balances, ledger entries and holdings."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import APPEND_ONLY, MYSQL, STOCK_CODE, WORD, Base, one_of, table_of
from trading.db.types import Id, Shares, Won
from trading.ledger.model import DIRECTION, TRADES, TransactionType


def _signed(column: str) -> str:
    """Return SQL for an amount with the sign of its transaction type."""
    cases = " ".join(
        f"WHEN '{kind}' THEN {'' if sign > 0 else '-'}{column}" for kind, sign in DIRECTION.items()
    )
    return f"CASE transaction_type {cases} END"


class VirtualBalanceRow(Base):
    """The cash of an account, in won.

    ``reserved_cash`` is the sum of what its orders and refunds reserve; ``debt`` is what is missing
    for them after money was taken back that had been spent; ``transaction_count`` is the sequence
    of the last ledger entry.
    """

    __tablename__ = "virtual_balances"
    __table_args__ = (
        CheckConstraint("reserved_cash >= 0", name="reserved_cash"),
        CheckConstraint(
            "debt >= 0 AND cash_balance + debt >= reserved_cash"
            " AND (debt = 0 OR cash_balance + debt = reserved_cash)",
            name="available_cash",
        ),
        CheckConstraint("transaction_count >= 0", name="transaction_count"),
        MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"), primary_key=True)
    cash_balance: Mapped[int] = mapped_column(Won)
    reserved_cash: Mapped[int] = mapped_column(Won)
    debt: Mapped[int] = mapped_column(Won, server_default="0")
    transaction_count: Mapped[int]
    updated_at: Mapped[datetime]


VIRTUAL_BALANCES = table_of(VirtualBalanceRow)


class TransactionRow(Base):
    """A ledger entry, never changed afterwards. ``sequence`` numbers an account's entries without
    gaps.

    ``credit_of`` is the payment whose money was credited, ``reversal_of`` the cancellation that
    returned some of it.
    """

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("user_id", "sequence"),
        Index(
            "ix_transactions_user_id_transaction_type_sequence",
            "user_id",
            "transaction_type",
            "sequence",
        ),
        Index("ix_transactions_user_id_stock_code_sequence", "user_id", "stock_code", "sequence"),
        Index("ix_transactions_user_id_transaction_date", "user_id", "transaction_date"),
        UniqueConstraint("execution_id"),
        UniqueConstraint("credit_of"),
        UniqueConstraint("reversal_of"),
        CheckConstraint(one_of("transaction_type", TransactionType), name="transaction_type"),
        CheckConstraint("sequence > 0", name="sequence"),
        CheckConstraint("amount >= 0 AND commission >= 0 AND tax >= 0", name="amounts"),
        CheckConstraint(
            f"cash_after = cash_before + {_signed('amount')} - commission - tax", name="cash_after"
        ),
        CheckConstraint(
            f"({one_of('transaction_type', TRADES)}) = (execution_id IS NOT NULL)", name="trade"
        ),
        CheckConstraint("(execution_id IS NOT NULL) = (order_id IS NOT NULL)", name="order"),
        CheckConstraint("execution_id IS NULL OR amount = price * quantity", name="trade_amount"),
        CheckConstraint("credit_of IS NULL OR transaction_type = 'DEPOSIT'", name="credit"),
        CheckConstraint(
            "(transaction_type = 'REFUND') = (reversal_of IS NOT NULL)", name="reversal"
        ),
        {**MYSQL, "info": APPEND_ONLY},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"))
    sequence: Mapped[int]
    transaction_type: Mapped[str] = mapped_column(WORD)
    stock_code: Mapped[str | None] = mapped_column(STOCK_CODE, ForeignKey("stocks.code"))
    order_id: Mapped[UUID | None] = mapped_column(Id, ForeignKey("orders.id"))
    execution_id: Mapped[UUID | None] = mapped_column(Id, ForeignKey("order_executions.id"))
    quantity: Mapped[int | None] = mapped_column(Shares)
    price: Mapped[int | None] = mapped_column(Won)
    amount: Mapped[int] = mapped_column(Won)
    commission: Mapped[int] = mapped_column(Won)
    tax: Mapped[int] = mapped_column(Won)
    cash_before: Mapped[int] = mapped_column(Won)
    cash_after: Mapped[int] = mapped_column(Won)
    description: Mapped[str | None] = mapped_column(String(200))
    transaction_date: Mapped[datetime]
    credit_of: Mapped[UUID | None] = mapped_column(Id, ForeignKey("payments.id"))
    reversal_of: Mapped[UUID | None] = mapped_column(Id, ForeignKey("payment_cancellations.id"))


TRANSACTIONS = table_of(TransactionRow)


class HoldingRow(Base):
    """One user's shares of one stock, deleted when the last one is sold.

    ``cost`` and ``buy_commission`` (won) are those of the shares held.
    """

    __tablename__ = "portfolios"
    __table_args__ = (
        CheckConstraint("quantity >= 0", name="quantity"),
        CheckConstraint(
            "reserved_quantity >= 0 AND reserved_quantity <= quantity", name="reserved_quantity"
        ),
        CheckConstraint("cost >= 0 AND buy_commission >= 0", name="cost"),
        CheckConstraint("quantity > 0 OR (cost = 0 AND buy_commission = 0)", name="empty"),
        MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"), primary_key=True)
    stock_code: Mapped[str] = mapped_column(STOCK_CODE, ForeignKey("stocks.code"), primary_key=True)
    quantity: Mapped[int] = mapped_column(Shares)
    reserved_quantity: Mapped[int] = mapped_column(Shares)
    cost: Mapped[int] = mapped_column(Won)
    buy_commission: Mapped[int] = mapped_column(Won)
    realized_profit: Mapped[int] = mapped_column(Won)
    updated_at: Mapped[datetime]


PORTFOLIOS = table_of(HoldingRow)


class HoldingWriteOffRow(Base):
    """Shares of a delisted stock that an operator removed from a holding, and their lost cost in
    won.
    """

    __tablename__ = "holding_write_offs"
    __table_args__ = (
        Index("ix_holding_write_offs_user_id", "user_id", "stock_code"),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("cost >= 0 AND buy_commission >= 0", name="cost"),
        {**MYSQL, "info": APPEND_ONLY},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"))
    stock_code: Mapped[str] = mapped_column(STOCK_CODE, ForeignKey("stocks.code"))
    quantity: Mapped[int] = mapped_column(Shares)
    cost: Mapped[int] = mapped_column(Won)
    buy_commission: Mapped[int] = mapped_column(Won)
    reason: Mapped[str | None] = mapped_column(String(200))
    written_off_at: Mapped[datetime]


HOLDING_WRITE_OFFS = table_of(HoldingWriteOffRow)
