"""Which accounts the audit looks at and when, and what follows from what it finds."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import bought, change_settings, deposit, do, rows
from trading.account_events.rows import last_event_id
from trading.audit.account_halts import resume_account
from trading.audit.checks import audit_accounts
from trading.audit.model import Audited, Breach
from trading.audit.queries import AuditState, audit_state
from trading.audit.run import (
    AGAIN_AFTER,
    CHANGED_WITHIN,
    claim_batch,
    record_audit_run,
    record_audited,
)

# 10:00 in Korea, six hours after the night's audit began.
TO_THE_NEXT_NIGHT = timedelta(hours=18)


def claim(
    books: TradingHarness, look_began_at: datetime | None = None, **bounds: int
) -> list[UUID]:
    now = books.clock()
    return do(
        books,
        lambda session: claim_batch(session, look_began_at=look_began_at or now, now=now, **bounds),
    )


def look(books: TradingHarness, **bounds: int) -> list[list[UUID]]:
    """One look of the audit, as a worker does it: the batches that it audited."""
    books.clock.advance(seconds=1)
    began_at, batches = books.clock(), []
    while batch := claim(books, began_at, **bounds):
        batches.append(batch)
        audited = books.core.database.snapshot(
            lambda session, batch=batch: audit_accounts(session, batch)
        )
        finish(books, audited, begun_at=began_at)
    return batches


def finish(books: TradingHarness, audited: Audited, *, begun_at: datetime) -> list[Breach]:
    return do(
        books,
        lambda session: record_audited(
            session, audited, begun_at=begun_at, settings=books.settings, now=books.clock()
        ),
    )


def state(books: TradingHarness) -> AuditState:
    return books.core.database.snapshot(lambda session: audit_state(session, now=books.clock()))


def damage(books: TradingHarness, user: UUID) -> None:
    """A won too much, as no transaction of ours would write it."""
    wrong = text(
        "UPDATE virtual_balances SET cash_balance = cash_balance + 1 WHERE user_id = :user"
    )
    do(books, lambda session: session.execute(wrong, {"user": user.bytes}))


def mend(books: TradingHarness, user: UUID) -> None:
    right = text(
        "UPDATE virtual_balances SET cash_balance = cash_balance - 1 WHERE user_id = :user"
    )
    do(books, lambda session: session.execute(right, {"user": user.bytes}))


def test_what_changed_is_audited_and_nothing_else(books: TradingHarness) -> None:
    """A new account is, once; then only the one that something happened to."""
    users = sorted(books.user() for _ in range(3))
    assert look(books) == [users]
    assert look(books) == []

    deposit(books, users[1], 1)

    assert state(books).changed == 1
    assert look(books) == [[users[1]]]
    assert state(books).changed == 0


def test_who_trades_on_does_not_keep_a_look_from_its_end(books: TradingHarness) -> None:
    """An account that changes again while a look goes on is the next look's."""
    user = books.user()
    books.clock.advance(seconds=1)
    began_at = books.clock()
    assert claim(books, began_at) == [user]
    books.clock.advance(seconds=1)
    deposit(books, user, 1)
    assert claim(books, began_at) == []
    assert look(books) == [[user]]


def test_at_night_all_are_audited(books: TradingHarness) -> None:
    """Each account once after four in Korea, whatever happened to it, and also those whose changes were overlooked for days."""
    users = sorted(books.user() for _ in range(3))
    look(books)
    books.clock.advance(hours=17, minutes=59)
    assert look(books) == []
    books.clock.advance(seconds=58)
    assert state(books).unaudited == 3
    assert look(books) == [users]
    assert state(books).unaudited == 0
    assert look(books) == []

    books.clock.advance(days=3)
    deposit(books, users[0], 1)
    books.clock.advance(seconds=CHANGED_WITHIN.total_seconds() + 1)
    assert look(books) == [users]


def test_what_was_begun_and_not_finished_is_begun_again(books: TradingHarness) -> None:
    """A worker was killed in the middle of a batch: what had changed is the next look's, the night's work that of a later one."""
    user = books.user()
    books.clock.advance(seconds=1)
    assert claim(books) == [user]
    assert look(books) == [[user]]

    books.clock.advance(seconds=TO_THE_NEXT_NIGHT.total_seconds())
    assert claim(books) == [user]
    assert look(books) == []
    books.clock.advance(seconds=AGAIN_AFTER.total_seconds())
    assert look(books) == [[user]]
    assert state(books).oldest_audited_at == books.clock()


def test_a_batch_is_bounded_by_accounts_and_by_their_events(books: TradingHarness) -> None:
    """Whoever waits longest comes first; an account with more events than a batch may have is one of its own, and is not left out."""
    bounds = {"accounts_max": 2, "events_max": 10}
    users = [books.user() for _ in range(3)]
    bought(books, users[0], 1)
    events = books.core.database.read(lambda session: last_event_id(session, users[0]))
    assert 1 < events < 10
    assert sorted(look(books, **bounds), key=len) == [[users[2]], sorted(users[:2])]

    for _ in range(10):
        deposit(books, users[0], 1)
    for user in users[1:]:
        deposit(books, user, 1)

    assert sorted(look(books, **bounds), key=len) == [[users[0]], sorted(users[1:])]


def test_a_breach_halts_its_account_and_is_kept_for_a_person(books: TradingHarness) -> None:
    """Found, shown with rows at fault, told once as new, counted when it is seen again; another account trades on."""
    sound, unsound = books.user(), books.user()
    damage(books, unsound)

    look(books)

    found = state(books)
    assert [(halt.user_id, halt.cause, halt.reason) for halt in found.halted] == [
        (unsound, "audit-breach", "1a, 7, 9b")
    ]
    assert {breach.check.split()[0] for breach in found.breaches} == {"1a", "7", "9b"}
    assert all(breach.user_id == unsound and breach.sample for breach in found.breaches)
    assert (found.breaches_total, found.halted_total) == (3, 1)
    deposit(books, sound, 1)

    deposit(books, unsound, 1)
    look(books)
    times = {breach.check.split()[0]: breach.times for breach in state(books).breaches}
    assert (times["1a"], times["7"], times["9b"]) == (2, 2, 2)
    assert state(books).halted == found.halted


def test_only_what_is_new_is_told_as_new(books: TradingHarness) -> None:
    """A person is called once for a breach, and again when it comes back after it was resolved."""
    user = books.user()
    audited = Audited(
        {user: 1}, [Breach(user, "1a", "cash_balance=1"), Breach(user, "7", "won_off=1")]
    )
    assert finish(books, audited, begun_at=books.clock()) == audited.breaches
    assert finish(books, audited, begun_at=books.clock()) == []
    began = state(books).breaches[0].found_at
    do(
        books,
        lambda session: resume_account(
            session, user, by=None, note="고침", settings=books.settings, now=books.clock()
        ),
    )
    assert (state(books).breaches, state(books).halted) == ((), ())
    books.clock.advance(seconds=1)
    assert finish(books, audited, begun_at=books.clock()) == audited.breaches
    assert state(books).breaches[0].found_at > began
    assert state(books).halted_total == 1


def test_an_account_that_may_trade_again_is_audited_anew(books: TradingHarness) -> None:
    """Mended it stays free; resumed without a mend it is halted again by the next look."""
    user = books.user()
    damage(books, user)
    look(books)

    def resume() -> None:
        do(
            books,
            lambda session: resume_account(
                session, user, by=None, note="확인", settings=books.settings, now=books.clock()
            ),
        )

    resume()
    assert state(books).halted_total == 0
    look(books)
    assert state(books).halted_total == 1
    mend(books, user)
    resume()
    assert look(books) == [[user]]
    assert (state(books).halted_total, state(books).breaches_total) == (0, 0)
    kept = rows(books, "SELECT note, resolved_at FROM audit_breaches")
    assert len(kept) == 3
    assert all(row["note"] == "확인" and row["resolved_at"] for row in kept)


def test_halting_can_be_switched_off(books: TradingHarness) -> None:
    """For when the audit itself is at fault: breaches are kept and told, and nobody is stopped; switched on again the next sight of them stops him."""
    change_settings(books, audit_halts=False)
    user = books.user()
    damage(books, user)
    look(books)
    assert (state(books).breaches_total, state(books).halted_total) == (3, 0)
    change_settings(books, audit_halts=True)
    deposit(books, user, 1)
    look(books)
    assert state(books).halted_total == 1


def test_a_look_is_noted(books: TradingHarness) -> None:
    """Also one that found nothing to do, so that an audit that stands still can be told from one without work."""
    assert state(books).run_at is None
    for accounts in (3, 0):
        books.clock.advance(minutes=1)
        do(
            books,
            lambda session, n=accounts: record_audit_run(
                session, accounts=n, duration_ms=5, now=books.clock()
            ),
        )
        found = state(books)
        assert (found.run_at, found.accounts, found.duration_ms) == (books.clock(), accounts, 5)
