"""The recovery sweep: every lost wake-up is found once it is overdue, and nothing else."""

import pytest

from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, everything, shares, sweep
from trading.exchange.order_types import Side
from trading.tasks import Task

GRACE_MS = 2_000


def stages_done(harness: TradingHarness, count: int) -> None:
    """Run ``count`` stages and lose the wake-up of the next."""
    for _ in range(count):
        harness.run(harness.sent.pop(0))
    harness.sent.clear()


@pytest.mark.parametrize(
    ("stage", "task"),
    [(0, Task.EXECUTE_ORDERS), (1, Task.SETTLE_EXECUTIONS), (2, Task.UPDATE_PORTFOLIOS)],
)
def test_a_wake_up_lost_at_any_stage_is_found_when_overdue(
    harness: TradingHarness, stage: int, task: Task
) -> None:
    """Not a millisecond before the grace time is over, then at once; acting on it brings the order to its end."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 3)
    stages_done(harness, stage)
    harness.clock.advance(milliseconds=GRACE_MS - 1)
    assert sweep(harness).wakeups == ()
    harness.clock.advance(milliseconds=1)

    overdue = sweep(harness)

    assert [wakeup.task for wakeup in overdue.wakeups] == [task]
    assert (overdue.orders, overdue.unsettled, overdue.unapplied) == tuple(
        int(stage == n) for n in range(3)
    )
    harness.sent.extend(overdue.wakeups)
    harness.run_all()
    assert harness.order(user, order.id).status == "FILLED"
    assert shares(harness, user) == (3, 0)
    assert harness.breaches() == []


def test_a_sweep_changes_nothing_itself(harness: TradingHarness) -> None:
    """Swept twice, the second finds what the first found, and no row is another."""
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 3)
    harness.clock.advance(hours=1)
    before = everything(harness)
    assert sweep(harness) == sweep(harness)
    assert everything(harness) == before


def test_what_is_finished_is_never_swept(harness: TradingHarness) -> None:
    """Filled and applied, or rejected: a year later there is nothing due."""
    user = harness.user()
    bought(harness, user, 3)
    harness.place(user, Side.BUY, 130)
    harness.tick(100_000)
    harness.run_all()
    harness.clock.advance(days=365)
    assert sweep(harness).wakeups == ()


def test_an_order_that_waits_is_swept_when_its_wait_is_over(harness: TradingHarness) -> None:
    """An order put off for a stale price is found after its own wait and filled once there is a fresh one."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1)
    harness.clock.advance(seconds=60)
    harness.run_all()
    assert sweep(harness).wakeups == ()
    harness.clock.advance(seconds=32)
    harness.tick(70_000)
    harness.sent.extend(sweep(harness).wakeups)
    harness.run_all()
    assert harness.order(user, order.id).status == "FILLED"


def test_a_backlog_is_told_in_batches_and_drained(database_uri: str, valkey_url: str) -> None:
    """All wake-ups lost: sweep after sweep everything is filled, settled and applied, none twice."""
    with opened(settings_for(database_uri, valkey_url, stage_batch_size=4)) as harness:
        users = [harness.user() for _ in range(3)]
        harness.tick(70_000)
        for user in users * 3:
            harness.place(user, Side.BUY, 1)
        for _round in range(4):
            harness.sent.clear()
            harness.clock.advance(milliseconds=GRACE_MS)
            harness.tick(70_000)
            wakeups = sweep(harness).wakeups
            assert all(len(wakeup.ids) <= 4 for wakeup in wakeups)
            for wakeup in wakeups:
                harness.run(wakeup)
        assert wakeups == ()
        assert [shares(harness, user) for user in users] == [(3, 0)] * 3
        assert harness.breaches() == []
