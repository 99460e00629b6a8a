"""Settlement and update of holdings: each fill is settled once and applied once."""

from itertools import pairwise
from uuid import UUID

import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, cash, everything, rows, shares
from trading.db.ids import new_id
from trading.exchange.order_types import Side
from trading.ledger.records import TransactionRecord
from trading.portfolio.transactions import list_transactions
from trading.tasks import Task, TaskRequest


def ledger(harness: TradingHarness, user: UUID) -> tuple[TransactionRecord, ...]:
    page = harness.core.read(list_transactions, user_id=user, limit=100)
    return page.items[::-1]


def executed(harness: TradingHarness, *orders: tuple[UUID, Side, int]) -> TaskRequest:
    """Place and execute orders, and return the task of their settlement."""
    ids = tuple(harness.place(*order).id for order in orders)
    harness.sent.clear()
    harness.run(TaskRequest(Task.EXECUTE_ORDERS, ids))
    return harness.sent.pop()


def test_settlement_spends_the_reservation_and_releases_the_rest(harness: TradingHarness) -> None:
    """One ledger entry with the fill's figures; the update of the holding is dispatched."""
    user = harness.user()
    harness.tick(70_000)
    request = executed(harness, (user, Side.BUY, 10))

    assert harness.run(request) == 1

    _opening, transaction = ledger(harness, user)
    assert (transaction.transaction_type, transaction.amount, transaction.commission) == (
        "BUY",
        700_000,
        105,
    )
    assert (transaction.cash_balance_before, transaction.cash_balance_after) == (
        10_000_000,
        9_299_895,
    )
    assert cash(harness, user) == (9_299_895, 0)
    assert [one.task for one in harness.sent] == [Task.UPDATE_PORTFOLIOS]
    assert shares(harness, user) == (0, 0)
    assert harness.breaches() == []


def test_fills_of_one_account_form_one_chain(harness: TradingHarness) -> None:
    """Each account's ledger entries are numbered and linked without a gap."""
    harness.tick(70_000)
    harness.tick(1_000, HYNIX)
    users = [harness.user(), harness.user()]
    for user in users:
        bought(harness, user, 10)
    request = executed(
        harness,
        *[
            (user, side, quantity)
            for quantity in (1, 2, 3)
            for user in users
            for side in (Side.BUY, Side.SELL)
        ],
    )

    assert harness.run(request) == 12

    for user in users:
        chain = ledger(harness, user)
        assert [one.sequence for one in chain] == list(range(1, 9))
        assert all(
            one.cash_balance_after == two.cash_balance_before for one, two in pairwise(chain)
        )
        assert chain[-1].cash_balance_after == cash(harness, user)[0]
    harness.run_all()
    assert [shares(harness, user) for user in users] == [(10, 0)] * 2
    assert harness.breaches() == []


@pytest.mark.parametrize("task", [Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS])
def test_repeated_stage_changes_nothing(harness: TradingHarness, task: Task) -> None:
    """The same task again, with ids doubled and an unknown one among them."""
    user = harness.user()
    harness.tick(70_000)
    requests = [executed(harness, (user, Side.BUY, 10))]
    harness.run(requests[0])
    requests += harness.sent
    harness.run_all()
    before = everything(harness)
    (request,) = [one for one in requests if one.task is task]
    for ids in (request.ids, request.ids * 2, (*request.ids, new_id()), ()):
        assert harness.run(TaskRequest(task, ids)) == 0
    assert everything(harness) == before
    assert harness.sent == []


def test_duplicate_ids_are_processed_once(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    request = executed(harness, (user, Side.BUY, 10))
    assert harness.run(TaskRequest(request.task, request.ids * 3)) == 1
    (update,) = harness.sent
    assert harness.run(TaskRequest(update.task, update.ids * 3)) == 1
    assert shares(harness, user) == (10, 0)
    assert harness.breaches() == []


def test_nothing_is_applied_before_it_is_settled(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    settle = executed(harness, (user, Side.BUY, 10))
    assert harness.run(TaskRequest(Task.UPDATE_PORTFOLIOS, settle.ids)) == 0
    assert shares(harness, user) == (0, 0)
    harness.run(settle)
    harness.run_all()
    assert shares(harness, user) == (10, 0)


def test_average_cost_of_two_purchases_and_a_sale(harness: TradingHarness) -> None:
    """10 at 70,000 and 10 at 80,000: a sale of 5 removes a quarter of the cost."""
    user = harness.user()
    bought(harness, user, 10, 70_000)
    bought(harness, user, 10, 80_000)
    harness.tick(90_000)
    sale = harness.place(user, Side.SELL, 5)
    harness.run_all()
    (holding,) = rows(
        harness, "SELECT quantity, cost, buy_commission, realized_profit FROM portfolios"
    )
    profit = 450_000 - 67 - 225 - 675 - 375_000 - 56
    assert dict(holding) == {
        "quantity": 15,
        "cost": 1_125_000,
        "buy_commission": 105 + 120 - 56,
        "realized_profit": profit,
    }
    assert harness.order(user, sale.id).executions[0].realized_profit == profit
    assert harness.breaches() == []


def test_sold_out_holding_is_deleted_and_starts_from_zero_when_bought_again(
    harness: TradingHarness,
) -> None:
    user = harness.user()
    bought(harness, user, 3)
    harness.place(user, Side.SELL, 3)
    harness.run_all()
    assert rows(harness, "SELECT quantity FROM portfolios") == []
    assert harness.breaches() == []
    bought(harness, user, 1, 60_000)
    (holding,) = rows(harness, "SELECT quantity, cost, realized_profit FROM portfolios")
    assert tuple(holding.values()) == (1, 60_000, 0)
    assert harness.breaches() == []


def test_purchase_and_sale_of_one_holding_in_one_batch(harness: TradingHarness) -> None:
    """Applied in the order of their fills, the sale at the average before the later purchase."""
    user = harness.user()
    bought(harness, user, 4, 50_000)
    harness.tick(60_000)
    settle = executed(harness, (user, Side.SELL, 4), (user, Side.BUY, 2))
    harness.run(settle)
    harness.run_all()
    (holding,) = rows(
        harness, "SELECT quantity, reserved_quantity, cost, realized_profit FROM portfolios"
    )
    profit = 240_000 - 36 - 120 - 360 - 200_000 - 30
    assert tuple(holding.values()) == (2, 0, 120_000, profit)
    assert harness.breaches() == []


def test_holdings_of_two_stocks_are_separate(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    harness.tick(100_000, HYNIX)
    harness.place(user, Side.BUY, 2)
    harness.place(user, Side.BUY, 3, HYNIX)
    harness.run_all()
    found = rows(harness, "SELECT stock_code, quantity, cost FROM portfolios ORDER BY stock_code")
    assert [tuple(row.values()) for row in found] == [(HYNIX, 3, 300_000), (SAMSUNG, 2, 140_000)]


def test_tasks_of_the_next_stage_are_split_into_batches(database_uri: str, valkey_url: str) -> None:
    with opened(settings_for(database_uri, valkey_url, stage_batch_size=2)) as harness:
        user = harness.user()
        harness.tick(1_000)
        ids = tuple(harness.place(user, Side.BUY, 1).id for _ in range(5))
        harness.sent.clear()
        harness.run(TaskRequest(Task.EXECUTE_ORDERS, ids))
        every = tuple(one for request in harness.sent for one in request.ids)
        harness.sent.clear()
        harness.run(TaskRequest(Task.SETTLE_EXECUTIONS, every))
        assert [len(request.ids) for request in harness.sent] == [2, 2, 1]
        harness.run_all()
        assert shares(harness, user) == (5, 0)


@pytest.mark.parametrize("task", [Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS])
def test_batch_needs_the_same_number_of_statements_for_any_number_of_fills(
    harness: TradingHarness, task: Task
) -> None:
    harness.tick(70_000)
    counts = []
    for size in (2, 12):
        request = executed(harness, *[(harness.user(), Side.BUY, 1) for _ in range(size)])
        if task is Task.UPDATE_PORTFOLIOS:
            harness.run(request)
            request = harness.sent.pop()
        with statements_counted(harness.core.database.engine) as statements:
            assert harness.run(request) == size
        counts.append(len(statements))
        harness.sent.clear()
    assert counts[0] == counts[1]
