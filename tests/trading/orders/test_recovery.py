"""The recovery sweep: every lost wake-up is found once it is overdue, and nothing else."""

import pytest

from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, everything, shares, sweep
from trading.exchange.order_types import Side
from trading.tasks import Task

GRACE_MS = 2_000


def stages_done(books: TradingHarness, count: int) -> None:
    """Run ``count`` stages and lose the wake-up of the next."""
    for _ in range(count):
        books.run(books.sent.pop(0))
    books.sent.clear()


@pytest.mark.parametrize(
    ("stage", "task"),
    [(0, Task.EXECUTE_ORDERS), (1, Task.SETTLE_EXECUTIONS), (2, Task.UPDATE_PORTFOLIOS)],
)
def test_a_wake_up_lost_at_any_stage_is_found_when_overdue(
    books: TradingHarness, stage: int, task: Task
) -> None:
    """Not a millisecond before the grace time is over, then at once; acting on it brings the order to its end."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 3)
    stages_done(books, stage)
    books.clock.advance(milliseconds=GRACE_MS - 1)
    assert sweep(books).wakeups == ()
    books.clock.advance(milliseconds=1)

    overdue = sweep(books)

    assert [wakeup.task for wakeup in overdue.wakeups] == [task]
    assert (overdue.orders, overdue.unsettled, overdue.unapplied) == tuple(
        int(stage == n) for n in range(3)
    )
    books.sent.extend(overdue.wakeups)
    books.run_all()
    assert books.order(user, order.id).status == "FILLED"
    assert shares(books, user) == (3, 0)
    assert books.breaches() == []


def test_a_sweep_changes_nothing_itself(books: TradingHarness) -> None:
    """Swept twice, the second finds what the first found, and no row is another."""
    user = books.user()
    books.tick(70_000)
    books.place(user, Side.BUY, 3)
    books.clock.advance(hours=1)
    before = everything(books)
    assert sweep(books) == sweep(books)
    assert everything(books) == before


def test_what_is_finished_is_never_swept(books: TradingHarness) -> None:
    """Filled and applied, or rejected: a year later there is nothing due."""
    user = books.user()
    bought(books, user, 3)
    books.place(user, Side.BUY, 130)
    books.tick(100_000)
    books.run_all()
    books.clock.advance(days=365)
    assert sweep(books).wakeups == ()


def test_an_order_that_waits_is_swept_when_its_wait_is_over(books: TradingHarness) -> None:
    """An order put off for a stale price is found after its own wait and filled once there is a fresh one."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1)
    books.clock.advance(seconds=60)
    books.run_all()
    assert sweep(books).wakeups == ()
    books.clock.advance(seconds=32)
    books.tick(70_000)
    books.sent.extend(sweep(books).wakeups)
    books.run_all()
    assert books.order(user, order.id).status == "FILLED"


def test_a_backlog_is_told_in_batches_and_drained(database_uri: str, valkey_url: str) -> None:
    """All wake-ups lost: sweep after sweep everything is filled, settled and applied, none twice."""
    with opened(settings_for(database_uri, valkey_url, stage_batch_size=4)) as books:
        users = [books.user() for _ in range(3)]
        books.tick(70_000)
        for user in users * 3:
            books.place(user, Side.BUY, 1)
        for _round in range(4):
            books.sent.clear()
            books.clock.advance(milliseconds=GRACE_MS)
            books.tick(70_000)
            wakeups = sweep(books).wakeups
            assert all(len(wakeup.ids) <= 4 for wakeup in wakeups)
            for wakeup in wakeups:
                books.run(wakeup)
        assert wakeups == ()
        assert [shares(books, user) for user in users] == [(3, 0)] * 3
        assert books.breaches() == []
