"""The end of the day: DAY orders end with theirs, not before and not after, and what they held is free."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from tests.support.trading_harness import SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import (
    bought,
    bought_in_part,
    cash,
    change_settings,
    do,
    rows,
    set_status,
    shares,
)
from trading.exchange.order_types import Side, TimeInForce
from trading.orders.expire import end_delisted
from trading.orders.records import OrderRecord
from trading.tasks import Task, TaskRequest

MIDNIGHT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
# The closing auction of the same day ends at 15:30 in Korea, and its last print may come until a minute later.
CLOSE, LAST_PRINT = (
    datetime(2026, 11, 20, 6, 30, tzinfo=UTC),
    datetime(2026, 11, 20, 6, 31, tzinfo=UTC),
)
EVENING_END = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)


def status_of(books: TradingHarness, user: UUID, order: OrderRecord) -> str:
    return str(books.order(user, order.id).status)


def look_and_expire(books: TradingHarness, at: datetime) -> int | None:
    """Let the matcher look and the day's end be worked off at an instant."""
    books.clock.now = at
    books.match()
    return books.expire()


def test_day_orders_end_with_their_day_and_free_what_they_held(books: TradingHarness) -> None:
    """A buy's cash and a sale's shares are free to the won and the share; the orders say why they ended."""
    user = books.user()
    bought(books, user, 10)
    balance = cash(books, user)[0]
    orders = [
        books.place(user, Side.BUY, 5, limit=60_000),
        books.place(user, Side.SELL, 4, limit=80_000),
    ]
    kept = books.place(user, Side.BUY, 1, limit=60_000, time_in_force=TimeInForce.GTC)

    assert look_and_expire(books, MIDNIGHT) == 2

    ended = [books.order(user, order.id) for order in orders]
    assert [(order.status, order.reason) for order in ended] == [("EXPIRED", "day-ended")] * 2
    assert [order.finished_at for order in ended] == [MIDNIGHT] * 2
    assert status_of(books, user, kept) == "PENDING"
    assert (cash(books, user), shares(books, user)) == ((balance, 60_009), (10, 0))
    assert books.expire() == 0
    assert books.breaches() == []


def test_not_a_moment_before_midnight_in_korea(books: TradingHarness) -> None:
    """Where the market never closes a day ends at midnight; what was accepted at midnight is of the next day."""
    user = books.user()
    books.clock.now = MIDNIGHT.replace(hour=14, minute=59, second=59)
    order = books.place(user, Side.BUY, 1, limit=60_000)
    assert look_and_expire(books, books.clock()) == 0
    books.clock.now = MIDNIGHT
    next_day = books.place(user, Side.BUY, 1, limit=60_000)
    assert look_and_expire(books, MIDNIGHT) == 1
    assert [status_of(books, user, one) for one in (order, next_day)] == ["EXPIRED", "PENDING"]


def test_by_the_exchange_a_day_order_ends_with_the_closing_auction(
    krx_books: TradingHarness,
) -> None:
    """Its last print may come for a minute yet, and so long the order waits for it."""
    books = krx_books
    user = books.user()
    order = books.place(user, Side.BUY, 1, limit=60_000)
    assert look_and_expire(books, CLOSE) == 0
    assert look_and_expire(books, LAST_PRINT.replace(minute=30, second=59)) == 0
    assert look_and_expire(books, LAST_PRINT) == 1
    assert status_of(books, user, order) == "EXPIRED"
    assert books.breaches() == []


def test_an_order_after_the_close_ends_with_the_evening_market(krx_books: TradingHarness) -> None:
    """Accepted at 15:45 it lives until 20:00; one from after that has all of the next trading day, which is Monday."""
    books = krx_books
    user = books.user()
    books.clock.now = CLOSE.replace(minute=45)
    evening = books.place(user, Side.BUY, 1, limit=60_000)
    assert look_and_expire(books, EVENING_END) == 0
    books.clock.now = EVENING_END.replace(minute=30)
    night = books.place(user, Side.BUY, 1, limit=60_000)
    assert look_and_expire(books, books.clock()) == 1
    assert look_and_expire(books, datetime(2026, 11, 23, 6, 30, tzinfo=UTC)) == 0
    assert status_of(books, user, night) == "PENDING"
    assert look_and_expire(books, datetime(2026, 11, 23, 6, 31, tzinfo=UTC)) == 1
    assert [status_of(books, user, one) for one in (evening, night)] == ["EXPIRED", "EXPIRED"]


def test_a_filled_part_stays_when_the_rest_expires(volume_books: TradingHarness) -> None:
    """Four of ten were traded: they are bought and paid, the reservation of the other six is free."""
    books = volume_books
    user, order = bought_in_part(books, stages=1)
    assert look_and_expire(books, MIDNIGHT) == 1
    assert cash(books, user) == (10_000_000, 280_042)
    assert books.breaches() == []
    books.run_all()
    assert (cash(books, user), shares(books, user)) == ((10_000_000 - 280_042, 0), (4, 0))
    ended = books.order(user, order.id)
    assert (ended.status, ended.executed_quantity) == ("EXPIRED", 4)
    assert books.breaches() == []


def test_what_the_matcher_found_before_the_end_is_filled_however_late(
    books: TradingHarness,
) -> None:
    """The wake-up was lost and the day ended: the execution comes in the night, and the order is filled."""
    user = books.user()
    books.tick(70_500)
    order = books.place(user, Side.BUY, 1, limit=70_000)
    books.tick(69_900)
    books.match()
    assert look_and_expire(books, MIDNIGHT) == 0
    books.run_all()
    assert status_of(books, user, order) == "FILLED"


def test_nothing_expires_before_the_matchers_have_read_the_day_to_its_end(
    books: TradingHarness,
) -> None:
    """The last look was seconds before midnight, and a trade came after it: the order waits for the next look, which fills it."""
    user = books.user()
    books.tick(70_500)
    order = books.place(user, Side.BUY, 1, limit=70_000)
    books.clock.now = MIDNIGHT.replace(hour=14, minute=59, second=57)
    books.match()
    books.clock.advance(seconds=2)
    books.tick(69_900)
    books.clock.advance(seconds=2)
    assert books.expire() is None
    assert books.match().filled == 1
    assert books.expire() == 0
    books.run_all()
    assert status_of(books, user, order) == "FILLED"


def test_the_last_print_of_the_closing_auction_is_waited_for(krx_books: TradingHarness) -> None:
    """The matcher looked 40 seconds after the close, and the auction's print came behind that: it fills the order, and nothing expires before."""
    books = krx_books
    user = books.user()
    books.tick(70_500)
    order = books.place(user, Side.BUY, 1, limit=70_000)
    books.clock.now = CLOSE.replace(second=50)
    books.match()
    books.clock.advance(seconds=5)
    books.tick(69_900)
    books.clock.now = LAST_PRINT
    assert books.expire() is None
    books.match()
    books.run_all()
    assert status_of(books, user, order) == "FILLED"
    assert books.expire() == 0


def test_new_matchers_have_seen_nothing_until_they_have_looked(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """Between the old number of matchers and the first looks of the new one nothing expires."""
    with opened(settings_for(migrated_sqlite, valkey_url)) as books:
        user = books.user()
        books.place(user, Side.BUY, 1, limit=70_000)
        books.match()
        books.clock.now = MIDNIGHT
        change_settings(books, matcher_shards=2)
        assert books.expire() is None
        books.match(0)
        assert books.expire() is None
        books.match(1)
        assert books.expire() == 1


@pytest.mark.parametrize("at_last_trade", [False, True])
@pytest.mark.parametrize("hours", ["always", "krx"])
def test_a_trade_of_the_next_day_does_not_fill_a_day_order(
    database_uri: str, valkey_url: str, hours: str, at_last_trade: bool
) -> None:
    """All processes were away in the night and come back on Monday at ten: yesterday's order is not filled by what is traded now, and it expires."""
    with opened(settings_for(database_uri, valkey_url, market_hours=hours)) as books:
        user = books.user()
        books.tick(70_000)
        limits = (69_000, 71_000) if at_last_trade else (69_000, 69_500)
        orders = [books.place(user, Side.BUY, 1, limit=limit) for limit in limits]
        kept = books.place(user, Side.BUY, 1, limit=68_000, time_in_force=TimeInForce.GTC)
        if not at_last_trade:
            books.match()
        books.clock.advance(days=3)
        books.tick(66_000)
        if not at_last_trade:
            assert books.match().filled == 1
        books.run(TaskRequest(Task.EXECUTE_ORDERS, tuple(order.id for order in orders)))
        books.run_all()
        assert {status_of(books, user, one) for one in orders} == {"PENDING"}
        books.match()
        assert books.expire() == 2
        books.run_all()
        assert {status_of(books, user, one) for one in orders} == {"EXPIRED"}
        assert status_of(books, user, kept) == "FILLED"
        assert books.breaches() == []


def test_a_look_over_several_days_holds_each_trade_against_its_day(books: TradingHarness) -> None:
    """One look reads Friday's last trades and Saturday's first: Friday's order has the former alone, another's both."""
    user = books.user()
    books.tick(70_500)
    touched = books.place(user, Side.BUY, 1, limit=70_000)
    missed = books.place(user, Side.BUY, 1, limit=69_000)
    kept = books.place(user, Side.BUY, 1, limit=69_000, time_in_force=TimeInForce.GTC)
    books.tick(69_900)
    books.clock.now = MIDNIGHT
    books.tick(68_000)
    assert books.match().filled == 2
    books.run_all()
    assert [status_of(books, user, one) for one in (touched, missed, kept)] == [
        "FILLED",
        "PENDING",
        "FILLED",
    ]


def test_orders_of_a_delisted_stock_end_and_free_what_they_held(books: TradingHarness) -> None:
    """Also those that wait in the book, whatever their time in force; other stocks' orders stay."""
    user = books.user()
    bought(books, user, 5)
    balance = cash(books, user)[0]
    for side, limit in ((Side.BUY, 60_000), (Side.SELL, 80_000)):
        books.place(user, side, 2, limit=limit, time_in_force=TimeInForce.GTC)
    other = books.place(user, Side.BUY, 1, "A000660", limit=100_000)
    set_status(books, "DELISTED", SAMSUNG)

    ended = do(
        books, lambda session: end_delisted(session, settings=books.settings, now=books.clock())
    )

    assert len(ended.order_ids) == 2
    found = rows(
        books,
        "SELECT status, reason FROM orders WHERE order_type = 'LIMIT' AND stock_code = 'A005930'",
    )
    assert [tuple(row.values()) for row in found] == [("CANCELLED", "stock-not-tradable")] * 2
    assert (cash(books, user), shares(books, user)) == ((balance, 100_015), (5, 0))
    assert status_of(books, user, other) == "PENDING"
    assert books.breaches() == []


def test_expiry_goes_in_batches(database_uri: str, valkey_url: str) -> None:
    """Five orders in batches of two: two, two, one, none."""
    with opened(settings_for(database_uri, valkey_url, stage_batch_size=2)) as books:
        users = [books.user() for _ in range(5)]
        for user in users:
            books.place(user, Side.BUY, 1, limit=60_000)
        books.clock.now = MIDNIGHT
        assert [books.expire() for _ in range(4)] == [2, 2, 1, 0]
        assert [cash(books, user)[1] for user in users] == [0] * 5
        assert books.breaches() == []
