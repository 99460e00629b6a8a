"""What the product tells of its rows: plain frozen data, the same for whoever wrote a row and whoever reads it.

Amounts are won, quantities shares, times aware UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    id: UUID
    email: str
    name: str
    role: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRecord:
    """One fill. ``tax`` is both taxes together; ``tick_position`` is the tick's place in the stream; age in ms at the fill."""

    id: UUID
    price: int
    quantity: int
    amount: int
    commission: int
    tax: int
    transaction_tax: int
    rural_tax: int
    realized_profit: int | None
    rule: str
    tick_price: int
    tick_traded_at: datetime
    tick_age_ms: int
    tick_position: str
    executed_at: datetime
    settled_at: datetime | None
    applied_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """An order with its fills so far. ``price`` is the limit, None for a market order; ``reason`` says why it ended unfilled."""

    id: UUID
    client_order_id: str | None
    stock_code: str
    stock_name: str
    side: str
    order_type: str
    time_in_force: str
    quantity: int
    price: int | None
    status: str
    reason: str | None
    executed_quantity: int
    reserved_cash: int
    accepted_at: datetime
    finished_at: datetime | None
    executions: tuple[ExecutionRecord, ...] = ()

    @property
    def remaining_quantity(self) -> int:
        return self.quantity - self.executed_quantity

    @property
    def executed_amount(self) -> int:
        return sum(execution.amount for execution in self.executions)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionRecord:
    """Cash that moved. ``stock_id`` is the product code; amount ≥ 0, the type gives its sign."""

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
