"""Races of real threads on MariaDB: whoever is first, the books are right."""

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
    books: TradingHarness, user: UUID, side: Side, quantity: int, **more: str
) -> Callable[[], object]:
    return outcome(lambda: books.place(user, side, quantity, **more), *REFUSALS)


def accepted(results: list[object]) -> int:
    return sum(isinstance(result, OrderRecord) for result in results)


def test_ten_buys_of_the_whole_balance(server_books: TradingHarness) -> None:
    """Exactly one is accepted; the others are told that nothing is left."""
    user = server_books.user()
    server_books.tick(70_000)
    results = run_together(*[placing(server_books, user, Side.BUY, 140)] * 10)
    assert accepted(results) == 1
    server_books.run_all()
    assert shares(server_books, user) == (140, 0)
    assert server_books.breaches() == []


def test_ten_sales_of_the_whole_holding(server_books: TradingHarness) -> None:
    """Shares are sold once."""
    user = server_books.user()
    bought(server_books, user, 10)
    results = run_together(*[placing(server_books, user, Side.SELL, 10)] * 10)
    assert accepted(results) == 1
    server_books.run_all()
    assert shares(server_books, user) == (0, 0)
    assert server_books.breaches() == []


def test_ten_orders_with_one_client_order_id(server_books: TradingHarness) -> None:
    """One order, one reservation."""
    user = server_books.user()
    server_books.tick(70_000)
    results = run_together(*[placing(server_books, user, Side.BUY, 1, client_order_id="mine")] * 10)
    assert accepted(results) == 1
    assert cash(server_books, user)[1] == 71_410
    assert server_books.breaches() == []


def test_twenty_deposits_at_once(server_books: TradingHarness) -> None:
    """Every won arrives, and the Transactions form one chain."""
    user = server_books.user()
    run_together(*[lambda: deposit(server_books, user, 1_000)] * 20)
    assert cash(server_books, user) == (10_020_000, 0)
    assert server_books.breaches() == []


def test_orders_and_withdrawals_compete_for_one_balance(server_books: TradingHarness) -> None:
    """Whatever is accepted fits into the cash; nothing is both withdrawn and reserved."""
    user = server_books.user()
    server_books.tick(70_000)
    works = [placing(server_books, user, Side.BUY, 40) for _ in range(6)]
    works += [outcome(lambda: withdraw(server_books, user, 3_000_000), *REFUSALS) for _ in range(6)]
    results = run_together(*works)
    assert sum(not isinstance(result, Exception) for result in results) == 3
    server_books.run_all()
    assert server_books.breaches() == []


def test_the_first_purchase_by_two_workers_at_once(server_books: TradingHarness) -> None:
    """Neither finds a holding, both open it: the shares of both are in it."""
    for _ in range(5):
        user = server_books.user()
        server_books.tick(70_000)
        updates = []
        for quantity in (1, 2):
            server_books.place(user, Side.BUY, quantity)
            for _stage in range(2):
                server_books.run(server_books.sent.pop())
            updates.append(server_books.sent.pop())
        run_together(*[lambda update=update: server_books.run(update) for update in updates])
        assert shares(server_books, user) == (3, 0)
    assert server_books.breaches() == []


def test_a_sale_meets_the_settlement_of_a_purchase(server_books: TradingHarness) -> None:
    """A holding sold out by one worker while another adds to it ends with what was added."""
    for _ in range(5):
        user = server_books.user()
        bought(server_books, user, 5)
        updates = []
        for side in (Side.SELL, Side.BUY):
            server_books.place(user, side, 5)
            for _stage in range(2):
                server_books.run(server_books.sent.pop())
            updates.append(server_books.sent.pop())
        run_together(*[lambda update=update: server_books.run(update) for update in updates])
        assert shares(server_books, user) == (5, 0)
    assert server_books.breaches() == []


@pytest.mark.parametrize(
    "task", [Task.EXECUTE_ORDERS, Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS]
)
def test_one_wake_up_to_four_workers_at_once(server_books: TradingHarness, task: Task) -> None:
    """The same batch delivered four times: the rows are done once."""
    users = [server_books.user() for _ in range(4)]
    server_books.tick(70_000)
    ids = tuple(server_books.place(user, Side.BUY, 2).id for user in users)
    server_books.sent[:] = [TaskRequest(Task.EXECUTE_ORDERS, ids)]
    while server_books.sent[0].task is not task:
        server_books.run(server_books.sent.pop(0))
    wakeup = server_books.sent.pop(0)
    run_together(*[lambda: server_books.run(wakeup)] * 4)
    server_books.run_all()
    assert [shares(server_books, user) for user in users] == [(2, 0)] * 4
    assert len(rows(server_books, "SELECT id FROM order_executions")) == 4
    assert server_books.breaches() == []


@pytest.mark.parametrize("seed", range(3))
def test_every_wake_up_twice_in_any_order_by_several_workers(
    server_books: TradingHarness, seed: int
) -> None:
    """Three threads act on every wake-up of every stage, each delivered twice and shuffled, and on sweeps between: all ends well."""
    chance = random.Random(seed)
    users = [server_books.user() for _ in range(3)]
    for code in (SAMSUNG, HYNIX):
        server_books.tick(70_000, code)
        for user in users:
            server_books.place(user, Side.BUY, 10, code)
    server_books.run_all()
    orders = [
        (
            user,
            server_books.place(
                user, chance.choice(list(Side)), 1, chance.choice((SAMSUNG, HYNIX))
            ).id,
        )
        for user in users * 8
    ]
    while server_books.sent or anything_due(server_books):
        mail = server_books.sent * 2
        server_books.sent.clear()
        server_books.clock.advance(seconds=2)
        server_books.tick(70_500)
        server_books.tick(71_000, HYNIX)
        mail += sweep(server_books).wakeups
        chance.shuffle(mail)
        run_together(
            *[lambda part=mail[n::3]: [server_books.run(one) for one in part] for n in range(3)]
        )
    assert {server_books.order(user, order).status for user, order in orders} == {"FILLED"}
    assert server_books.breaches() == []
    assert (
        len(rows(server_books, "SELECT id FROM transactions WHERE execution_id IS NOT NULL"))
        == 6 + 24
    )


def anything_due(books: TradingHarness) -> bool:
    """Whether anything is left to do, told or untold."""
    books.clock.advance(seconds=40)
    return bool(sweep(books).wakeups)
