"""Races of real threads on MariaDB: whoever is first, the books are right."""

import random
from collections.abc import Callable
from uuid import UUID

import pytest

from tests.books import HYNIX, SAMSUNG, Books
from tests.trading.steps import bought, cash, deposit, rows, shares, sweep, withdraw
from tests.trading.threads import outcome, run_together
from trading.queue import Task, Wakeup
from trading.rules.errors import ClientOrderIdTaken, InsufficientCash, InsufficientQuantity
from trading.rules.orders import Side
from trading.rules.records import OrderRecord

REFUSALS = (InsufficientCash, InsufficientQuantity, ClientOrderIdTaken)


def placing(
    books: Books, user: UUID, side: Side, quantity: int, **more: str
) -> Callable[[], object]:
    return outcome(lambda: books.place(user, side, quantity, **more), *REFUSALS)


def accepted(results: list[object]) -> int:
    return sum(isinstance(result, OrderRecord) for result in results)


def test_ten_buys_of_the_whole_balance(mariadb_books: Books) -> None:
    """Exactly one is accepted; the others are told that nothing is left."""
    user = mariadb_books.user()
    mariadb_books.tick(70_000)
    results = run_together(*[placing(mariadb_books, user, Side.BUY, 140)] * 10)
    assert accepted(results) == 1
    mariadb_books.run_all()
    assert shares(mariadb_books, user) == (140, 0)
    assert mariadb_books.breaches() == []


def test_ten_sales_of_the_whole_holding(mariadb_books: Books) -> None:
    """Shares are sold once."""
    user = mariadb_books.user()
    bought(mariadb_books, user, 10)
    results = run_together(*[placing(mariadb_books, user, Side.SELL, 10)] * 10)
    assert accepted(results) == 1
    mariadb_books.run_all()
    assert shares(mariadb_books, user) == (0, 0)
    assert mariadb_books.breaches() == []


def test_ten_orders_with_one_client_order_id(mariadb_books: Books) -> None:
    """One order, one reservation."""
    user = mariadb_books.user()
    mariadb_books.tick(70_000)
    results = run_together(
        *[placing(mariadb_books, user, Side.BUY, 1, client_order_id="mine")] * 10
    )
    assert accepted(results) == 1
    assert cash(mariadb_books, user)[1] == 71_410
    assert mariadb_books.breaches() == []


def test_twenty_deposits_at_once(mariadb_books: Books) -> None:
    """Every won arrives, and the Transactions form one chain."""
    user = mariadb_books.user()
    run_together(*[lambda: deposit(mariadb_books, user, 1_000)] * 20)
    assert cash(mariadb_books, user) == (10_020_000, 0)
    assert mariadb_books.breaches() == []


def test_orders_and_withdrawals_compete_for_one_balance(mariadb_books: Books) -> None:
    """Whatever is accepted fits into the cash; nothing is both withdrawn and reserved."""
    user = mariadb_books.user()
    mariadb_books.tick(70_000)
    works = [placing(mariadb_books, user, Side.BUY, 40) for _ in range(6)]
    works += [
        outcome(lambda: withdraw(mariadb_books, user, 3_000_000), *REFUSALS) for _ in range(6)
    ]
    results = run_together(*works)
    assert sum(not isinstance(result, Exception) for result in results) == 3
    mariadb_books.run_all()
    assert mariadb_books.breaches() == []


def test_the_first_purchase_by_two_workers_at_once(mariadb_books: Books) -> None:
    """Neither finds a holding, both open it: the shares of both are in it."""
    for _ in range(5):
        user = mariadb_books.user()
        mariadb_books.tick(70_000)
        updates = []
        for quantity in (1, 2):
            mariadb_books.place(user, Side.BUY, quantity)
            for _stage in range(2):
                mariadb_books.run(mariadb_books.sent.pop())
            updates.append(mariadb_books.sent.pop())
        run_together(*[lambda update=update: mariadb_books.run(update) for update in updates])
        assert shares(mariadb_books, user) == (3, 0)
    assert mariadb_books.breaches() == []


def test_a_sale_meets_the_settlement_of_a_purchase(mariadb_books: Books) -> None:
    """A holding sold out by one worker while another adds to it ends with what was added."""
    for _ in range(5):
        user = mariadb_books.user()
        bought(mariadb_books, user, 5)
        updates = []
        for side in (Side.SELL, Side.BUY):
            mariadb_books.place(user, side, 5)
            for _stage in range(2):
                mariadb_books.run(mariadb_books.sent.pop())
            updates.append(mariadb_books.sent.pop())
        run_together(*[lambda update=update: mariadb_books.run(update) for update in updates])
        assert shares(mariadb_books, user) == (5, 0)
    assert mariadb_books.breaches() == []


@pytest.mark.parametrize(
    "task", [Task.EXECUTE_ORDERS, Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS]
)
def test_one_wake_up_to_four_workers_at_once(mariadb_books: Books, task: Task) -> None:
    """The same batch delivered four times: the rows are done once."""
    users = [mariadb_books.user() for _ in range(4)]
    mariadb_books.tick(70_000)
    ids = tuple(mariadb_books.place(user, Side.BUY, 2).id for user in users)
    mariadb_books.sent[:] = [Wakeup(Task.EXECUTE_ORDERS, ids)]
    while mariadb_books.sent[0].task is not task:
        mariadb_books.run(mariadb_books.sent.pop(0))
    wakeup = mariadb_books.sent.pop(0)
    run_together(*[lambda: mariadb_books.run(wakeup)] * 4)
    mariadb_books.run_all()
    assert [shares(mariadb_books, user) for user in users] == [(2, 0)] * 4
    assert len(rows(mariadb_books, "SELECT id FROM order_executions")) == 4
    assert mariadb_books.breaches() == []


@pytest.mark.parametrize("seed", range(3))
def test_every_wake_up_twice_in_any_order_by_several_workers(
    mariadb_books: Books, seed: int
) -> None:
    """Three threads act on every wake-up of every stage, each delivered twice and shuffled, and on sweeps between: all ends well."""
    chance = random.Random(seed)
    users = [mariadb_books.user() for _ in range(3)]
    for code in (SAMSUNG, HYNIX):
        mariadb_books.tick(70_000, code)
        for user in users:
            mariadb_books.place(user, Side.BUY, 10, code)
    mariadb_books.run_all()
    orders = [
        (
            user,
            mariadb_books.place(
                user, chance.choice(list(Side)), 1, chance.choice((SAMSUNG, HYNIX))
            ).id,
        )
        for user in users * 8
    ]
    while mariadb_books.sent or anything_due(mariadb_books):
        mail = mariadb_books.sent * 2
        mariadb_books.sent.clear()
        mariadb_books.clock.advance(seconds=2)
        mariadb_books.tick(70_500)
        mariadb_books.tick(71_000, HYNIX)
        mail += sweep(mariadb_books).wakeups
        chance.shuffle(mail)
        run_together(
            *[lambda part=mail[n::3]: [mariadb_books.run(one) for one in part] for n in range(3)]
        )
    assert {mariadb_books.order(user, order).status for user, order in orders} == {"FILLED"}
    assert mariadb_books.breaches() == []
    assert (
        len(rows(mariadb_books, "SELECT id FROM transactions WHERE execution_id IS NOT NULL"))
        == 6 + 24
    )


def anything_due(books: Books) -> bool:
    """Whether anything is left to do, told or untold."""
    books.clock.advance(seconds=40)
    return bool(sweep(books).wakeups)
