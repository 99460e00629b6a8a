"""Deposits and withdrawals within their bounds."""

import pytest

from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.trading.orders.steps import cash, deposit, everything, withdraw
from trading.errors import ValidationFailed
from trading.exchange.order_types import Side
from trading.ledger.errors import CashLimitExceeded, InsufficientCash


def test_cash_comes_in_and_goes_out(books: TradingHarness) -> None:
    """Each movement is one Transaction whose record is what the ledger holds."""
    user = books.user()
    came = deposit(books, user, 500_000)
    went = withdraw(books, user, 200_000)
    assert (came.sequence, came.transaction_type) == (2, "DEPOSIT")
    assert (came.cash_balance_before, came.cash_balance_after) == (10_000_000, 10_500_000)
    assert (went.sequence, went.transaction_type) == (3, "WITHDRAW")
    assert (went.cash_balance_before, went.cash_balance_after) == (10_500_000, 10_300_000)
    assert cash(books, user) == (10_300_000, 0)
    assert books.breaches() == []


@pytest.mark.parametrize("amount", [-1, 0, 100_000_001])
@pytest.mark.parametrize("move", [deposit, withdraw])
def test_an_amount_out_of_bounds_is_refused(
    books: TradingHarness, move: object, amount: int
) -> None:
    """Nothing, less than nothing, and a won above the limit of one movement; the fact is the limit."""
    user = books.user()
    with pytest.raises(ValidationFailed) as refused:
        move(books, user, amount)  # type: ignore[operator]
    assert refused.value.facts == {"field": "amount", "limit": 100_000_000}
    assert cash(books, user) == (10_000_000, 0)


def test_the_smallest_and_the_largest_movement(books: TradingHarness) -> None:
    """One won, and exactly the limit."""
    user = books.user()
    for amount in (1, 100_000_000):
        deposit(books, user, amount)
        withdraw(books, user, amount)
    assert cash(books, user) == (10_000_000, 0)


def test_reserved_cash_cannot_be_withdrawn(books: TradingHarness) -> None:
    """All that is available goes, a won more does not; the facts name both sums."""
    user = books.user()
    books.tick(70_000)
    books.place(user, Side.BUY, 100)
    available = 10_000_000 - 7_141_071
    with pytest.raises(InsufficientCash) as refused:
        withdraw(books, user, available + 1)
    assert refused.value.facts == {"needed": available + 1, "available": available}
    withdraw(books, user, available)
    assert cash(books, user) == (7_141_071, 7_141_071)
    books.run_all()
    assert books.breaches() == []


def test_an_account_has_a_ceiling(migrated_sqlite: str, valkey_url: str) -> None:
    """A deposit up to the ceiling is taken, a won above it refused without a trace."""
    with opened(settings_for(migrated_sqlite, valkey_url, cash_max=10_000_100)) as books:
        user = books.user()
        deposit(books, user, 99)
        before = everything(books)
        with pytest.raises(CashLimitExceeded) as refused:
            deposit(books, user, 2)
        assert refused.value.facts == {"limit": 10_000_100}
        assert everything(books) == before
        deposit(books, user, 1)
