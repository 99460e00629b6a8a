"""Types of ledger entries and how each changes the cash balance."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID


class TransactionType(StrEnum):
    BUY = "BUY"
    SELL = "SELL"
    DEPOSIT = "DEPOSIT"
    WITHDRAW = "WITHDRAW"
    REFUND = "REFUND"
    DIVIDEND = "DIVIDEND"
    FEE = "FEE"
    TAX = "TAX"


# +1: the amount is added to the cash; -1: it is subtracted. Commission and tax are always
# subtracted. A REFUND returns the money of a deposit to the payer.
DIRECTION: dict[TransactionType, int] = {
    TransactionType.BUY: -1,
    TransactionType.SELL: +1,
    TransactionType.DEPOSIT: +1,
    TransactionType.WITHDRAW: -1,
    TransactionType.REFUND: -1,
    TransactionType.DIVIDEND: +1,
    TransactionType.FEE: -1,
    TransactionType.TAX: -1,
}

TRADES = (TransactionType.BUY, TransactionType.SELL)

# Money that the account's owner brings in or takes out. All other cash movements are gains or
# losses.
FLOWS = (TransactionType.DEPOSIT, TransactionType.WITHDRAW, TransactionType.REFUND)


class TradeFacts(NamedTuple):
    """The execution that a ledger entry of a trade belongs to; ``price`` in won."""

    stock_code: str
    order_id: UUID
    execution_id: UUID
    quantity: int
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One cash movement to post. Amounts are in won and never negative; ``kind`` gives the sign.

    ``trade`` is set for BUY and SELL. ``credit_of`` is the payment whose money is credited,
    ``reversal_of`` the payment cancellation that returns some of it. Without ``id`` a new one is
    generated.
    """

    kind: TransactionType
    amount: int
    at: datetime
    commission: int = 0
    tax: int = 0
    description: str | None = None
    id: UUID | None = None
    trade: TradeFacts | None = None
    credit_of: UUID | None = None
    reversal_of: UUID | None = None

    @property
    def cash_change(self) -> int:
        """Return the signed change of the cash balance (won)."""
        return cash_change(self.kind, amount=self.amount, commission=self.commission, tax=self.tax)


def cash_change(kind: TransactionType, *, amount: int, commission: int = 0, tax: int = 0) -> int:
    """Return the signed change of the cash balance (won) by an entry with these amounts."""
    if amount < 0 or commission < 0 or tax < 0:
        raise ValueError("Amount, commission and tax are never negative; the kind gives the sign.")
    return DIRECTION[kind] * amount - commission - tax
