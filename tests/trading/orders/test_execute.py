"""Stage two: fills at fresh prices, waits, rejections; batches, and nothing twice."""

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
from trading.orders.tables import Order
from trading.tasks import Task, TaskRequest


def wait_of(books: TradingHarness, order_id: object) -> timedelta:
    """How long from now until the sweep wakes an order."""
    order = books.core.database.read(lambda session: session.get_one(Order, order_id))
    assert order.next_attempt_at is not None
    return order.next_attempt_at - books.clock()


def test_a_fill_keeps_its_evidence(books: TradingHarness) -> None:
    """The execution tells the tick that it used, that tick's age at the fill, its place in the stream, and the rule."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 3)
    tick = books.tick(70_100, age_ms=1_234)

    report = books.run(books.sent.pop())
    assert report == ExecutionReport(filled=1)
    assert report.fills == {("BUY", "market-at-last-trade"): 1}
    assert report.over == {(OrderStatus.FILLED, None): 1}

    (execution,) = books.order(user, order.id).executions
    assert (execution.price, execution.tick_price, execution.amount) == (70_100, 70_100, 210_300)
    assert (execution.tick_age_ms, execution.tick_position) == (1_234, str(tick.position))
    assert (execution.tick_traded_at, execution.rule) == (tick.traded_at, "market-at-last-trade")
    assert execution.executed_at == books.clock()
    assert [wakeup.task for wakeup in books.sent] == [Task.SETTLE_EXECUTIONS]


def test_a_fill_above_the_reservation_takes_from_what_is_available(books: TradingHarness) -> None:
    """The price rose by 5 %: the rest comes from free cash at once, and all is spent to the won."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 10)
    books.tick(73_500)
    books.run(books.sent.pop())
    assert books.order(user, order.id).reserved_cash == 735_000 + 110
    assert cash(books, user) == (10_000_000, 735_110)
    assert books.breaches() == []
    books.run_all()
    assert cash(books, user) == (10_000_000 - 735_110, 0)
    assert books.breaches() == []


def test_a_fill_that_nobody_can_pay_is_rejected_and_everything_released(
    books: TradingHarness,
) -> None:
    """All cash is set aside at 2 % above; at 5 % above it does not suffice: rejected with the reason, not a won kept."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 140)
    books.tick(73_500)

    report = books.run(books.sent.pop())
    assert report == ExecutionReport(ended=1)
    assert report.fills == {}
    assert report.over == {(OrderStatus.REJECTED, EndReason.INSUFFICIENT_CASH): 1}

    rejected = books.order(user, order.id)
    assert (rejected.status, rejected.reason, rejected.reserved_cash) == (
        "REJECTED",
        "insufficient-cash",
        0,
    )
    assert (rejected.executions, rejected.finished_at) == ((), books.clock())
    assert cash(books, user) == (10_000_000, 0)
    assert books.sent == []
    assert books.breaches() == []


@pytest.mark.parametrize(
    ("price", "statuses"), [(73_200, ["FILLED", "REJECTED"]), (74_000, ["REJECTED", "FILLED"])]
)
def test_shortfalls_of_one_account_are_decided_one_after_the_other(
    books: TradingHarness, price: int, statuses: list[str]
) -> None:
    """Where free cash suffices for the first alone the second is rejected; what a rejected first releases is there for the second."""
    user = books.user()
    books.tick(70_000)
    orders = [books.place(user, Side.BUY, 69) for _ in range(2)]
    books.tick(price)
    books.run(TaskRequest(Task.EXECUTE_ORDERS, tuple(order.id for order in orders)))
    assert [books.order(user, order.id).status for order in orders] == statuses
    assert books.breaches() == []
    books.sent[:] = [one for one in books.sent if one.task is Task.SETTLE_EXECUTIONS]
    books.run_all()
    assert books.breaches() == []


def test_a_stale_tick_puts_off_with_longer_and_longer_waits(books: TradingHarness) -> None:
    """The order stays open and is looked at again after about as long as it has waited, at most 32 s."""
    user = books.user()
    books.tick(70_000, age_ms=10_000)
    order = books.place(user, Side.BUY, 1)
    waits = []
    for waited_s in (1, 3, 4, 12, 12, 968):
        books.clock.advance(seconds=waited_s)
        assert books.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport(
            postponed=1
        )
        waits.append(wait_of(books, order.id).total_seconds())
    assert waits == [1, 4, 8, 16, 32, 32]
    assert books.order(user, order.id).status == "PENDING"
    assert books.breaches() == []


def test_a_sale_without_a_price_waits_for_one(books: TradingHarness) -> None:
    """No tick at all: put off; with a fresh one it fills."""
    user = books.user()
    bought(books, user, 2)
    books.core.redis.flushall()
    order = books.place(user, Side.SELL, 2)
    assert books.run(books.sent.pop()) == ExecutionReport(postponed=1)
    books.tick(70_000)
    assert books.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport(filled=1)


def test_an_order_in_a_halted_stock_waits(books: TradingHarness) -> None:
    """Halted after acceptance: put off though there is a fresh tick; filled when trading goes on."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1)
    set_status(books, "HALTED")
    assert books.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport(postponed=1)
    set_status(books, "TRADABLE")
    assert books.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport(filled=1)


@pytest.mark.parametrize("side", Side)
def test_an_order_in_a_delisted_stock_is_rejected_and_released(
    books: TradingHarness, side: Side
) -> None:
    """Cash of a buy and shares of a sale are free again, and the order says why."""
    user = books.user()
    bought(books, user, 5)
    order = books.place(user, side, 3)
    set_status(books, "DELISTED")
    balance = cash(books, user)[0]

    assert books.run(books.sent.pop()) == ExecutionReport(ended=1)

    assert books.order(user, order.id).reason == "stock-not-tradable"
    assert (cash(books, user), shares(books, user)) == ((balance, 0), (5, 0))
    assert books.breaches() == []


def test_two_rejected_sales_of_one_holding_release_both(books: TradingHarness) -> None:
    """Each gives back its own shares."""
    user = books.user()
    bought(books, user, 5)
    for quantity in (2, 3):
        books.place(user, Side.SELL, quantity)
    set_status(books, "DELISTED")
    books.run(books.sent.pop())
    assert shares(books, user) == (5, 0)
    assert books.breaches() == []


def test_a_wake_up_takes_other_due_orders_along(books: TradingHarness) -> None:
    """One wake-up fills what else is due, of any user and stock; their own wake-ups then find nothing."""
    books.tick(70_000)
    books.tick(1_000, HYNIX)
    for code in (SAMSUNG, HYNIX, SAMSUNG):
        books.place(books.user(), Side.BUY, 1, code)
    first, *others = books.sent
    assert books.run(first) == ExecutionReport(filled=3)
    assert [books.run(other) for other in others] == [ExecutionReport()] * 2


@pytest.mark.parametrize(("asked", "filled"), [(1, 3), (3, 3), (5, 5)])
def test_a_batch_is_bounded(database_uri: str, valkey_url: str, asked: int, filled: int) -> None:
    """It fills up to its size with other due orders and never more, but leaves none out that it was asked for."""
    with opened(settings_for(database_uri, valkey_url, stage_batch_size=3)) as books:
        user = books.user()
        books.tick(70_000)
        orders = [books.place(user, Side.BUY, 1).id for _ in range(6)]
        books.sent.clear()
        assert books.run(
            TaskRequest(Task.EXECUTE_ORDERS, tuple(orders[:asked]))
        ) == ExecutionReport(filled=filled)
        assert all(len(wakeup.ids) <= 3 for wakeup in books.sent)
        assert sum(len(wakeup.ids) for wakeup in books.sent) == filled


def test_run_twice_late_or_for_nothing_it_changes_nothing_more(books: TradingHarness) -> None:
    """The same wake-up again, after every later stage, and one for an order that never was."""
    user = books.user()
    books.tick(70_000)
    books.place(user, Side.BUY, 2)
    wakeup = books.sent[0]
    books.run_all()
    before = everything(books)
    for again in (
        wakeup,
        wakeup,
        TaskRequest(Task.EXECUTE_ORDERS, (new_id(),)),
        TaskRequest(Task.EXECUTE_ORDERS, ()),
    ):
        assert books.run(again) == ExecutionReport()
    assert everything(books) == before
    assert books.sent == []


def test_without_redis_nothing_changes_and_the_order_stays_due(
    books: TradingHarness, valkey_server: Valkey
) -> None:
    """The market is away: the work fails by its name, the order is as it was, and fills when the market is back."""
    user = books.user()
    books.tick(70_000)
    books.place(user, Side.BUY, 1)
    wakeup, before = books.sent.pop(), everything(books)
    valkey_server.stop()
    try:
        with pytest.raises(MarketUnavailable):
            books.run(wakeup)
    finally:
        valkey_server.start()
    assert everything(books) == before
    books.tick(70_000)
    assert books.run(wakeup) == ExecutionReport(filled=1)


@pytest.mark.parametrize(
    ("at", "taxes"),
    [
        (datetime(2025, 12, 31, 14, 59, 59, tzinfo=UTC), (0, 1_050)),
        (datetime(2025, 12, 31, 15, 0, tzinfo=UTC), (350, 1_050)),
    ],
)
def test_a_sale_is_taxed_by_the_day_in_korea(
    books: TradingHarness, at: datetime, taxes: tuple[int, int]
) -> None:
    """A second before Korea's new year the old rate applies, at its first moment the new one."""
    books.clock.now = at
    user = books.user()
    bought(books, user, 10)
    sale = books.place(user, Side.SELL, 10)
    books.run_all()
    (execution,) = books.order(user, sale.id).executions
    assert (execution.transaction_tax, execution.rural_tax) == taxes
    assert books.breaches() == []


def test_a_batch_costs_the_same_statements_however_many_orders(books: TradingHarness) -> None:
    """Twenty fills of twenty users need as many statements as two."""
    books.tick(70_000)
    counts = []
    for size in (2, 20):
        ids = tuple(books.place(books.user(), Side.BUY, 1).id for _ in range(size))
        with statements_counted(books.core.database.engine) as statements:
            books.run(TaskRequest(Task.EXECUTE_ORDERS, ids))
        counts.append(len(statements))
    assert counts[0] == counts[1]
    assert len(rows(books, "SELECT id FROM order_executions")) == 22


def test_what_the_matcher_found_is_asked_for_once_and_deleted_without_asking_again(
    books: TradingHarness,
) -> None:
    """A batch of market orders only asks whether something was found for them; one of limit orders that were met deletes it in one statement."""

    def of_touches(orders: list[UUID]) -> list[str]:
        with statements_counted(books.core.database.engine) as statements:
            assert books.run(TaskRequest(Task.EXECUTE_ORDERS, tuple(orders))) == ExecutionReport(
                filled=2
            )
        return [statement.split()[0] for statement in statements if "pending_fills" in statement]

    books.tick(70_500)
    assert of_touches([books.place(books.user(), Side.BUY, 1).id for _ in range(2)]) == ["SELECT"]
    limited = [books.place(books.user(), Side.BUY, 1, limit=70_000).id for _ in range(2)]
    books.tick(69_900)
    books.match()
    assert of_touches(limited) == ["SELECT", "DELETE"]
    assert rows(books, "SELECT * FROM pending_fills") == []
