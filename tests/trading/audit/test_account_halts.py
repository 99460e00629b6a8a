"""Halts of single accounts: no new orders and no fills, without effect on other accounts."""

from uuid import UUID

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import bought, cash, deposit, sweep, withdraw
from tests.trading.payments.payment_rows import partly_refunded_payment
from trading.accounts.errors import UserNotFound
from trading.audit.account_halts import (
    AccountHaltRequest,
    AccountResumption,
    halt_account,
    resume_account,
)
from trading.db.ids import new_id
from trading.errors import DomainError
from trading.exchange.order_types import Side
from trading.halts.errors import AccountHalted
from trading.halts.model import HaltCause
from trading.halts.records import AccountHaltRecord
from trading.orders.execute import ExecutionReport
from trading.payments.refunds import RequestRefund, request_refund


def halt(harness: TradingHarness, user: UUID) -> AccountHaltRecord:
    return harness.core.run(
        halt_account,
        AccountHaltRequest(
            halt_id=new_id(), user_id=user, cause=HaltCause.ADMINISTRATOR, reason="확인 중"
        ),
    )


def resume(harness: TradingHarness, user: UUID) -> AccountHaltRecord | None:
    return harness.core.run(resume_account, AccountResumption(user_id=user, note="확인했음"))


def status_of(harness: TradingHarness, user: UUID, order_id: UUID) -> str:
    return str(harness.order(user, order_id).status)


def refund(harness: TradingHarness, user: UUID, payment_id: UUID) -> None:
    harness.core.run(
        request_refund,
        RequestRefund(
            refund_id=new_id(),
            payment_id=payment_id,
            user_id=user,
            amount=1,
            reason="변심",
        ),
    )


def test_halted_account_places_no_orders_and_moves_no_cash_out(harness: TradingHarness) -> None:
    """Orders of each side and type, amendments, withdrawals and refunds are refused; deposits and
    cancellations are accepted.
    """
    user, other = harness.user(), harness.user()
    bought(harness, user, 2)
    order = harness.place(user, Side.BUY, 1, limit=60_000)
    payment_id = partly_refunded_payment(harness, user)
    halt(harness, user)
    harness.clock.advance(seconds=5)
    harness.tick(70_000)

    asked = [
        lambda: harness.place(user, Side.BUY, 1),
        lambda: harness.place(user, Side.SELL, 1),
        lambda: harness.place(user, Side.BUY, 1, limit=60_000),
        lambda: harness.amend(user, order.id, limit=61_000),
        lambda: withdraw(harness, user, 1),
        lambda: refund(harness, user, payment_id),
    ]
    for ask in asked:
        with pytest.raises(DomainError) as refused:
            ask()
        assert isinstance(refused.value, AccountHalted)
        assert refused.value.facts == {"since": "2026-11-20T10:00:00+09:00"}

    deposit(harness, user, 1)
    harness.cancel(user, order.id)
    harness.place(other, Side.BUY, 1)
    assert status_of(harness, user, order.id) == "CANCELLED"
    assert harness.breaches() == []


def test_matches_during_a_halt_are_executed_when_it_is_lifted(
    harness: TradingHarness,
) -> None:
    """Resting orders keep their priority: the first matching trade fills each at its price."""
    user, other = harness.user(), harness.user()
    harness.tick(70_500)
    waiting, same = (
        harness.place(user, Side.BUY, 1, limit=70_000),
        harness.place(other, Side.BUY, 1, limit=70_000),
    )
    arrived = harness.place(user, Side.BUY, 1)
    halt(harness, user)
    harness.tick(69_900)
    harness.match()
    harness.run_all()
    assert [status_of(harness, user, one.id) for one in (waiting, arrived)] == [
        "PENDING",
        "PENDING",
    ]
    assert status_of(harness, other, same.id) == "FILLED"
    assert harness.breaches() == []
    # An order postponed by a halt does not count as overdue.
    harness.clock.advance(minutes=30)
    assert sweep(harness).orders == 0

    resume(harness, user)
    harness.tick(71_000)
    harness.run_all()

    first, second = (harness.order(user, one.id).executions[0] for one in (waiting, arrived))
    assert (first.price, first.tick_price, second.price) == (70_000, 69_900, 71_000)
    assert harness.breaches() == []


def test_earlier_fills_are_settled_and_applied_during_a_halt(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 1)
    harness.run(harness.sent.pop())
    halt(harness, user)
    harness.run_all()
    assert cash(harness, user) == (10_000_000 - 70_010, 0)


def test_accepted_order_is_postponed_by_a_halt(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1)
    halt(harness, user)
    assert harness.run(harness.sent.pop()) == ExecutionReport(postponed=1)
    assert harness.sent == []

    resume(harness, user)

    assert [request.ids for request in harness.sent] == [(order.id,)]
    harness.run_all()
    assert status_of(harness, user, order.id) == "FILLED"


def test_second_halt_returns_the_first(harness: TradingHarness) -> None:
    """One request lifts it, the next finds none, and the account can be halted again."""
    user = harness.user()
    first = halt(harness, user)
    harness.clock.advance(seconds=1)
    assert halt(harness, user) == first
    lifted = resume(harness, user)
    assert lifted is not None
    assert (lifted.id, lifted.resumed_at) == (first.id, harness.clock())
    assert resume(harness, user) is None
    assert halt(harness, user).id != first.id


def test_halt_of_an_unknown_account_is_refused(harness: TradingHarness) -> None:
    with pytest.raises(UserNotFound):
        halt(harness, new_id())
