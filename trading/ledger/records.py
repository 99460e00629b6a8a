"""Records of ledger entries."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionRecord:
    """A ledger entry; ``stock_id`` is the product code. Amounts ≥ 0, the type gives the sign."""

    id: UUID
    user_id: UUID
    sequence: int
    transaction_type: str
    stock_id: str | None
    stock_name: str | None
    order_id: UUID | None
    quantity: int | None
    price: int | None
    amount: int
    commission: int
    tax: int
    realized_profit: int | None
    cash_balance_before: int
    cash_balance_after: int
    description: str | None
    transaction_date: datetime
