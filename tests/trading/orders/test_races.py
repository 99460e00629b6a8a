"""Races of threads on MariaDB."""

import random
from collections.abc import Callable
from uuid import UUID

import pytest

from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought, cash, deposit, rows, shares, sweep, withdraw
from tests.trading.threads import outcome, run_together
from trading.exchange.order_types import Side
from trading.ledger.errors import InsufficientCash, InsufficientQuantity
from trading.orders.errors import ClientOrderIdTaken
from trading.orders.records import OrderRecord
from trading.tasks import Task, TaskRequest

REFUSALS = (InsufficientCash, InsufficientQuantity, ClientOrderIdTaken)


def placing(
    harness: TradingHarness, user: UUID, side: Side, quantity: int, **more: str
) -> Callable[[], object]:
    return outcome(lambda: harness.place(user, side, quantity, **more), *REFUSALS)


def accepted(results: list[object]) -> int:
    return sum(isinstance(result, OrderRecord) for result in results)


def test_concurrent_buys_of_the_whole_balance(server_harness: TradingHarness) -> None:
    """Exactly one of ten is accepted."""
    user = server_harness.user()
    server_harness.tick(70_000)
    results = run_together(*[placing(server_harness, user, Side.BUY, 140)] * 10)
    assert accepted(results) == 1
    server_harness.run_all()
    assert shares(server_harness, user) == (140, 0)
    assert server_harness.breaches() == []


def test_concurrent_sales_of_the_whole_holding(server_harness: TradingHarness) -> None:
    user = server_harness.user()
    bought(server_harness, user, 10)
    results = run_together(*[placing(server_harness, user, Side.SELL, 10)] * 10)
    assert accepted(results) == 1
    server_harness.run_all()
    assert shares(server_harness, user) == (0, 0)
    assert server_harness.breaches() == []


def test_concurrent_orders_with_one_client_order_id(server_harness: TradingHarness) -> None:
    user = server_harness.user()
    server_harness.tick(70_000)
    results = run_together(
        *[placing(server_harness, user, Side.BUY, 1, client_order_id="mine")] * 10
    )
    assert accepted(results) == 1
    assert cash(server_harness, user)[1] == 71_410
    assert server_harness.breaches() == []


def test_concurrent_deposits(server_harness: TradingHarness) -> None:
    """Every won arrives, and the ledger entries form one chain."""
    user = server_harness.user()
    run_together(*[lambda: deposit(server_harness, user, 1_000)] * 20)
    assert cash(server_harness, user) == (10_020_000, 0)
    assert server_harness.breaches() == []


def test_orders_and_withdrawals_compete_for_one_balance(server_harness: TradingHarness) -> None:
    user = server_harness.user()
    server_harness.tick(70_000)
    works = [placing(server_harness, user, Side.BUY, 40) for _ in range(6)]
    works += [
        outcome(lambda: withdraw(server_harness, user, 3_000_000), *REFUSALS) for _ in range(6)
    ]
    results = run_together(*works)
    assert sum(not isinstance(result, Exception) for result in results) == 3
    server_harness.run_all()
    assert server_harness.breaches() == []


def test_first_purchase_applied_by_two_workers_at_once(server_harness: TradingHarness) -> None:
    """Neither finds a holding and both open it: it has the shares of both."""
    for _ in range(5):
        user = server_harness.user()
        server_harness.tick(70_000)
        updates = []
        for quantity in (1, 2):
            server_harness.place(user, Side.BUY, quantity)
            for _stage in range(2):
                server_harness.run(server_harness.sent.pop())
            updates.append(server_harness.sent.pop())
        run_together(*[lambda update=update: server_harness.run(update) for update in updates])
        assert shares(server_harness, user) == (3, 0)
    assert server_harness.breaches() == []


def test_sale_of_a_whole_holding_against_a_purchase(server_harness: TradingHarness) -> None:
    for _ in range(5):
        user = server_harness.user()
        bought(server_harness, user, 5)
        updates = []
        for side in (Side.SELL, Side.BUY):
            server_harness.place(user, side, 5)
            for _stage in range(2):
                server_harness.run(server_harness.sent.pop())
            updates.append(server_harness.sent.pop())
        run_together(*[lambda update=update: server_harness.run(update) for update in updates])
        assert shares(server_harness, user) == (5, 0)
    assert server_harness.breaches() == []


@pytest.mark.parametrize(
    "task", [Task.EXECUTE_ORDERS, Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS]
)
def test_one_task_on_four_workers_is_done_once(server_harness: TradingHarness, task: Task) -> None:
    users = [server_harness.user() for _ in range(4)]
    server_harness.tick(70_000)
    ids = tuple(server_harness.place(user, Side.BUY, 2).id for user in users)
    server_harness.sent[:] = [TaskRequest(Task.EXECUTE_ORDERS, ids)]
    while server_harness.sent[0].task is not task:
        server_harness.run(server_harness.sent.pop(0))
    request = server_harness.sent.pop(0)
    run_together(*[lambda: server_harness.run(request)] * 4)
    server_harness.run_all()
    assert [shares(server_harness, user) for user in users] == [(2, 0)] * 4
    assert len(rows(server_harness, "SELECT id FROM order_executions")) == 4
    assert server_harness.breaches() == []


@pytest.mark.parametrize("seed", range(3))
def test_tasks_delivered_twice_in_any_order_by_several_workers(
    server_harness: TradingHarness, seed: int
) -> None:
    """Three threads run every task of every stage, each delivered twice and shuffled, with sweeps
    in between.
    """
    chance = random.Random(seed)
    users = [server_harness.user() for _ in range(3)]
    for code in (SAMSUNG, HYNIX):
        server_harness.tick(70_000, code)
        for user in users:
            server_harness.place(user, Side.BUY, 10, code)
    server_harness.run_all()
    orders = [
        (
            user,
            server_harness.place(
                user, chance.choice(list(Side)), 1, chance.choice((SAMSUNG, HYNIX))
            ).id,
        )
        for user in users * 8
    ]
    while server_harness.sent or has_due_work(server_harness):
        mailbox = server_harness.sent * 2
        server_harness.sent.clear()
        server_harness.clock.advance(seconds=2)
        server_harness.tick(70_500)
        server_harness.tick(71_000, HYNIX)
        mailbox += sweep(server_harness).requests
        chance.shuffle(mailbox)
        run_together(
            *[
                lambda part=mailbox[n::3]: [server_harness.run(one) for one in part]
                for n in range(3)
            ]
        )
    assert {server_harness.order(user, order).status for user, order in orders} == {"FILLED"}
    assert server_harness.breaches() == []
    assert (
        len(rows(server_harness, "SELECT id FROM transactions WHERE execution_id IS NOT NULL"))
        == 6 + 24
    )


def has_due_work(harness: TradingHarness) -> bool:
    """Return True if any work is left, dispatched or not."""
    harness.clock.advance(seconds=40)
    return bool(sweep(harness).requests)
