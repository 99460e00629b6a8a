"""Stages three and four: cash follows each fill once, shares follow each settlement once."""

from itertools import pairwise
from uuid import UUID

import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, cash, everything, rows, shares
from trading.db.ids import new_id
from trading.exchange.order_types import Side
from trading.ledger.records import TransactionRecord
from trading.portfolio.transactions import transactions_of
from trading.tasks import Task, TaskRequest


def ledger(books: TradingHarness, user: UUID) -> tuple[TransactionRecord, ...]:
    page = books.core.database.read(
        lambda session: transactions_of(session, user_id=user, limit=100)
    )
    return page.items[::-1]


def executed(books: TradingHarness, *orders: tuple[UUID, Side, int]) -> TaskRequest:
    """Place and execute these orders; the wake-up of their settlement."""
    ids = tuple(books.place(*order).id for order in orders)
    books.sent.clear()
    books.run(TaskRequest(Task.EXECUTE_ORDERS, ids))
    return books.sent.pop()


def test_settling_spends_what_was_reserved_and_releases_the_rest(books: TradingHarness) -> None:
    """One Transaction with the fill's figures; nothing of the order stays reserved; the holding's update is woken."""
    user = books.user()
    books.tick(70_000)
    wakeup = executed(books, (user, Side.BUY, 10))

    assert books.run(wakeup) == 1

    _opening, transaction = ledger(books, user)
    assert (transaction.transaction_type, transaction.amount, transaction.commission) == (
        "BUY",
        700_000,
        105,
    )
    assert (transaction.cash_balance_before, transaction.cash_balance_after) == (
        10_000_000,
        9_299_895,
    )
    assert cash(books, user) == (9_299_895, 0)
    assert [one.task for one in books.sent] == [Task.UPDATE_PORTFOLIOS]
    assert shares(books, user) == (0, 0)
    assert books.breaches() == []


def test_several_fills_of_one_account_form_one_chain(books: TradingHarness) -> None:
    """Buys and sales of a batch, two users mixed: each account's Transactions are numbered and linked without a gap."""
    books.tick(70_000)
    books.tick(1_000, HYNIX)
    users = [books.user(), books.user()]
    for user in users:
        bought(books, user, 10)
    wakeup = executed(
        books,
        *[
            (user, side, quantity)
            for quantity in (1, 2, 3)
            for user in users
            for side in (Side.BUY, Side.SELL)
        ],
    )

    assert books.run(wakeup) == 12

    for user in users:
        chain = ledger(books, user)
        assert [one.sequence for one in chain] == list(range(1, 9))
        assert all(
            one.cash_balance_after == two.cash_balance_before for one, two in pairwise(chain)
        )
        assert chain[-1].cash_balance_after == cash(books, user)[0]
    books.run_all()
    assert [shares(books, user) for user in users] == [(10, 0)] * 2
    assert books.breaches() == []


@pytest.mark.parametrize("task", [Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS])
def test_either_stage_run_again_changes_nothing(books: TradingHarness, task: Task) -> None:
    """The same wake-up once more, with its ids doubled and with a strange one among them, finds nothing to do."""
    user = books.user()
    books.tick(70_000)
    wakeups = [executed(books, (user, Side.BUY, 10))]
    books.run(wakeups[0])
    wakeups += books.sent
    books.run_all()
    before = everything(books)
    (wakeup,) = [one for one in wakeups if one.task is task]
    for ids in (wakeup.ids, wakeup.ids * 2, (*wakeup.ids, new_id()), ()):
        assert books.run(TaskRequest(task, ids)) == 0
    assert everything(books) == before
    assert books.sent == []


def test_ids_that_come_twice_are_done_once(books: TradingHarness) -> None:
    """A wake-up that names an execution twice settles and applies it once."""
    user = books.user()
    books.tick(70_000)
    wakeup = executed(books, (user, Side.BUY, 10))
    assert books.run(TaskRequest(wakeup.task, wakeup.ids * 3)) == 1
    (update,) = books.sent
    assert books.run(TaskRequest(update.task, update.ids * 3)) == 1
    assert shares(books, user) == (10, 0)
    assert books.breaches() == []


def test_nothing_is_applied_before_it_is_settled(books: TradingHarness) -> None:
    """A portfolio wake-up that overtakes its settlement does nothing; the settlement wakes it again."""
    user = books.user()
    books.tick(70_000)
    settle = executed(books, (user, Side.BUY, 10))
    assert books.run(TaskRequest(Task.UPDATE_PORTFOLIOS, settle.ids)) == 0
    assert shares(books, user) == (0, 0)
    books.run(settle)
    books.run_all()
    assert shares(books, user) == (10, 0)


def test_the_average_cost_of_two_purchases_and_a_sale(books: TradingHarness) -> None:
    """10 at 70,000 and 10 at 80,000: a sale of 5 takes a quarter of the cost, a half commission, and books its profit."""
    user = books.user()
    bought(books, user, 10, 70_000)
    bought(books, user, 10, 80_000)
    books.tick(90_000)
    sale = books.place(user, Side.SELL, 5)
    books.run_all()
    (holding,) = rows(
        books, "SELECT quantity, cost, buy_commission, realized_profit FROM portfolios"
    )
    profit = 450_000 - 67 - 225 - 675 - 375_000 - 56
    assert dict(holding) == {
        "quantity": 15,
        "cost": 1_125_000,
        "buy_commission": 105 + 120 - 56,
        "realized_profit": profit,
    }
    assert books.order(user, sale.id).executions[0].realized_profit == profit
    assert books.breaches() == []


def test_a_holding_is_deleted_with_its_last_share_and_begins_anew(books: TradingHarness) -> None:
    """Sold out, there is no row; bought again, cost and profit start from nothing while the executions keep the old profit."""
    user = books.user()
    bought(books, user, 3)
    books.place(user, Side.SELL, 3)
    books.run_all()
    assert rows(books, "SELECT quantity FROM portfolios") == []
    assert books.breaches() == []
    bought(books, user, 1, 60_000)
    (holding,) = rows(books, "SELECT quantity, cost, realized_profit FROM portfolios")
    assert tuple(holding.values()) == (1, 60_000, 0)
    assert books.breaches() == []


def test_a_purchase_and_a_sale_of_one_holding_in_a_batch(books: TradingHarness) -> None:
    """Applied together in the order of their fills, the sale at the average before the later purchase."""
    user = books.user()
    bought(books, user, 4, 50_000)
    books.tick(60_000)
    settle = executed(books, (user, Side.SELL, 4), (user, Side.BUY, 2))
    books.run(settle)
    books.run_all()
    (holding,) = rows(
        books, "SELECT quantity, reserved_quantity, cost, realized_profit FROM portfolios"
    )
    profit = 240_000 - 36 - 120 - 360 - 200_000 - 30
    assert tuple(holding.values()) == (2, 0, 120_000, profit)
    assert books.breaches() == []


def test_holdings_of_two_stocks_do_not_mix(books: TradingHarness) -> None:
    """One batch, one user, two stocks: a holding for each with its own cost."""
    user = books.user()
    books.tick(70_000)
    books.tick(100_000, HYNIX)
    books.place(user, Side.BUY, 2)
    books.place(user, Side.BUY, 3, HYNIX)
    books.run_all()
    found = rows(books, "SELECT stock_code, quantity, cost FROM portfolios ORDER BY stock_code")
    assert [tuple(row.values()) for row in found] == [(HYNIX, 3, 300_000), (SAMSUNG, 2, 140_000)]


def test_wake_ups_of_the_next_stage_are_cut_into_batches(
    database_uri: str, valkey_url: str
) -> None:
    """More fills than a batch holds are told in several wake-ups, each of them once."""
    with opened(settings_for(database_uri, valkey_url, stage_batch_size=2)) as books:
        user = books.user()
        books.tick(1_000)
        ids = tuple(books.place(user, Side.BUY, 1).id for _ in range(5))
        books.sent.clear()
        books.run(TaskRequest(Task.EXECUTE_ORDERS, ids))
        every = tuple(one for wakeup in books.sent for one in wakeup.ids)
        books.sent.clear()
        books.run(TaskRequest(Task.SETTLE_EXECUTIONS, every))
        assert [len(wakeup.ids) for wakeup in books.sent] == [2, 2, 1]
        books.run_all()
        assert shares(books, user) == (5, 0)


@pytest.mark.parametrize("task", [Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS])
def test_a_batch_costs_the_same_statements_however_many_fills(
    books: TradingHarness, task: Task
) -> None:
    """Twelve fills of twelve users need as many statements as two."""
    books.tick(70_000)
    counts = []
    for size in (2, 12):
        wakeup = executed(books, *[(books.user(), Side.BUY, 1) for _ in range(size)])
        if task is Task.UPDATE_PORTFOLIOS:
            books.run(wakeup)
            wakeup = books.sent.pop()
        with statements_counted(books.core.database.engine) as statements:
            assert books.run(wakeup) == size
        counts.append(len(statements))
        books.sent.clear()
    assert counts[0] == counts[1]
