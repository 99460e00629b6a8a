"""Records of orders and executions."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from trading.exchange.fees import SaleTaxes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRecord:
    """One fill, amounts in won.

    ``tax`` is the sum of both taxes, ``tick_position`` the tick's place in the stream,
    ``tick_age_ms`` its age at the fill, ``session`` the session in which it was printed.
    """

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
    """An order with its fills so far.

    ``price`` is the limit, None for a market order; ``reason`` is why it ended unfilled.
    ``expires_at`` is when an open DAY order ends, None for other orders.
    """

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
    expires_at: datetime | None
    finished_at: datetime | None
    executions: tuple[ExecutionRecord, ...] = ()

    @property
    def remaining_quantity(self) -> int:
        return self.quantity - self.executed_quantity

    @property
    def executed_amount(self) -> int:
        return sum(execution.amount for execution in self.executions)

    @property
    def commission(self) -> int:
        return sum(execution.commission for execution in self.executions)

    @property
    def tax(self) -> int:
        return sum(execution.tax for execution in self.executions)

    @property
    def realized_profit(self) -> int | None:
        """Return the profit of the fills applied to the holding so far; None without any."""
        profits = [
            execution.realized_profit
            for execution in self.executions
            if execution.realized_profit is not None
        ]
        return sum(profits) if profits else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPreview:
    """What an order would cost or bring in if it were filled completely at ``price``.

    ``price`` is its limit, or the last price for a market order (None if there is none).
    ``reserved_cash`` is what a buy would reserve, ``largest_quantity`` the most shares that the
    account could order. The limits are the day's legal prices, None if unknown or unlimited.
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
    lower_limit: int | None
    upper_limit: int | None

    @property
    def net_amount(self) -> int | None:
        """Return the cash that would move (won): the cost of a buy, the proceeds of a sale."""
        if self.amount is None or self.commission is None or self.taxes is None:
            return None
        if self.side == "BUY":
            return self.amount + self.commission
        return self.amount - self.commission - self.taxes.total
