"""Lists: cursors, filters, days in Korean time, and a constant number of statements."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought, deposit
from trading.exchange.order_types import Side, TimeInForce
from trading.ledger.errors import TransactionNotFound
from trading.orders.errors import OrderNotFound
from trading.orders.queries import OrderFilter, list_orders
from trading.pagination import Page
from trading.portfolio.transactions import get_transaction, list_transactions

MIDNIGHT_IN_KOREA = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


def orders(
    harness: TradingHarness,
    user: UUID,
    *,
    limit: int = 100,
    before: UUID | None = None,
    **filters: Any,
) -> Page[Any]:
    return harness.core.read(
        list_orders,
        user_id=user,
        wanted=OrderFilter(**filters),
        limit=limit,
        before=before,
        hours=harness.core.market_hours(),
    )


def transactions(
    harness: TradingHarness, user: UUID, *, limit: int = 100, **filters: Any
) -> Page[Any]:
    return harness.core.read(list_transactions, user_id=user, limit=limit, **filters)


def walk(page_after: Callable[[str | None], Page[Any]]) -> list[Page[Any]]:
    pages = [page_after(None)]
    while pages[-1].next_cursor is not None:
        pages.append(page_after(pages[-1].next_cursor))
    return pages


@pytest.fixture
def trader(harness: TradingHarness) -> UUID:
    """Return a user with three filled orders and one rejected one.

    Another user's orders must not appear in the list.
    """
    user = harness.user()
    harness.tick(1_000, HYNIX)
    bought(harness, harness.user(), 1)
    bought(harness, user, 5)
    harness.place(user, Side.BUY, 2, HYNIX)
    harness.place(user, Side.SELL, 3)
    harness.run_all()
    harness.place(user, Side.BUY, 130)
    harness.tick(90_000)
    harness.run_all()
    return user


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_cursor_walk_returns_each_order_once_newest_first(
    harness: TradingHarness, trader: UUID, limit: int
) -> None:
    """With any page size, also while new orders are placed; the last page has no cursor."""
    known = [order.id for order in orders(harness, trader).items]

    def page_after(cursor: str | None) -> Page[Any]:
        page = orders(harness, trader, limit=limit, before=UUID(cursor) if cursor else None)
        harness.place(trader, Side.BUY, 1)
        return page

    pages = walk(page_after)
    assert (
        [order.id for page in pages for order in page.items] == known == sorted(known, reverse=True)
    )
    assert all(len(page.items) == limit for page in pages[:-1])
    assert len(pages) == -(-4 // limit)


@pytest.mark.parametrize("limit", [1, 2, 4, 10])
def test_cursor_walk_returns_each_transaction_once_newest_first(
    harness: TradingHarness, trader: UUID, limit: int
) -> None:

    def page_after(cursor: str | None) -> Page[Any]:
        page = transactions(
            harness, trader, limit=limit, before_sequence=int(cursor) if cursor else None
        )
        deposit(harness, trader, 1)
        return page

    assert [one.sequence for page in walk(page_after) for one in page.items] == [4, 3, 2, 1]


def test_empty_list_is_one_empty_page(harness: TradingHarness) -> None:
    assert orders(harness, harness.user()) == Page((), None, 0)


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"status": ["FILLED"]}, 3),
        ({"status": ["REJECTED"]}, 1),
        ({"status": ["REJECTED", "FILLED"]}, 4),
        ({"side": ["SELL"]}, 1),
        ({"stock_code": [HYNIX]}, 1),
        ({"stock_code": [HYNIX, SAMSUNG]}, 4),
        ({"stock_code": [SAMSUNG], "side": ["BUY"]}, 2),
        ({"stock_code": [SAMSUNG], "side": ["BUY"], "status": ["FILLED"]}, 1),
        ({"status": ["CANCELLED"]}, 0),
    ],
)
def test_order_filters_narrow_the_list(
    harness: TradingHarness, trader: UUID, filters: dict[str, list[str]], count: int
) -> None:
    """Each filter accepts any of its values; the total counts what all of them leave."""
    found = orders(
        harness,
        trader,
        statuses=filters.get("status"),
        stock_codes=filters.get("stock_code"),
        side=filters.get("side", [None])[0],
    )
    assert len(found.items) == found.total == count
    for name, values in filters.items():
        assert all(getattr(item, name) in values for item in found.items)


def test_total_counts_all_pages(harness: TradingHarness, trader: UUID) -> None:
    first = orders(harness, trader, limit=1)
    second = orders(harness, trader, limit=1, before=UUID(first.next_cursor))

    assert (first.total, second.total) == (4, 4)


def test_large_total_is_not_counted(
    harness: TradingHarness, trader: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading.orders.queries.TOTAL_MAX", 3)

    assert orders(harness, trader).total is None
    assert orders(harness, trader, statuses=["FILLED"]).total == 3


@pytest.mark.every_database
def test_orders_are_found_by_the_times_of_fills_and_of_the_end(harness: TradingHarness) -> None:
    """Intervals include their begin and exclude their end; every fill of an order counts."""
    user, start, hour = harness.user(), harness.clock(), timedelta(hours=1)
    harness.tick(70_000)
    waiting = harness.place(user, Side.BUY, 1, limit=60_000, time_in_force=TimeInForce.GTC)
    cancelled = harness.place(user, Side.BUY, 1, limit=60_000, time_in_force=TimeInForce.GTC)
    harness.clock.now = start + hour
    filled = bought(harness, user, 1)
    harness.clock.now = start + 2 * hour
    harness.cancel(user, cancelled.id)

    def found(**filters: datetime) -> set[UUID]:
        return {order.id for order in orders(harness, user, **filters).items}

    tick = timedelta(microseconds=1)
    assert found(filled_from=start + hour, filled_to=start + hour + tick) == {filled.id}
    assert found(filled_to=start + hour) == found(filled_from=start + hour + tick) == set()
    assert found(finished_from=start + hour) == {filled.id, cancelled.id}
    assert found(finished_from=start + hour, finished_to=start + 2 * hour) == {filled.id}
    assert found(finished_from=start + hour + tick) == {cancelled.id}
    assert found(finished_to=start + 3 * hour) == {filled.id, cancelled.id}
    assert found(accepted_to=start + hour) == {waiting.id, cancelled.id}
    assert found(finished_from=start, filled_from=start + 2 * hour) == set()


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"transaction_type": "BUY"}, 2),
        ({"transaction_type": "DEPOSIT"}, 1),
        ({"stock_code": HYNIX}, 1),
    ],
)
def test_transaction_filters_narrow_the_list(
    harness: TradingHarness, trader: UUID, filters: dict[str, str], count: int
) -> None:
    assert len(transactions(harness, trader, **filters).items) == count
    sale = orders(harness, trader, side="SELL").items[0]
    (transaction,) = transactions(harness, trader, order_id=sale.id).items
    assert (transaction.transaction_type, transaction.order_id) == ("SELL", sale.id)
    assert transaction.realized_profit == sale.executions[0].realized_profit


def test_day_filter_uses_korean_midnights(harness: TradingHarness) -> None:
    """A microsecond before, at, and a day after midnight in Seoul."""
    user = harness.user()
    for moment in (
        timedelta(microseconds=-1),
        timedelta(0),
        timedelta(days=1, microseconds=-1),
        timedelta(days=1),
    ):
        harness.clock.now = MIDNIGHT_IN_KOREA + moment
        bought(harness, user, 1)
    start, end = MIDNIGHT_IN_KOREA, MIDNIGHT_IN_KOREA + timedelta(days=1)
    day = [start, end - timedelta(microseconds=1)]
    found_orders = orders(harness, user, accepted_from=start, accepted_to=end).items
    found_transactions = transactions(harness, user, since=start, until=end).items
    assert [order.accepted_at for order in found_orders[::-1]] == day
    assert [one.transaction_date for one in found_transactions[::-1]] == day


def test_order_and_transaction_of_another_user_are_not_found(
    harness: TradingHarness, trader: UUID
) -> None:
    stranger = harness.user()
    order, transaction = orders(harness, trader).items[0], transactions(harness, trader).items[0]
    read = harness.core.database.read
    assert harness.order(trader, order.id) == order
    assert (
        read(
            lambda session: get_transaction(session, user_id=trader, transaction_id=transaction.id)
        )
        == transaction
    )
    with pytest.raises(OrderNotFound):
        harness.order(stranger, order.id)
    with pytest.raises(TransactionNotFound):
        read(
            lambda session: get_transaction(
                session, user_id=stranger, transaction_id=transaction.id
            )
        )


@pytest.mark.parametrize("listing", [orders, transactions])
def test_list_needs_the_same_number_of_statements_for_any_length(
    harness: TradingHarness, listing: Callable[..., Page[Any]]
) -> None:
    user, counts = harness.user(), []
    for more in (1, 11):
        for _ in range(more):
            bought(harness, user, 1)
        with statements_counted(harness.core.database.engine) as statements:
            listing(harness, user)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 4
