"""Records of orders."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from trading.exchange.fees import SaleTaxes


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
