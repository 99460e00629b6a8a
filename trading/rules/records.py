"""What the product tells of its rows: plain frozen data, the same for whoever wrote a row and whoever reads it.

Amounts are won, quantities shares, times aware UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from trading.rules.fees import SaleTaxes


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    id: UUID
    email: str
    name: str
    role: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltRecord:
    """A time during which an administrator had trading stopped; ``resumed_at`` is None until it is lifted."""

    id: UUID
    reason: str | None
    halted_at: datetime
    resumed_at: datetime | None

    @property
    def is_running(self) -> bool:
        return self.resumed_at is None

    def holds(self, at: datetime) -> bool:
        """Whether it had trading stopped at an instant: its first one, and none any more from the one at which it was lifted."""
        return self.halted_at <= at and (self.resumed_at is None or at < self.resumed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHaltRecord:
    """A time during which one account may not trade; ``resumed_at`` is None until it is lifted."""

    id: UUID
    user_id: UUID
    cause: str
    reason: str | None
    halted_at: datetime
    resumed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRecord:
    """One fill. ``tax`` is both taxes together; ``tick_position`` is the tick's place in the stream; age in ms at the fill; ``session`` the
    exchange's session in which the tick was printed."""

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
    session: str | None
    commission_ppm: int | None
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
class OrderPreview:
    """What an order would come to if it filled whole at ``price``: its limit, or the last price for a market order (None where there is none).

    ``reserved_cash`` is what a buy would set aside; ``largest_quantity`` the most shares that such an order could be for.
    """

    stock_code: str
    stock_name: str
    side: str
    order_type: str
    time_in_force: str
    quantity: int
    price: int | None
    amount: int | None
    commission: int | None
    taxes: SaleTaxes | None
    reserved_cash: int
    largest_quantity: int
    fills_at_once: bool
    tick_age_ms: int | None

    @property
    def net_amount(self) -> int | None:
        """The cash that would move (won): what a buy costs, what a sale brings in."""
        if self.amount is None or self.commission is None or self.taxes is None:
            return None
        if self.side == "BUY":
            return self.amount + self.commission
        return self.amount - self.commission - self.taxes.total


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRecord:
    """A refund that a user asked for; ``failure`` is a word for why it failed."""

    id: UUID
    payment_id: str
    amount: int
    status: str
    reason: str
    failure: str | None
    requested_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationRecord:
    """Money of a payment that went back. ``trigger`` is the payment service's word for whose doing it was; ``refund_id`` is None when no refund
    asked for it."""

    id: str
    amount: int
    trigger: str | None
    refund_id: UUID | None
    booked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualAccountRecord:
    """Where the payer is to send the money."""

    bank: str | None
    number: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRecord:
    """A payment. ``held_amount`` is what refunds under way set aside; ``failure`` what the payment gateway said when it last failed."""

    payment_id: str
    order_name: str
    amount: int
    currency: str
    status: str
    cancelled_amount: int
    held_amount: int
    created_at: datetime
    expires_at: datetime
    credited_at: datetime | None
    failure: str | None
    virtual_account: VirtualAccountRecord | None
    receipt_url: str | None
    cancellations: tuple[CancellationRecord, ...] = ()
    refunds: tuple[RefundRecord, ...] = ()

    @property
    def refundable_amount(self) -> int:
        """What could be asked back now, as far as the payment goes."""
        return (
            0
            if self.credited_at is None
            else self.amount - self.cancelled_amount - self.held_amount
        )
