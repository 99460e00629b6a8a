"""What is due and what waits, stage by stage."""

from tests.books import Books
from tests.trading.payment_rows import hold_for_refund, partly_refunded_payment
from trading.market.health import FeedStatus
from trading.queries.system_status import DueRows, SystemStatus, system_status
from trading.queue import Task
from trading.rules.orders import Side

NOTHING = DueRows(0, None)


def look(books: Books) -> SystemStatus:
    hours = books.core.market_hours()
    return books.core.database.read(
        lambda session: system_status(
            session,
            broker=books.core.redis,
            queues=["orders.execute", "orders.settle"],
            quotes=books.core.quotes,
            hours=hours,
            settings=books.settings,
            now=books.clock(),
        )
    )


def test_each_stage_has_what_the_one_before_has_done(books: Books) -> None:
    """Two orders go from stage to stage; each time the oldest is as old as it has been due, and what is done is no more."""
    books.tick(70_000)
    stages = {"execute": Task.EXECUTE_ORDERS, "settle": Task.SETTLE_EXECUTIONS, "portfolio": Task.UPDATE_PORTFOLIOS}
    assert set(look(books).due.values()) == {NOTHING}
    books.place(books.user(), Side.BUY, 1)
    books.clock.advance(seconds=4)
    books.place(books.user(), Side.BUY, 1)
    for number, (stage, task) in enumerate(stages.items()):
        books.clock.advance(seconds=5, milliseconds=900)
        books.tick(70_000)

        found = look(books).due

        assert found[stage] == DueRows(2, 9 if number == 0 else 5)
        assert [due for name, due in found.items() if name != stage] == [NOTHING] * 4
        wakeups = books.sent[:]
        books.sent.clear()
        assert {wakeup.task for wakeup in wakeups} == {task}
        for wakeup in wakeups:
            books.run(wakeup)
    assert set(look(books).due.values()) == {NOTHING}


def test_an_order_that_waits_in_the_book_is_not_due(books: Books) -> None:
    """Nobody has anything to do with it until a trade meets it."""
    books.tick(70_000)
    books.place(books.user(), Side.BUY, 1, limit=60_000)
    books.run_all()

    assert look(books).due["execute"] == NOTHING


def test_a_refund_that_nobody_pursued_is_due(books: Books) -> None:
    """Once its time has come, and not before."""
    user = books.user()
    hold_for_refund(books, user, partly_refunded_payment(books, user), 1_000)
    books.clock.advance(minutes=3)

    assert look(books).due["refunds"].count == 1
    assert look(books).due["payments"] == NOTHING


def test_messages_are_counted_by_queue_and_the_feed_is_judged(books: Books) -> None:
    """A queue that nobody ever sent to is an empty one."""
    books.core.redis.rpush("orders.settle", "one", "two", "three")

    found = look(books)

    assert found.queues == {"orders.execute": 0, "orders.settle": 3}
    assert found.feed.status is FeedStatus.OFFLINE


def test_a_clock_that_is_behind_makes_no_negative_age(books: Books) -> None:
    """Rows are written by other machines too."""
    books.tick(70_000)
    books.place(books.user(), Side.BUY, 1)
    books.run(books.sent.pop())
    books.clock.advance(seconds=-3)

    assert look(books).due["settle"] == DueRows(1, 0)
