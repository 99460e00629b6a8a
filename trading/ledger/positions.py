"""Cost of a holding by the moving-average method (이동평균법) that Korean brokers use for stocks.

Purchase amount and commission are carried separately: the average price is that of the fills alone,
and the realised profit of a sale bears the commissions of both sides and the taxes. So, to the won
and at any time: cash + cost + carried commission = deposits − withdrawals + realised profit.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sale:
    """The cost that a sale removed from a holding, and its profit, in won."""

    cost: int
    buy_commission: int
    realized_profit: int


@dataclass(frozen=True, slots=True)
class HoldingPosition:
    """Shares held, what their fills cost without commission, and the commission paid; in won."""

    quantity: int = 0
    cost: int = 0
    buy_commission: int = 0

    def __post_init__(self) -> None:
        if self.quantity < 0 or self.cost < 0 or self.buy_commission < 0:
            raise ValueError("A position is never negative.")
        if self.quantity == 0 and (self.cost or self.buy_commission):
            raise ValueError("A position without shares has cost nothing.")

    def bought(self, *, quantity: int, amount: int, commission: int) -> "HoldingPosition":
        """Return the position after buying ``quantity`` shares; amounts in won."""
        if quantity <= 0:
            raise ValueError("A purchase has at least one share.")
        return HoldingPosition(
            self.quantity + quantity, self.cost + amount, self.buy_commission + commission
        )

    def sold(
        self, *, quantity: int, amount: int, commission: int, tax: int
    ) -> tuple["HoldingPosition", Sale]:
        """Return the position after selling, and the sale.

        Each share takes its part of the cost, rounded down; the last one takes the rest.
        """
        if not 0 < quantity <= self.quantity:
            raise ValueError("A sale has at least one share and no more than are held.")
        cost = self.cost * quantity // self.quantity
        buy_commission = self.buy_commission * quantity // self.quantity
        sale = Sale(
            cost=cost,
            buy_commission=buy_commission,
            realized_profit=amount - commission - tax - cost - buy_commission,
        )
        return HoldingPosition(
            self.quantity - quantity, self.cost - cost, self.buy_commission - buy_commission
        ), sale
