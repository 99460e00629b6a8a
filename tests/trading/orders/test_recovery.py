"""The recovery sweep finds every overdue row, and nothing else."""

import pytest

from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, everything, set_status, shares, sweep
from trading.exchange.order_types import Side
from trading.tasks import Task

GRACE_MS = 2_000


def stages_done(harness: TradingHarness, count: int) -> None:
    """Run ``count`` stages and lose the task of the next."""
    for _ in range(count):
        harness.run(harness.sent.pop(0))
    harness.sent.clear()


@pytest.mark.parametrize(
    ("stage", "task"),
    [(0, Task.EXECUTE_ORDERS), (1, Task.SETTLE_EXECUTIONS), (2, Task.UPDATE_PORTFOLIOS)],
)
def test_task_lost_at_any_stage_is_found_when_overdue(
    harness: TradingHarness, stage: int, task: Task
) -> None:
    """Not a millisecond before the grace time is over; running it completes the order."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 3)
    stages_done(harness, stage)
    harness.clock.advance(milliseconds=GRACE_MS - 1)
    assert sweep(harness).requests == ()
    harness.clock.advance(milliseconds=1)

    overdue = sweep(harness)

    assert [request.task for request in overdue.requests] == [task]
    assert (overdue.orders, overdue.unsettled, overdue.unapplied) == tuple(
        int(stage == n) for n in range(3)
    )
    harness.sent.extend(overdue.requests)
    harness.run_all()
    assert harness.order(user, order.id).status == "FILLED"
    assert shares(harness, user) == (3, 0)
    assert harness.breaches() == []


def test_sweep_changes_no_rows(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 3)
    harness.clock.advance(hours=1)
    before = everything(harness)
    assert sweep(harness) == sweep(harness)
    assert everything(harness) == before


def test_finished_orders_are_never_swept(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 3)
    harness.place(user, Side.BUY, 130)
    harness.tick(100_000)
    harness.run_all()
    harness.clock.advance(days=365)
    assert sweep(harness).requests == ()


def test_postponed_order_is_swept_when_its_delay_is_over(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    harness.tick(69_000)
    harness.match()
    set_status(harness, "HALTED")
    harness.clock.advance(seconds=60)
    harness.run_all()
    assert sweep(harness).requests == ()
    set_status(harness, "TRADABLE")
    harness.clock.advance(seconds=32)
    harness.sent.extend(sweep(harness).requests)
    harness.run_all()
    assert harness.order(user, order.id).status == "FILLED"


def test_backlog_is_dispatched_in_batches_and_drained(database_uri: str, valkey_url: str) -> None:
    with opened(settings_for(database_uri, valkey_url, stage_batch_size=4)) as harness:
        users = [harness.user() for _ in range(3)]
        harness.tick(70_000)
        for user in users * 3:
            harness.place(user, Side.BUY, 1)
        for _round in range(4):
            harness.sent.clear()
            harness.clock.advance(milliseconds=GRACE_MS)
            harness.tick(70_000)
            requests = sweep(harness).requests
            assert all(len(request.ids) <= 4 for request in requests)
            for request in requests:
                harness.run(request)
        assert requests == ()
        assert [shares(harness, user) for user in users] == [(3, 0)] * 3
        assert harness.breaches() == []
