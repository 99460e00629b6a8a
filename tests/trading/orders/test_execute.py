"""Execution: fills at fresh prices, retries, rejections, batches and idempotency."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.support.servers import Valkey
from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, cash, everything, rows, set_status, shares
from trading.db.ids import new_id
from trading.exchange.order_types import Side
from trading.marketdata.quotes import MarketUnavailable
from trading.orders.execute import ExecutionReport
from trading.orders.model import EndReason, OrderStatus
from trading.orders.tables import OrderRow
from trading.tasks import Task, TaskRequest


def time_to_next_attempt(harness: TradingHarness, order_id: object) -> timedelta:
    """Return the time from now until the sweep dispatches an order."""
    order = harness.core.database.read(lambda session: session.get_one(OrderRow, order_id))
    assert order.next_attempt_at is not None
    return order.next_attempt_at - harness.clock()


def test_fill_stores_its_evidence(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 3)
    tick = harness.tick(70_100, age_ms=1_234)

    report = harness.run(harness.sent.pop())
    assert report == ExecutionReport(filled=1)
    assert report.fills == {("BUY", "market-at-last-trade"): 1}
    assert report.finished == {(OrderStatus.FILLED, None): 1}

    (execution,) = harness.order(user, order.id).executions
    assert (execution.price, execution.tick_price, execution.amount) == (70_100, 70_100, 210_300)
    assert (execution.tick_age_ms, execution.tick_position) == (1_234, str(tick.position))
    assert (execution.tick_traded_at, execution.rule) == (tick.traded_at, "market-at-last-trade")
    assert execution.executed_at == harness.clock()
    assert [request.task for request in harness.sent] == [Task.SETTLE_EXECUTIONS]


def test_fill_above_the_reservation_uses_available_cash(harness: TradingHarness) -> None:
    """The price rose by 5 %."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 10)
    harness.tick(73_500)
    harness.run(harness.sent.pop())
    assert harness.order(user, order.id).reserved_cash == 735_000 + 110
    assert cash(harness, user) == (10_000_000, 735_110)
    assert harness.breaches() == []
    harness.run_all()
    assert cash(harness, user) == (10_000_000 - 735_110, 0)
    assert harness.breaches() == []


def test_unaffordable_fill_is_rejected_and_releases_everything(
    harness: TradingHarness,
) -> None:
    """All cash is reserved at 2 % above the price; at 5 % above it is not enough."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 140)
    harness.tick(73_500)

    report = harness.run(harness.sent.pop())
    assert report == ExecutionReport(ended=1)
    assert report.fills == {}
    assert report.finished == {(OrderStatus.REJECTED, EndReason.INSUFFICIENT_CASH): 1}

    rejected = harness.order(user, order.id)
    assert (rejected.status, rejected.reason, rejected.reserved_cash) == (
        "REJECTED",
        "insufficient-cash",
        0,
    )
    assert (rejected.executions, rejected.finished_at) == ((), harness.clock())
    assert cash(harness, user) == (10_000_000, 0)
    assert harness.sent == []
    assert harness.breaches() == []


@pytest.mark.parametrize(
    ("price", "statuses"), [(73_200, ["FILLED", "REJECTED"]), (74_000, ["REJECTED", "FILLED"])]
)
def test_shortfalls_of_one_account_are_decided_in_sequence(
    harness: TradingHarness, price: int, statuses: list[str]
) -> None:
    """If available cash suffices for the first only, the second is rejected; what a rejected first
    order releases is available to the second.
    """
    user = harness.user()
    harness.tick(70_000)
    orders = [harness.place(user, Side.BUY, 69) for _ in range(2)]
    harness.tick(price)
    harness.run(TaskRequest(Task.EXECUTE_ORDERS, tuple(order.id for order in orders)))
    assert [harness.order(user, order.id).status for order in orders] == statuses
    assert harness.breaches() == []
    harness.sent[:] = [one for one in harness.sent if one.task is Task.SETTLE_EXECUTIONS]
    harness.run_all()
    assert harness.breaches() == []


def test_market_order_enters_the_book_when_the_last_trade_is_stale_at_its_execution(
    harness: TradingHarness,
) -> None:
    """A trade that the matcher passed before that still fills it."""
    user = harness.user()
    harness.tick(70_000, age_ms=10_000)
    order = harness.place(user, Side.BUY, 1)
    harness.tick(70_500)
    harness.match()
    harness.clock.advance(seconds=12)
    harness.tick(71_000)
    harness.match()
    harness.clock.advance(seconds=12)
    assert harness.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport(resting=1)
    assert harness.match().filled == 1
    harness.run_all()
    assert harness.order(user, order.id).executions[0].price == 70_500
    assert harness.breaches() == []


def test_matched_fill_in_a_halt_is_retried_with_growing_backoff(harness: TradingHarness) -> None:
    """The delay is about the time waited so far, at most 32 s."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    harness.tick(69_000)
    assert harness.match().filled == 1
    set_status(harness, "HALTED")
    waits = []
    for waited_s in (1, 3, 4, 12, 12, 968):
        harness.clock.advance(seconds=waited_s)
        assert harness.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport(
            postponed=1
        )
        waits.append(time_to_next_attempt(harness, order.id).total_seconds())
    assert waits == [1, 4, 8, 16, 32, 32]
    assert harness.order(user, order.id).status == "PENDING"
    assert harness.breaches() == []


def test_market_sale_without_a_tick_waits_for_one(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 2)
    harness.core.redis.flushall()
    order = harness.place(user, Side.SELL, 2)
    assert harness.sent == []
    harness.tick(70_000)
    assert harness.match().filled == 1
    harness.run_all()
    assert harness.order(user, order.id).status == "FILLED"


def test_order_in_a_halted_stock_waits(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1)
    set_status(harness, "HALTED")
    assert harness.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport(resting=1)
    harness.tick(71_000)
    assert harness.match().filled == 0
    set_status(harness, "TRADABLE")
    harness.tick(70_500)
    assert harness.match().filled == 1
    harness.run_all()
    assert harness.order(user, order.id).executions[0].price == 70_500


@pytest.mark.parametrize("side", Side)
def test_order_in_a_delisted_stock_is_rejected_and_released(
    harness: TradingHarness, side: Side
) -> None:
    user = harness.user()
    bought(harness, user, 5)
    order = harness.place(user, side, 3)
    set_status(harness, "DELISTED")
    balance = cash(harness, user)[0]

    assert harness.run(harness.sent.pop()) == ExecutionReport(ended=1)

    assert harness.order(user, order.id).reason == "stock-not-tradable"
    assert (cash(harness, user), shares(harness, user)) == ((balance, 0), (5, 0))
    assert harness.breaches() == []


def test_two_rejected_sales_of_one_holding_release_both(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 5)
    for quantity in (2, 3):
        harness.place(user, Side.SELL, quantity)
    set_status(harness, "DELISTED")
    harness.run(harness.sent.pop())
    assert shares(harness, user) == (5, 0)
    assert harness.breaches() == []


def test_task_executes_other_due_orders_too(harness: TradingHarness) -> None:
    """Of any user and stock; their own tasks then change nothing."""
    harness.tick(70_000)
    harness.tick(1_000, HYNIX)
    for code in (SAMSUNG, HYNIX, SAMSUNG):
        harness.place(harness.user(), Side.BUY, 1, code)
    first, *others = harness.sent
    assert harness.run(first) == ExecutionReport(filled=3)
    assert [harness.run(other) for other in others] == [ExecutionReport()] * 2


@pytest.mark.parametrize(("asked", "filled"), [(1, 3), (3, 3), (5, 5)])
def test_batch_size_limits_other_due_orders(
    database_uri: str, valkey_url: str, asked: int, filled: int
) -> None:
    """The orders that the task names are never left out."""
    with opened(settings_for(database_uri, valkey_url, stage_batch_size=3)) as harness:
        user = harness.user()
        harness.tick(70_000)
        orders = [harness.place(user, Side.BUY, 1).id for _ in range(6)]
        harness.sent.clear()
        assert harness.run(
            TaskRequest(Task.EXECUTE_ORDERS, tuple(orders[:asked]))
        ) == ExecutionReport(filled=filled)
        assert all(len(request.ids) <= 3 for request in harness.sent)
        assert sum(len(request.ids) for request in harness.sent) == filled


def test_repeated_or_late_task_changes_nothing(harness: TradingHarness) -> None:
    """The same task again after every later stage, and one for an unknown order."""
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 2)
    request = harness.sent[0]
    harness.run_all()
    before = everything(harness)
    for again in (
        request,
        request,
        TaskRequest(Task.EXECUTE_ORDERS, (new_id(),)),
        TaskRequest(Task.EXECUTE_ORDERS, ()),
    ):
        assert harness.run(again) == ExecutionReport()
    assert everything(harness) == before
    assert harness.sent == []


def test_execution_without_redis_changes_nothing_and_the_order_stays_due(
    harness: TradingHarness, valkey_server: Valkey
) -> None:
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 1)
    request, before = harness.sent.pop(), everything(harness)
    valkey_server.stop()
    try:
        with pytest.raises(MarketUnavailable):
            harness.run(request)
    finally:
        valkey_server.start()
    assert everything(harness) == before
    harness.tick(70_000)
    assert harness.run(request) == ExecutionReport(filled=1)


@pytest.mark.parametrize(
    ("at", "taxes"),
    [
        (datetime(2025, 12, 31, 14, 59, 59, tzinfo=UTC), (0, 1_050)),
        (datetime(2025, 12, 31, 15, 0, tzinfo=UTC), (350, 1_050)),
    ],
)
def test_sale_is_taxed_by_the_day_in_korea(
    harness: TradingHarness, at: datetime, taxes: tuple[int, int]
) -> None:
    harness.clock.now = at
    user = harness.user()
    bought(harness, user, 10)
    sale = harness.place(user, Side.SELL, 10)
    harness.run_all()
    (execution,) = harness.order(user, sale.id).executions
    assert (execution.transaction_tax, execution.rural_tax) == taxes
    assert harness.breaches() == []


def test_batch_needs_the_same_number_of_statements_for_any_number_of_orders(
    harness: TradingHarness,
) -> None:
    harness.tick(70_000)
    counts = []
    for size in (2, 20):
        ids = tuple(harness.place(harness.user(), Side.BUY, 1).id for _ in range(size))
        with statements_counted(harness.core.database.engine) as statements:
            harness.run(TaskRequest(Task.EXECUTE_ORDERS, ids))
        counts.append(len(statements))
    assert counts[0] == counts[1]
    assert len(rows(harness, "SELECT id FROM order_executions")) == 22


def test_pending_fills_are_read_once_and_deleted_in_one_statement(
    harness: TradingHarness,
) -> None:

    def pending_fill_statements(orders: list[UUID]) -> list[str]:
        with statements_counted(harness.core.database.engine) as statements:
            assert harness.run(TaskRequest(Task.EXECUTE_ORDERS, tuple(orders))) == ExecutionReport(
                filled=2
            )
        return [statement.split()[0] for statement in statements if "pending_fills" in statement]

    harness.tick(70_500)
    assert pending_fill_statements(
        [harness.place(harness.user(), Side.BUY, 1).id for _ in range(2)]
    ) == ["SELECT"]
    limited = [harness.place(harness.user(), Side.BUY, 1, limit=70_000).id for _ in range(2)]
    harness.tick(69_900)
    harness.match()
    assert pending_fill_statements(limited) == ["SELECT", "DELETE"]
    assert rows(harness, "SELECT * FROM pending_fills") == []
