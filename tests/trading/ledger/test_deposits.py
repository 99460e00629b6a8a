"""Deposits and withdrawals within their limits."""

import pytest

from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.trading.orders.steps import cash, deposit, everything, withdraw
from trading.errors import ValidationFailed
from trading.exchange.order_types import Side
from trading.ledger.errors import CashLimitExceeded, InsufficientCash


def test_deposit_and_withdrawal_move_cash(harness: TradingHarness) -> None:
    """Each is one ledger entry, and its record equals the stored row."""
    user = harness.user()
    came = deposit(harness, user, 500_000)
    went = withdraw(harness, user, 200_000)
    assert (came.sequence, came.transaction_type) == (2, "DEPOSIT")
    assert (came.cash_balance_before, came.cash_balance_after) == (10_000_000, 10_500_000)
    assert (went.sequence, went.transaction_type) == (3, "WITHDRAW")
    assert (went.cash_balance_before, went.cash_balance_after) == (10_500_000, 10_300_000)
    assert cash(harness, user) == (10_300_000, 0)
    assert harness.breaches() == []


@pytest.mark.parametrize("amount", [-1, 0, 100_000_001])
@pytest.mark.parametrize("move", [deposit, withdraw])
def test_amount_out_of_bounds_is_refused(
    harness: TradingHarness, move: object, amount: int
) -> None:
    user = harness.user()
    with pytest.raises(ValidationFailed) as refused:
        move(harness, user, amount)  # type: ignore[operator]
    assert refused.value.facts == {"field": "amount", "limit": 100_000_000}
    assert cash(harness, user) == (10_000_000, 0)


def test_smallest_and_largest_amounts_are_accepted(harness: TradingHarness) -> None:
    user = harness.user()
    for amount in (1, 100_000_000):
        deposit(harness, user, amount)
        withdraw(harness, user, amount)
    assert cash(harness, user) == (10_000_000, 0)


def test_reserved_cash_cannot_be_withdrawn(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 100)
    available = 10_000_000 - 7_141_071
    with pytest.raises(InsufficientCash) as refused:
        withdraw(harness, user, available + 1)
    assert refused.value.facts == {"needed": available + 1, "available": available}
    withdraw(harness, user, available)
    assert cash(harness, user) == (7_141_071, 7_141_071)
    harness.run_all()
    assert harness.breaches() == []


def test_deposit_above_the_account_limit_is_refused(migrated_sqlite: str, valkey_url: str) -> None:
    with opened(settings_for(migrated_sqlite, valkey_url, cash_max=10_000_100)) as harness:
        user = harness.user()
        deposit(harness, user, 99)
        before = everything(harness)
        with pytest.raises(CashLimitExceeded) as refused:
            deposit(harness, user, 2)
        assert refused.value.facts == {"limit": 10_000_100}
        assert everything(harness) == before
        deposit(harness, user, 1)
