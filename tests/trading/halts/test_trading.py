"""Halts: nothing is accepted, amended or filled while one runs, nothing of it fills anything afterwards, and open orders survive it."""

from uuid import UUID

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import bought, cancel_all, cash, do, halt, resume, rows, sweep
from trading.db.ids import new_id
from trading.exchange.order_types import Side, TimeInForce
from trading.halts import trading
from trading.halts.errors import TradingHalted
from trading.halts.records import HaltRecord
from trading.orders.execute import ExecutionReport
from trading.orders.match import MatchReport
from trading.tasks import Task, TaskRequest

SINCE = {"since": "2026-11-20T10:00:00+09:00"}


def status_of(books: TradingHarness, user: UUID, order_id: UUID) -> str:
    return str(books.order(user, order_id).status)


def test_nothing_is_accepted_or_amended_and_the_refusal_says_since_when(
    books: TradingHarness,
) -> None:
    """Either side, either type, an amendment too; a cancellation goes through."""
    user = books.user()
    bought(books, user, 2)
    order = books.place(user, Side.BUY, 1, limit=60_000)
    halt(books, user)
    books.clock.advance(seconds=5)
    books.tick(70_000)
    for side in Side:
        for limit in (None, 70_000):
            with pytest.raises(TradingHalted) as refused:
                books.place(user, side, 1, limit=limit)
            assert refused.value.facts == SINCE
    with pytest.raises(TradingHalted):
        books.amend(user, order.id, limit=61_000)
    books.cancel(user, order.id)
    assert status_of(books, user, order.id) == "CANCELLED"
    assert books.breaches() == []


def test_a_market_order_waits_for_the_end_of_a_halt_and_for_a_trade_after_it(
    books: TradingHarness,
) -> None:
    """Put off during the halt, and after it while the last trade is one of the halt; then filled at a new one."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1)
    wakeup = books.sent.pop()
    halt(books, user)
    books.clock.advance(seconds=1)
    books.tick(71_000)
    assert books.run(wakeup) == ExecutionReport(postponed=1)
    books.clock.advance(seconds=1)
    resume(books, user)
    assert books.run(wakeup) == ExecutionReport(postponed=1)
    books.tick(70_500)
    assert books.run(wakeup) == ExecutionReport(filled=1)
    assert books.order(user, order.id).executions[0].price == 70_500
    assert books.breaches() == []


@pytest.mark.parametrize("looks", [True, False])
def test_trades_of_a_halt_fill_nothing_then_or_later(books: TradingHarness, looks: bool) -> None:
    """Whether the matcher read them during the halt or only when it was over; those before it and after it fill."""
    user = books.user()
    books.tick(70_500)
    first, second = (books.place(user, Side.BUY, 1, limit=limit) for limit in (70_000, 69_000))
    books.tick(70_000)
    books.clock.advance(seconds=1)
    if looks:
        books.match()
    halt(books, user)
    books.clock.advance(seconds=1)
    books.tick(68_000)
    if looks:
        assert books.match() == MatchReport(ticks=1)
    books.clock.advance(seconds=1)
    resume(books, user)
    books.match()
    books.run_all()
    assert [status_of(books, user, one.id) for one in (first, second)] == ["FILLED", "PENDING"]
    books.tick(69_000)
    assert books.match().filled == 1
    assert books.breaches() == []


def test_what_was_found_before_a_halt_is_executed_after_it(books: TradingHarness) -> None:
    """The execution comes during the halt: it is put off, found again by the sweep, and fills when trading goes on."""
    user = books.user()
    books.tick(70_500)
    order = books.place(user, Side.BUY, 1, limit=70_000)
    books.tick(69_900)
    books.match()
    halt(books, user)
    assert books.run(books.sent.pop()) == ExecutionReport(postponed=1)
    assert books.breaches() == []
    books.clock.advance(minutes=10)
    resume(books, user)
    books.sent += sweep(books).wakeups
    books.run_all()
    assert status_of(books, user, order.id) == "FILLED"


def test_fills_from_before_a_halt_are_settled_and_booked_in_it(books: TradingHarness) -> None:
    """Cash and shares follow what is filled, halt or not."""
    user = books.user()
    books.tick(70_000)
    books.place(user, Side.BUY, 1)
    books.run(books.sent.pop())
    halt(books, user)
    books.run_all()
    assert cash(books, user) == (10_000_000 - 70_010, 0)
    assert rows(books, "SELECT id FROM order_executions WHERE applied_at IS NULL") == []


def test_what_may_not_wait_ends_with_the_halt(books: TradingHarness) -> None:
    """An IOC order that a halt overtook is not filled after it."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1, limit=70_000, time_in_force=TimeInForce.IOC)
    halt(books, user)
    assert books.run(books.sent[0]) == ExecutionReport(postponed=1)
    books.clock.advance(seconds=40)
    resume(books, user)
    books.tick(70_000)
    assert books.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport(ended=1)
    assert (status_of(books, user, order.id), cash(books, user)[1]) == ("CANCELLED", 0)


def test_all_can_be_cancelled_during_a_halt(books: TradingHarness) -> None:
    """Those in the book, those that are due and those that were found filled; everything is free again."""
    user = books.user()
    books.tick(70_000)
    books.place(user, Side.BUY, 1)
    books.place(user, Side.BUY, 1, limit=60_000)
    books.place(user, Side.BUY, 1, limit=69_900)
    books.tick(69_900)
    books.match()
    halt(books, user)
    assert len(cancel_all(books, user)) == 3
    assert cash(books, user) == (10_000_000, 0)
    resume(books, user)
    books.run_all()
    assert books.breaches() == []
    assert rows(books, "SELECT * FROM pending_fills") == []


def test_a_second_halt_is_the_first(books: TradingHarness) -> None:
    """Who halts a halted market is told of the halt that runs; lifted once it is lifted, and lifting it again finds none."""
    user = books.user()

    def ask(reason: str) -> HaltRecord:
        return do(
            books,
            lambda session: trading.halt(
                session, halt_id=new_id(), by=user, reason=reason, now=books.clock()
            ),
        )

    first = ask("시세 이상")
    books.clock.advance(seconds=1)
    assert ask("다른 이유") == first
    lifted = do(books, lambda session: trading.resume(session, by=user, now=books.clock()))
    assert lifted is not None
    assert (lifted.id, lifted.resumed_at) == (first.id, books.clock())
    assert do(books, lambda session: trading.resume(session, by=user, now=books.clock())) is None
    assert ask("또").id != first.id
