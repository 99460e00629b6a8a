"""The demo's accounting, on an account worked out by hand: ten shares at 70,100 bought, four at 71,300 sold."""

import copy
from typing import Any

import pytest

from launcher.sums import Account, sums_of

BUY = {"price": 70_100, "quantity": 10, "amount": 701_000, "commission": 105, "tax": 0, "realized_profit": 0}
# 285,200: commission 42.78, transaction tax 142.6, rural development tax 427.8, each rounded down. Cost of four: 280,400 + 42.
SELL = {"price": 71_300, "quantity": 4, "amount": 285_200, "commission": 42, "tax": 569, "realized_profit": 4_147}


def transaction(kind: str, amount: int, charges: tuple[int, int], before: int, after: int) -> dict[str, Any]:
    commission, tax = charges
    figures = {"amount": amount, "commission": commission, "tax": tax}
    return {"transaction_type": kind, **figures, "cash_balance_before": before, "cash_balance_after": after}


def account() -> Account:
    cash = 10_000_000 - 701_105 + 284_589
    return Account(
        transactions=[
            transaction("DEPOSIT", 10_000_000, (0, 0), 0, 10_000_000),
            transaction("BUY", 701_000, (105, 0), 10_000_000, 9_298_895),
            transaction("SELL", 285_200, (42, 569), 9_298_895, cash),
        ],
        executions=[("BUY", BUY), ("SELL", SELL)],
        balance={"cash_balance": cash, "available_cash": cash, "reserved_cash": 0},
        holding={
            "quantity": 6,
            "reserved_quantity": 0,
            "cost": 420_600,
            "buy_commission": 63,
            "realized_profit": 4_147,
        },
    )


def test_a_right_account_agrees_in_every_sum() -> None:
    sums = list(sums_of(account()))
    assert [line for line in sums if not line.agrees] == []
    assert len(sums) == 19


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (("executions", 0, 1, "amount"), "buy: amount"),
        (("executions", 0, 1, "commission"), "buy: commission"),
        (("executions", 1, 1, "tax"), "sell: tax"),
        (("executions", 1, 1, "realized_profit"), "holding: realised profit"),
        (("transactions", 1, "cash_balance_before"), "transaction 2 (BUY): cash before"),
        (("transactions", 2, "cash_balance_after"), "transaction 3 (SELL): cash after"),
        (("transactions", 2, "tax"), "transaction 3 (SELL): cash after"),
        (("balance", "cash_balance"), "cash = sum"),
        (("balance", "available_cash"), "available cash"),
        (("balance", "reserved_cash"), "nothing is reserved"),
        (("holding", "quantity"), "shares held"),
        (("holding", "reserved_quantity"), "shares reserved"),
        (("holding", "cost"), "cash + cost of the holding"),
        (("holding", "buy_commission"), "cash + cost of the holding"),
    ],
    ids=str,
)
def test_one_won_too_many_anywhere_is_found(path: tuple[Any, ...], named: str) -> None:
    wrong = copy.deepcopy(account())
    place: Any = getattr(wrong, path[0])
    for step in path[1:-1]:
        place = place[step]
    place[path[-1]] += 1
    assert any(line.what.startswith(named) for line in sums_of(wrong) if not line.agrees)
