"""The demo's accounting: recomputes a whole account from its raw answers, to the won, with none of the product's code."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COMMISSION_PPM = 150
SALE_TAXES_BP = (5, 15)  # KOSPI: securities transaction tax and special rural development tax, each rounded by itself
DEPOSITS = frozenset({"DEPOSIT"})

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Sum:
    """One figure in won or shares, computed here and answered there."""

    what: str
    expected: int
    answered: int

    @property
    def agrees(self) -> bool:
        return self.expected == self.answered


@dataclass(frozen=True)
class Account:
    """The raw answers about one account: ``transactions`` oldest first, ``holding`` of the one stock that it traded."""

    transactions: Sequence[Answer]
    executions: Sequence[tuple[str, Answer]]  # side and execution, oldest first
    balance: Answer
    holding: Answer


def sums_of(account: Account) -> Iterator[Sum]:
    """Every sum that must hold, in the order in which a person would check them."""
    yield from _executions(account)
    yield from _ledger(account)
    yield from _holding(account)


def _executions(account: Account) -> Iterator[Sum]:
    for side, execution in account.executions:
        amount = execution["price"] * execution["quantity"]
        taxes = sum(amount * rate // 10_000 for rate in SALE_TAXES_BP) if side == "SELL" else 0
        name = side.lower()
        yield Sum(f"{name}: amount = price × quantity", amount, execution["amount"])
        yield Sum(
            f"{name}: commission = ⌊amount × 0.015 %⌋", amount * COMMISSION_PPM // 1_000_000, execution["commission"]
        )
        yield Sum(f"{name}: tax", taxes, execution["tax"])


def _ledger(account: Account) -> Iterator[Sum]:
    cash = 0
    for number, transaction in enumerate(account.transactions, start=1):
        name = f"transaction {number} ({transaction['transaction_type']})"
        yield Sum(f"{name}: cash before = cash after the one before", cash, transaction["cash_balance_before"])
        cash += moved(transaction)
        yield Sum(f"{name}: cash after = cash before ± what moved", cash, transaction["cash_balance_after"])
    yield Sum("cash = sum of all transactions", cash, account.balance["cash_balance"])
    yield Sum("nothing is reserved any more", 0, account.balance["reserved_cash"])
    yield Sum("available cash = cash", account.balance["cash_balance"], account.balance["available_cash"])


def _holding(account: Account) -> Iterator[Sum]:
    bought = sum(e["quantity"] for side, e in account.executions if side == "BUY")
    sold = sum(e["quantity"] for side, e in account.executions if side == "SELL")
    realised = sum(e["realized_profit"] for side, e in account.executions if side == "SELL")
    deposits = sum(moved(t) for t in account.transactions if t["transaction_type"] in DEPOSITS)
    still_invested = account.holding["cost"] + account.holding["buy_commission"]
    yield Sum("shares held = bought − sold", bought - sold, account.holding["quantity"])
    yield Sum("shares reserved", 0, account.holding["reserved_quantity"])
    yield Sum("holding: realised profit = sum over its sales", realised, account.holding["realized_profit"])
    yield Sum(
        "cash + cost of the holding + its commission = deposits + realised profit",
        deposits + realised,
        account.balance["cash_balance"] + still_invested,
    )


def moved(transaction: Answer) -> int:
    """The won that a transaction added to the cash, negative for what it took."""
    charges = int(transaction["commission"]) + int(transaction["tax"])
    amount = int(transaction["amount"])
    return (
        -amount - charges if transaction["transaction_type"] in {"BUY", "WITHDRAW", "FEE", "TAX"} else amount - charges
    )
