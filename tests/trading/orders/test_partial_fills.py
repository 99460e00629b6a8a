"""Partial fills: the won and the shares of each part, of what still waits, and of what is given back, on both sides."""

from uuid import UUID

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import (
    bought,
    bought_in_part,
    cash,
    change_settings,
    rows,
    shares,
    sweep,
)
from trading.exchange.order_types import Side, TimeInForce
from trading.orders.execute import ExecutionReport
from trading.tasks import Task, TaskRequest


def trade(books: TradingHarness, price: int, volume: int) -> None:
    """A trade on the market, matched, executed, settled and applied."""
    books.tick(price, volume=volume)
    books.match()
    books.run_all()


def with_shares(books: TradingHarness, quantity: int) -> tuple[UUID, int]:
    """A user who holds shares, and his cash."""
    user = books.user()
    change_settings(books, fill_profile="simple")
    bought(books, user, quantity)
    change_settings(books, fill_profile="volume")
    books.match()
    return user, cash(books, user)[0]


def test_a_buy_in_three_parts(volume_books: TradingHarness) -> None:
    """After each part the rest keeps exactly its cost at the limit; each part's commission is rounded down on its own."""
    books = volume_books
    user = books.user()
    books.tick(33_500)
    order = books.place(user, Side.BUY, 10, limit=33_350)
    assert cash(books, user) == (10_000_000, 333_500 + 50)
    spent = 0
    for volume, commission, rest in ((3, 15, 233_450 + 35), (1, 5, 200_100 + 30), (6, 30, 0)):
        trade(books, 33_300, volume)
        spent += volume * 33_350 + commission
        assert cash(books, user) == (10_000_000 - spent, rest)
        assert books.breaches() == []
    assert [fill.commission for fill in books.order(user, order.id).executions] == [15, 5, 30]
    assert books.order(user, order.id).status == "FILLED"
    assert shares(books, user) == (10, 0)


def test_a_sale_in_parts(volume_books: TradingHarness) -> None:
    """Shares leave the holding and its reservation part by part; cash comes with each."""
    books = volume_books
    user, balance = with_shares(books, 10)
    order = books.place(user, Side.SELL, 6, limit=71_000)
    for volume, held, reserved in ((2, 8, 4), (3, 5, 1)):
        trade(books, 71_500, volume)
        assert shares(books, user) == (held, reserved)
        assert books.breaches() == []
    books.cancel(user, order.id)
    assert shares(books, user) == (5, 0)
    # 71,000 × 2 and × 3: commission 21 and 31, transaction tax 71 and 106, rural tax 213 and 319.
    assert cash(books, user) == (balance + 142_000 - 305 + 213_000 - 456, 0)
    assert books.breaches() == []


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_the_rest_is_cancelled_at_any_stage_of_a_part(
    volume_books: TradingHarness, stages: int
) -> None:
    """Executed, settled or applied: what the part cost stays reserved until it is paid, the rest is free at once."""
    books = volume_books
    user, order = bought_in_part(books, traded_at=69_000, stages=stages)
    books.cancel(user, order.id)
    assert cash(books, user) == ((10_000_000, 280_042) if stages == 1 else (9_719_958, 0))
    assert books.breaches() == []
    books.run_all()
    assert (cash(books, user), shares(books, user)) == ((9_719_958, 0), (4, 0))
    ended = books.order(user, order.id)
    assert (ended.status, ended.executed_quantity, ended.reason) == (
        "CANCELLED",
        4,
        "cancelled-by-user",
    )
    assert books.breaches() == []


def test_the_rest_of_an_ioc_sale_is_given_back(volume_books: TradingHarness) -> None:
    """Two of five are sold; the three others can be sold again at once."""
    books = volume_books
    user, _ = with_shares(books, 5)
    order = books.place(user, Side.SELL, 5, limit=70_000, time_in_force=TimeInForce.IOC)
    books.tick(70_000, volume=2)
    books.match()
    books.run(books.sent.pop())
    assert shares(books, user) == (5, 2)
    assert books.breaches() == []
    books.run_all()
    assert shares(books, user) == (3, 0)
    assert books.order(user, order.id).reason == "not-filled-at-once"
    assert books.breaches() == []


def test_an_ioc_order_keeps_its_deadline_when_another_wake_up_takes_it_along(
    volume_books: TradingHarness,
) -> None:
    """Looked at a second early it goes on waiting for its chance, and is ended when its time is over."""
    books = volume_books
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 10, limit=70_000, time_in_force=TimeInForce.IOC)
    books.clock.advance(seconds=9)
    assert books.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport()
    books.clock.advance(seconds=1)
    books.sent += sweep(books).wakeups
    books.run_all()
    assert books.order(user, order.id).status == "CANCELLED"
    assert cash(books, user) == (10_000_000, 0)


def test_a_raised_commission_is_taken_from_what_is_free(volume_books: TradingHarness) -> None:
    """Accepted at 0.015 %, filled at 1 %: the parts cost more than was set aside for them, and all is paid to the won."""
    books = volume_books
    user = books.user()
    books.tick(70_500)
    order = books.place(user, Side.BUY, 10, limit=70_000)
    change_settings(books, commission_ppm=10_000)
    trade(books, 70_000, 6)
    assert cash(books, user) == (10_000_000 - 424_200, 700_105 - 424_200)
    assert books.breaches() == []
    trade(books, 70_000, 4)
    assert cash(books, user) == (10_000_000 - 707_000, 0)
    assert books.order(user, order.id).status == "FILLED"
    assert books.breaches() == []


def test_a_raised_commission_that_nobody_can_pay_ends_the_rest(
    volume_books: TradingHarness,
) -> None:
    """All cash is set aside at 0.015 %; at 1 % the second part can't be paid: it is dropped, and what was filled stays."""
    books = volume_books
    user = books.user()
    books.tick(70_500)
    order = books.place(user, Side.BUY, 142, limit=70_000)
    change_settings(books, commission_ppm=10_000)
    trade(books, 70_000, 100)
    assert books.breaches() == []
    trade(books, 70_000, 42)
    ended = books.order(user, order.id)
    assert (ended.status, ended.reason, ended.executed_quantity) == (
        "CANCELLED",
        "insufficient-cash",
        100,
    )
    assert cash(books, user) == (10_000_000 - 7_070_000, 0)
    assert books.breaches() == []


@pytest.mark.parametrize("executes", [True, False])
def test_the_profile_is_changed_while_an_order_is_filled_in_part(
    volume_books: TradingHarness, executes: bool
) -> None:
    """Its part, executed or only found, is by volume; the rest is filled whole by the next trade."""
    books = volume_books
    user, order = bought_in_part(books, stages=3 if executes else 0)
    change_settings(books, fill_profile="simple")
    trade(books, 69_900, 1)
    fills = books.order(user, order.id).executions
    assert [(fill.quantity, fill.price) for fill in fills] == [(4, 70_000), (6, 70_000)]
    assert books.breaches() == []


def test_a_market_order_by_volume_goes_on_waiting_after_the_profile_is_simple(
    volume_books: TradingHarness,
) -> None:
    """It waits in the book and is filled by the next trade, at its price."""
    books = volume_books
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 10)
    change_settings(books, fill_profile="simple")
    trade(books, 70_100, 1)
    (fill,) = books.order(user, order.id).executions
    assert (fill.quantity, fill.price, fill.rule) == (10, 70_100, "market-at-print")
    assert books.breaches() == []


@pytest.mark.parametrize("shards", [(2, 1), (1, 2, 1)])
def test_a_trade_is_read_once_however_the_number_of_matchers_changes(
    volume_books: TradingHarness, shards: tuple[int, ...]
) -> None:
    """One matcher, two, and one again: the shares of a trade are given out once, executed in between or not."""
    books = volume_books
    user = books.user()
    books.tick(70_500)
    books.match()
    order = books.place(user, Side.BUY, 10, limit=70_000)
    books.tick(70_000, volume=4)
    for count in shards:
        change_settings(books, matcher_shards=count)
        for shard in range(count):
            books.match(shard)
        if count == 2:
            books.run_all()
    books.run_all()
    assert [fill.quantity for fill in books.order(user, order.id).executions] == [4]
    assert rows(books, "SELECT * FROM pending_fills") == []
    assert books.breaches() == []


@pytest.mark.parametrize("looked", [0, 1])
def test_matchers_that_had_not_all_looked_hand_nothing_on(
    volume_books: TradingHarness, looked: int
) -> None:
    """Of two new matchers one has looked when their number is changed back: no trade is lost and none counts twice."""
    books = volume_books
    user = books.user()
    order = books.place(user, Side.BUY, 10, limit=70_000)
    books.tick(69_900, volume=4)
    change_settings(books, matcher_shards=2)
    books.match(looked)
    change_settings(books, matcher_shards=1)
    books.match()
    books.run_all()
    assert books.order(user, order.id).executed_quantity == 4
    assert books.breaches() == []
