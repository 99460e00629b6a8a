"""What use cases receive: events, messages, market hours, and runs that write nothing."""

from uuid import UUID

import pytest
from sqlalchemy import select, text

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import events
from trading.account_events.new_events import NewEvent, holding_event
from trading.ledger.tables import VIRTUAL_BALANCES
from trading.unit_of_work import UnitOfWork


def event_of(uow: UnitOfWork, user: UUID, quantity: int) -> NewEvent:
    return holding_event(
        {
            "user_id": user,
            "stock_code": "A005930",
            "quantity": quantity,
            "cost": 70_000 * quantity,
            "realized_profit": 0,
            "updated_at": uow.now,
        }
    )


def emit_two(uow: UnitOfWork, users: list[UUID]) -> None:
    for quantity in (1, 2):
        for user in users:
            uow.emit(event_of(uow, user, quantity))


def test_emitted_events_are_numbered_per_user_in_the_order_of_emission(
    harness: TradingHarness,
) -> None:
    users = [harness.user(), harness.user()]
    before = {user: len(events(harness, user)) for user in users}
    harness.core.run(emit_two, users)
    for user in users:
        emitted = events(harness, user, after=before[user])
        assert [(event.id, event.data["quantity"]) for event in emitted] == [
            (before[user] + 1, 1),
            (before[user] + 2, 2),
        ]


def test_events_of_a_failed_use_case_are_not_written(harness: TradingHarness) -> None:
    user = harness.user()
    before = events(harness, user)

    def fail(uow: UnitOfWork) -> None:
        emit_two(uow, [user])
        raise LookupError

    with pytest.raises(LookupError):
        harness.core.run(fail)
    assert events(harness, user) == before
    harness.core.run(emit_two, [user])
    assert [event.id for event in events(harness, user)] == list(range(1, len(before) + 3))


def test_market_hours_are_refused_after_the_first_statement(harness: TradingHarness) -> None:
    def ask_late(uow: UnitOfWork) -> None:
        uow.session.execute(text("SELECT 1"))
        assert uow.hours

    def ask_twice(uow: UnitOfWork) -> bool:
        hours = uow.hours
        uow.session.execute(text("SELECT 1"))
        return uow.hours is hours

    with pytest.raises(RuntimeError, match="before the first statement"):
        harness.core.run(ask_late)
    assert harness.core.run(ask_twice)


def test_dry_run_returns_the_result_and_commits_nothing(harness: TradingHarness) -> None:
    user = harness.user()
    cash = select(VIRTUAL_BALANCES.c.cash_balance).where(VIRTUAL_BALANCES.c.user_id == user)

    def read_cash(uow: UnitOfWork, added: int) -> int:
        emit_two(uow, [user])
        return int(uow.session.execute(cash).scalar_one()) + added

    before = events(harness, user)
    held = harness.do(lambda session: session.execute(cash).scalar_one())
    assert harness.core.dry_run(read_cash, 1) == held + 1
    assert events(harness, user) == before
