"""A user's wealth at live prices: figures to the won, and nothing guessed where a price is missing."""

from uuid import UUID

import pytest

from tests.books import HYNIX, SAMSUNG, Books
from tests.trading.steps import bought, deposit
from trading.database.transactions import statements_counted
from trading.queries.portfolio import (
    HoldingRecord,
    SummaryRecord,
    cash_of,
    only,
    priced,
    realized_profit_of,
    rows_of,
)
from trading.rules.errors import HoldingNotFound
from trading.rules.orders import Side


def holdings(books: Books, user: UUID, stock_code: str | None = None) -> tuple[HoldingRecord, ...]:
    rows = books.core.database.read(lambda session: rows_of(session, user, stock_code=stock_code))
    ticks = books.core.quotes.last_ticks(row.stock_code for row in rows)
    return priced(rows, ticks, now=books.clock(), freshness_ms=books.settings.tick_freshness_ms)


def summary(books: Books, user: UUID) -> SummaryRecord:
    read = books.core.database.read
    return SummaryRecord(
        cash=read(lambda session: cash_of(session, user)),
        holdings=holdings(books, user),
        realized_profit=read(lambda session: realized_profit_of(session, user)),
    )


@pytest.fixture
def owner(books: Books) -> UUID:
    """10 Samsung at 70,000 and 5 Hynix at 100,000; the prices are now 77,000 (base 75,000) and 90,000 (no base)."""
    user = books.user()
    deposit(books, user, 1_000)
    bought(books, user, 10)
    bought(books, user, 5, 100_000, HYNIX)
    books.tick(77_000, base=75_000)
    books.tick(90_000, HYNIX)
    return user


def test_the_figures_of_a_holding(books: Books, owner: UUID) -> None:
    """Value, profit with the commission paid, rate and weight in basis points, today's change against the base."""
    samsung = only(holdings(books, owner, SAMSUNG))
    assert (samsung.quantity, samsung.cost, samsung.buy_commission, samsung.average_price) == (10, 700_000, 105, 70_000)
    assert (samsung.value, samsung.unrealized_profit) == (770_000, 770_000 - 700_000 - 105)
    assert samsung.unrealized_profit_rate_bp == 69_895 * 10_000 // 700_105
    assert samsung.todays_change == 20_000
    both = {one.stock_code: one.weight_bp for one in holdings(books, owner)}
    assert both == {SAMSUNG: 770_000 * 10_000 // 1_220_000, HYNIX: 450_000 * 10_000 // 1_220_000}


def test_the_sums_of_a_portfolio(books: Books, owner: UUID) -> None:
    """Assets are cash and holdings; wealth and its sources agree to the won."""
    total = summary(books, owner)
    spent = 700_105 + 500_075
    assert total.cash_balance == total.available_cash == 10_001_000 - spent
    assert (total.invested_amount, total.holdings_value) == (1_200_000, 1_220_000)
    assert total.total_assets == 10_001_000 - spent + 1_220_000
    assert total.unrealized_profit == 1_220_000 - spent
    assert (total.unpriced_holdings, total.stale_holdings) == (0, 0)
    assert total.todays_change is None  # Hynix has no base price


def test_without_a_price_nothing_is_guessed(books: Books, owner: UUID) -> None:
    """A holding without a tick has no value; the totals say so instead of leaving it out silently."""
    books.core.redis.flushall()
    books.tick(77_000, base=75_000)
    total = summary(books, owner)
    hynix = next(one for one in total.holdings if one.stock_code == HYNIX)
    assert (hynix.price, hynix.value, hynix.unrealized_profit, hynix.weight_bp, hynix.freshness) == (None,) * 5
    assert (total.unpriced_holdings, total.holdings_value) == (1, 770_000)
    assert (total.total_assets, total.unrealized_profit) == (None, None)
    assert next(one for one in total.holdings if one.stock_code == SAMSUNG).weight_bp == 10_000


@pytest.mark.parametrize(("age_ms", "freshness", "stale"), [(10_000, "LIVE", 0), (10_001, "STALE", 1)])
def test_a_price_tells_its_age(books: Books, owner: UUID, age_ms: int, freshness: str, stale: int) -> None:
    """LIVE exactly as long as it may fill an order."""
    books.tick(77_000, age_ms=age_ms)
    samsung = only(holdings(books, owner, SAMSUNG))
    assert (samsung.price_age_ms, samsung.freshness) == (age_ms, freshness)
    assert summary(books, owner).stale_holdings == stale


def test_reserved_shares_and_cash_are_shown_as_such(books: Books, owner: UUID) -> None:
    """What orders hold back is still owned but not free."""
    books.place(owner, Side.SELL, 4)
    order = books.place(owner, Side.BUY, 1)
    total = summary(books, owner)
    assert only(holdings(books, owner, SAMSUNG)).sellable_quantity == 6
    assert total.reserved_cash == order.reserved_cash
    assert total.available_cash == total.cash_balance - order.reserved_cash


def test_profit_of_what_is_sold_out_still_counts(books: Books, owner: UUID) -> None:
    """The holding is gone, its realised profit is not."""
    sale = books.place(owner, Side.SELL, 10)
    books.run_all()
    profit = books.order(owner, sale.id).executions[0].realized_profit
    assert profit
    assert summary(books, owner).realized_profit == profit
    assert [row.stock_code for row in books.core.database.read(lambda session: rows_of(session, owner))] == [HYNIX]
    with pytest.raises(HoldingNotFound):
        only(holdings(books, owner, SAMSUNG))


def test_a_portfolio_costs_the_same_statements_however_large(books: Books) -> None:
    """One holding or four."""
    user, counts = books.user(), []
    for codes in ((SAMSUNG,), (HYNIX, "A035420", "A035720")):
        for code in codes:
            bought(books, user, 1, 1_000, code)
        with statements_counted(books.core.database.engine) as statements:
            summary(books, user)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 6
