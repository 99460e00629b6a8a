"""Tests of trading halts.

During a halt no order is accepted, amended or filled. Trades of a halt fill nothing afterwards
either. Open orders outlast the halt.
"""

from uuid import UUID

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import bought, cancel_all, cash, halt, resume, rows, sweep
from trading.db.ids import new_id
from trading.exchange.order_types import Side, TimeInForce
from trading.halts import trading
from trading.halts.errors import TradingHalted
from trading.halts.records import HaltRecord
from trading.orders.execute import ExecutionReport
from trading.orders.match import MatchReport
from trading.tasks import Task, TaskRequest

SINCE = {"since": "2026-11-20T10:00:00+09:00"}


def status_of(harness: TradingHarness, user: UUID, order_id: UUID) -> str:
    return str(harness.order(user, order_id).status)


def test_halt_refuses_new_orders_and_amendments_but_not_cancellations(
    harness: TradingHarness,
) -> None:
    """The error's facts contain the start of the halt."""
    user = harness.user()
    bought(harness, user, 2)
    order = harness.place(user, Side.BUY, 1, limit=60_000)
    halt(harness, user)
    harness.clock.advance(seconds=5)
    harness.tick(70_000)
    for side in Side:
        for limit in (None, 70_000):
            with pytest.raises(TradingHalted) as refused:
                harness.place(user, side, 1, limit=limit)
            assert refused.value.facts == SINCE
    with pytest.raises(TradingHalted):
        harness.amend(user, order.id, limit=61_000)
    harness.cancel(user, order.id)
    assert status_of(harness, user, order.id) == "CANCELLED"
    assert harness.breaches() == []


def test_market_order_is_filled_by_the_first_trade_after_the_halt(
    harness: TradingHarness,
) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1)
    request = harness.sent.pop()
    halt(harness, user)
    harness.clock.advance(seconds=1)
    harness.tick(71_000)
    assert harness.run(request) == ExecutionReport(resting=1)
    harness.clock.advance(seconds=1)
    resume(harness, user)
    harness.match()
    assert harness.sent == []
    harness.tick(70_500)
    harness.match()
    harness.run_all()
    assert harness.order(user, order.id).executions[0].price == 70_500
    assert harness.breaches() == []


@pytest.mark.parametrize("scans", [True, False])
def test_trades_of_a_halt_fill_nothing_during_or_after_it(
    harness: TradingHarness, scans: bool
) -> None:
    """The result is the same whether the matcher reads them during the halt or after it.

    Trades before and after the halt fill.
    """
    user = harness.user()
    harness.tick(70_500)
    first, second = (harness.place(user, Side.BUY, 1, limit=limit) for limit in (70_000, 69_000))
    harness.tick(70_000)
    harness.clock.advance(seconds=1)
    if scans:
        harness.match()
    halt(harness, user)
    harness.clock.advance(seconds=1)
    harness.tick(68_000)
    if scans:
        assert harness.match() == MatchReport(ticks=1)
    harness.clock.advance(seconds=1)
    resume(harness, user)
    harness.match()
    harness.run_all()
    assert [status_of(harness, user, one.id) for one in (first, second)] == ["FILLED", "PENDING"]
    harness.tick(69_000)
    assert harness.match().filled == 1
    assert harness.breaches() == []


def test_match_found_before_a_halt_is_executed_after_it(harness: TradingHarness) -> None:
    """The execution is postponed during the halt; the recovery sweep dispatches it afterwards."""
    user = harness.user()
    harness.tick(70_500)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.tick(69_900)
    harness.match()
    halt(harness, user)
    assert harness.run(harness.sent.pop()) == ExecutionReport(postponed=1)
    assert harness.breaches() == []
    harness.clock.advance(minutes=10)
    resume(harness, user)
    harness.sent += sweep(harness).requests
    harness.run_all()
    assert status_of(harness, user, order.id) == "FILLED"


def test_fills_before_a_halt_are_settled_during_it(harness: TradingHarness) -> None:
    """Cash and holdings are updated despite the halt."""
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 1)
    harness.run(harness.sent.pop())
    halt(harness, user)
    harness.run_all()
    assert cash(harness, user) == (10_000_000 - 70_010, 0)
    assert rows(harness, "SELECT id FROM order_executions WHERE applied_at IS NULL") == []


def test_ioc_order_overtaken_by_a_halt_is_cancelled_afterwards(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=70_000, time_in_force=TimeInForce.IOC)
    halt(harness, user)
    assert harness.run(harness.sent[0]) == ExecutionReport(postponed=1)
    harness.clock.advance(seconds=40)
    resume(harness, user)
    harness.tick(70_000)
    assert harness.run(TaskRequest(Task.EXECUTE_ORDERS, (order.id,))) == ExecutionReport(ended=1)
    assert (status_of(harness, user, order.id), cash(harness, user)[1]) == ("CANCELLED", 0)


def test_cancel_all_works_during_a_halt_and_releases_all_cash(harness: TradingHarness) -> None:
    """It cancels resting orders, due orders and orders whose matches are not executed yet."""
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 1)
    harness.place(user, Side.BUY, 1, limit=60_000)
    harness.place(user, Side.BUY, 1, limit=69_900)
    harness.tick(69_900)
    harness.match()
    halt(harness, user)
    assert len(cancel_all(harness, user)) == 3
    assert cash(harness, user) == (10_000_000, 0)
    resume(harness, user)
    harness.run_all()
    assert harness.breaches() == []
    assert rows(harness, "SELECT * FROM pending_fills") == []


def test_repeated_halt_returns_the_running_halt(harness: TradingHarness) -> None:
    """Resuming ends it; resuming again returns None."""
    user = harness.user()

    def request_halt(reason: str) -> HaltRecord:
        command = trading.HaltRequest(halt_id=new_id(), by=user, reason=reason)
        return harness.core.run(trading.halt_trading, command)

    first = request_halt("시세 이상")
    harness.clock.advance(seconds=1)
    assert request_halt("다른 이유") == first
    lifted = harness.core.run(trading.resume_trading, by=user)
    assert lifted is not None
    assert (lifted.id, lifted.resumed_at) == (first.id, harness.clock())
    assert harness.core.run(trading.resume_trading, by=user) is None
    assert request_halt("또").id != first.id
