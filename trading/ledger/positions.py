"""A holding's cost, by the moving-average method (이동평균법) that Korean brokers use for stocks.

The purchase amount and the commission paid on it are carried side by side: the average price is that of the fills alone, and a
sale's realised profit bears the commissions of both sides and the taxes. So to the won, at any time:
cash + cost + carried commission = deposits − withdrawals + realised profit.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sale:
    """What selling took out of a position and what it earned, in won."""

    cost: int
    buy_commission: int
    realized_profit: int


@dataclass(frozen=True, slots=True)
class Position:
    """Shares held, what their fills cost (won, without commission) and the commission (won) paid for them."""

    quantity: int = 0
    cost: int = 0
    buy_commission: int = 0

    def __post_init__(self) -> None:
        if self.quantity < 0 or self.cost < 0 or self.buy_commission < 0:
            raise ValueError("A position is never negative.")
        if self.quantity == 0 and (self.cost or self.buy_commission):
            raise ValueError("A position without shares has cost nothing.")

    def bought(self, *, quantity: int, amount: int, commission: int) -> "Position":
        """The position after buying ``quantity`` shares for ``amount`` won and ``commission`` won."""
        if quantity <= 0:
            raise ValueError("A purchase has at least one share.")
        return Position(
            self.quantity + quantity, self.cost + amount, self.buy_commission + commission
        )

    def sold(
        self, *, quantity: int, amount: int, commission: int, tax: int
    ) -> tuple["Position", Sale]:
        """The position after selling, and the sale. Each share takes its part of the cost, rounded down; the last takes the rest."""
        if not 0 < quantity <= self.quantity:
            raise ValueError("A sale has at least one share and no more than are held.")
        cost = self.cost * quantity // self.quantity
        buy_commission = self.buy_commission * quantity // self.quantity
        sale = Sale(
            cost=cost,
            buy_commission=buy_commission,
            realized_profit=amount - commission - tax - cost - buy_commission,
        )
        return Position(
            self.quantity - quantity, self.cost - cost, self.buy_commission - buy_commission
        ), sale
