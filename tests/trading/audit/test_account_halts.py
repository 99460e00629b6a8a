"""Halts of single accounts: nothing new of one is accepted and nothing of it filled, and no other account notices."""

from uuid import UUID

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import bought, cash, deposit, do, sweep, withdraw
from tests.trading.payments.payment_rows import partly_refunded_payment
from trading.accounts.errors import UserNotFound
from trading.audit.account_halts import halt_account, resume_account
from trading.db.ids import new_id
from trading.errors import DomainError
from trading.exchange.order_types import Side
from trading.halts.errors import AccountHalted
from trading.halts.model import HaltCause
from trading.halts.records import AccountHaltRecord
from trading.orders.execute import ExecutionReport
from trading.payments.refunds import request_refund


def halt(books: TradingHarness, user: UUID) -> AccountHaltRecord:
    return do(
        books,
        lambda session: halt_account(
            session,
            user,
            halt_id=new_id(),
            cause=HaltCause.ADMINISTRATOR,
            reason="확인 중",
            by=None,
            now=books.clock(),
        ),
    )


def resume(books: TradingHarness, user: UUID) -> AccountHaltRecord | None:
    return do(
        books,
        lambda session: resume_account(
            session, user, by=None, note="확인했음", settings=books.settings, now=books.clock()
        ),
    )


def status_of(books: TradingHarness, user: UUID, order_id: UUID) -> str:
    return str(books.order(user, order_id).status)


def refund(books: TradingHarness, user: UUID, payment_id: UUID) -> None:
    do(
        books,
        lambda session: request_refund(
            session,
            refund_id=new_id(),
            payment_id=payment_id,
            user_id=user,
            amount=1,
            words="변심",
            settings=books.settings,
            now=books.clock(),
        ),
    )


def test_nothing_goes_out_and_nothing_new_is_accepted(books: TradingHarness) -> None:
    """Orders of either side and type, amendments, withdrawals and refunds are refused with the time of the halt; cash comes in, orders are cancelled."""
    user, other = books.user(), books.user()
    bought(books, user, 2)
    order = books.place(user, Side.BUY, 1, limit=60_000)
    payment_id = partly_refunded_payment(books, user)
    halt(books, user)
    books.clock.advance(seconds=5)
    books.tick(70_000)

    asked = [
        lambda: books.place(user, Side.BUY, 1),
        lambda: books.place(user, Side.SELL, 1),
        lambda: books.place(user, Side.BUY, 1, limit=60_000),
        lambda: books.amend(user, order.id, limit=61_000),
        lambda: withdraw(books, user, 1),
        lambda: refund(books, user, payment_id),
    ]
    for ask in asked:
        with pytest.raises(DomainError) as refused:
            ask()
        assert isinstance(refused.value, AccountHalted)
        assert refused.value.facts == {"since": "2026-11-20T10:00:00+09:00"}

    deposit(books, user, 1)
    books.cancel(user, order.id)
    books.place(other, Side.BUY, 1)
    assert status_of(books, user, order.id) == "CANCELLED"
    assert books.breaches() == []


def test_what_trades_fill_meanwhile_is_recorded_when_the_halt_is_lifted(
    books: TradingHarness,
) -> None:
    """Orders that wait keep their place: the first trade that met each fills it, at its price, once the account may trade again."""
    user, other = books.user(), books.user()
    books.tick(70_500)
    waiting, same = (
        books.place(user, Side.BUY, 1, limit=70_000),
        books.place(other, Side.BUY, 1, limit=70_000),
    )
    arrived = books.place(user, Side.BUY, 1)
    halt(books, user)
    books.tick(69_900)
    books.match()
    books.run_all()
    assert [status_of(books, user, one.id) for one in (waiting, arrived)] == ["PENDING", "PENDING"]
    assert status_of(books, other, same.id) == "FILLED"
    assert books.breaches() == []
    # What is put off for a halt is no work that somebody forgot.
    books.clock.advance(minutes=30)
    assert sweep(books).orders == 0

    resume(books, user)
    books.tick(71_000)
    books.run_all()

    first, second = (books.order(user, one.id).executions[0] for one in (waiting, arrived))
    assert (first.price, first.tick_price, second.price) == (70_000, 69_900, 71_000)
    assert books.breaches() == []


def test_fills_from_before_a_halt_are_settled_and_booked_in_it(books: TradingHarness) -> None:
    """Cash and shares follow what is filled."""
    user = books.user()
    books.tick(70_000)
    books.place(user, Side.BUY, 1)
    books.run(books.sent.pop())
    halt(books, user)
    books.run_all()
    assert cash(books, user) == (10_000_000 - 70_010, 0)


def test_a_halt_overtakes_an_order_on_its_way(books: TradingHarness) -> None:
    """Accepted before and woken after: put off, not filled and not lost."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1)
    halt(books, user)
    assert books.run(books.sent.pop()) == ExecutionReport(postponed=1)
    assert books.sent == []

    resume(books, user)

    assert [wakeup.ids for wakeup in books.sent] == [(order.id,)]
    books.run_all()
    assert status_of(books, user, order.id) == "FILLED"


def test_a_second_halt_is_the_first(books: TradingHarness) -> None:
    """One word lifts it, another finds nothing to lift, and it can come again."""
    user = books.user()
    first = halt(books, user)
    books.clock.advance(seconds=1)
    assert halt(books, user) == first
    lifted = resume(books, user)
    assert lifted is not None
    assert (lifted.id, lifted.resumed_at) == (first.id, books.clock())
    assert resume(books, user) is None
    assert halt(books, user).id != first.id


def test_there_must_be_such_an_account(books: TradingHarness) -> None:
    """An id that is nobody's is refused."""
    with pytest.raises(UserNotFound):
        halt(books, new_id())
