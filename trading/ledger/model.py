"""The account's ledger: which kinds of Transactions there are and how each moves the cash."""

from enum import StrEnum


class TransactionType(StrEnum):
    BUY = "BUY"
    SELL = "SELL"
    DEPOSIT = "DEPOSIT"
    WITHDRAW = "WITHDRAW"
    REFUND = "REFUND"
    DIVIDEND = "DIVIDEND"
    FEE = "FEE"
    TAX = "TAX"


# +1: the amount comes in; −1: it goes out. Commission and tax always go out. A REFUND gives a top-up's money back to the payer.
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

# Money that its owner brings in or takes out. All else that moves cash is gained or lost.
FLOWS = (TransactionType.DEPOSIT, TransactionType.WITHDRAW, TransactionType.REFUND)


def cash_change(kind: TransactionType, *, amount: int, commission: int = 0, tax: int = 0) -> int:
    """The signed change of the cash balance (won) by a Transaction of ``amount`` ≥ 0 with its commission and tax."""
    if amount < 0 or commission < 0 or tax < 0:
        raise ValueError("Amount, commission and tax are never negative; the kind gives the sign.")
    return DIRECTION[kind] * amount - commission - tax
