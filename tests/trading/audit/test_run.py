"""Choice of accounts to audit, and the consequences of breaches."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import bought, change_settings, deposit, do, rows
from trading.account_events.rows import last_event_id
from trading.audit.account_halts import AccountResumption, resume_account
from trading.audit.checks import audit_accounts
from trading.audit.model import AuditBatch, Breach
from trading.audit.queries import AuditState, audit_state
from trading.audit.run import (
    AGAIN_AFTER,
    CHANGED_WITHIN,
    claim_batch,
    record_audit_run,
    record_batch,
)

# 10:00 in Korea, six hours after the nightly audit began.
TO_THE_NEXT_NIGHT = timedelta(hours=18)


def claim(
    harness: TradingHarness, run_began_at: datetime | None = None, **bounds: int
) -> list[UUID]:
    now = harness.clock()
    return harness.core.run(claim_batch, run_began_at=run_began_at or now, **bounds)


def run_audit(harness: TradingHarness, **bounds: int) -> list[list[UUID]]:
    """Run the audit like a worker and return the audited batches."""
    harness.clock.advance(seconds=1)
    began_at, batches = harness.clock(), []
    while batch := claim(harness, began_at, **bounds):
        batches.append(batch)
        audited = harness.core.snapshot(audit_accounts, batch)
        finish(harness, audited, begun_at=began_at)
    return batches


def finish(harness: TradingHarness, audited: AuditBatch, *, begun_at: datetime) -> list[Breach]:
    return harness.core.run(record_batch, audited, begun_at=begun_at)


def state(harness: TradingHarness) -> AuditState:
    return harness.core.snapshot(audit_state, now=harness.clock())


def damage(harness: TradingHarness, user: UUID) -> None:
    """Add one won to the balance, which no transaction of the product would do."""
    damaged = text(
        "UPDATE virtual_balances SET cash_balance = cash_balance + 1 WHERE user_id = :user"
    )
    do(harness, lambda session: session.execute(damaged, {"user": user.bytes}))


def repair(harness: TradingHarness, user: UUID) -> None:
    repaired = text(
        "UPDATE virtual_balances SET cash_balance = cash_balance - 1 WHERE user_id = :user"
    )
    do(harness, lambda session: session.execute(repaired, {"user": user.bytes}))


def test_only_changed_accounts_are_audited(harness: TradingHarness) -> None:
    """A new account is audited once."""
    users = sorted(harness.user() for _ in range(3))
    assert run_audit(harness) == [users]
    assert run_audit(harness) == []

    deposit(harness, users[1], 1)

    assert state(harness).changed == 1
    assert run_audit(harness) == [[users[1]]]
    assert state(harness).changed == 0


def test_account_that_keeps_trading_does_not_prolong_a_run(harness: TradingHarness) -> None:
    """An account that changes again during a run is audited by the next one."""
    user = harness.user()
    harness.clock.advance(seconds=1)
    began_at = harness.clock()
    assert claim(harness, began_at) == [user]
    harness.clock.advance(seconds=1)
    deposit(harness, user, 1)
    assert claim(harness, began_at) == []
    assert run_audit(harness) == [[user]]


def test_every_account_is_audited_at_night(harness: TradingHarness) -> None:
    """Once after four o'clock in Korea, changed or not, including changes missed for days."""
    users = sorted(harness.user() for _ in range(3))
    run_audit(harness)
    harness.clock.advance(hours=17, minutes=59)
    assert run_audit(harness) == []
    harness.clock.advance(seconds=58)
    assert state(harness).unaudited == 3
    assert run_audit(harness) == [users]
    assert state(harness).unaudited == 0
    assert run_audit(harness) == []

    harness.clock.advance(days=3)
    deposit(harness, users[0], 1)
    harness.clock.advance(seconds=CHANGED_WITHIN.total_seconds() + 1)
    assert run_audit(harness) == [users]


def test_unfinished_batch_is_audited_again(harness: TradingHarness) -> None:
    """After a killed worker, changed accounts are in the next run, nightly ones in a later run."""
    user = harness.user()
    harness.clock.advance(seconds=1)
    assert claim(harness) == [user]
    assert run_audit(harness) == [[user]]

    harness.clock.advance(seconds=TO_THE_NEXT_NIGHT.total_seconds())
    assert claim(harness) == [user]
    assert run_audit(harness) == []
    harness.clock.advance(seconds=AGAIN_AFTER.total_seconds())
    assert run_audit(harness) == [[user]]
    assert state(harness).oldest_audited_at == harness.clock()


def test_batch_is_limited_by_accounts_and_events(harness: TradingHarness) -> None:
    """The longest waiting come first. An account with too many events is a batch of its own."""
    bounds = {"accounts_max": 2, "events_max": 10}
    users = [harness.user() for _ in range(3)]
    bought(harness, users[0], 1)
    events = harness.core.read(last_event_id, users[0])
    assert 1 < events < 10
    assert sorted(run_audit(harness, **bounds), key=len) == [[users[2]], sorted(users[:2])]

    for _ in range(10):
        deposit(harness, users[0], 1)
    for user in users[1:]:
        deposit(harness, user, 1)

    assert sorted(run_audit(harness, **bounds), key=len) == [[users[0]], sorted(users[1:])]


def test_breach_halts_its_account_and_is_stored(harness: TradingHarness) -> None:
    """It is reported as new once and counted when found again; other accounts are not halted."""
    sound, unsound = harness.user(), harness.user()
    damage(harness, unsound)

    run_audit(harness)

    found = state(harness)
    assert [(halt.user_id, halt.cause, halt.reason) for halt in found.halted] == [
        (unsound, "audit-breach", "1a, 7, 9b")
    ]
    assert {breach.check.split()[0] for breach in found.breaches} == {"1a", "7", "9b"}
    assert all(breach.user_id == unsound and breach.sample for breach in found.breaches)
    assert (found.breaches_total, found.halted_total) == (3, 1)
    deposit(harness, sound, 1)

    deposit(harness, unsound, 1)
    run_audit(harness)
    times = {breach.check.split()[0]: breach.times for breach in state(harness).breaches}
    assert (times["1a"], times["7"], times["9b"]) == (2, 2, 2)
    assert state(harness).halted == found.halted


def test_breach_is_reported_once_until_resolved(harness: TradingHarness) -> None:
    """It is new again if it is found after it was resolved."""
    user = harness.user()
    audited = AuditBatch(
        {user: 1}, [Breach(user, "1a", "cash_balance=1"), Breach(user, "7", "won_off=1")]
    )
    assert finish(harness, audited, begun_at=harness.clock()) == audited.breaches
    assert finish(harness, audited, begun_at=harness.clock()) == []
    began = state(harness).breaches[0].found_at
    harness.core.run(resume_account, AccountResumption(user_id=user, note="고침"))
    assert (state(harness).breaches, state(harness).halted) == ((), ())
    harness.clock.advance(seconds=1)
    assert finish(harness, audited, begun_at=harness.clock()) == audited.breaches
    assert state(harness).breaches[0].found_at > began
    assert state(harness).halted_total == 1


def test_resumed_account_is_audited_again(harness: TradingHarness) -> None:
    """Without a repair it is halted again by the next run."""
    user = harness.user()
    damage(harness, user)
    run_audit(harness)

    def resume() -> None:
        harness.core.run(resume_account, AccountResumption(user_id=user, note="확인"))

    resume()
    assert state(harness).halted_total == 0
    run_audit(harness)
    assert state(harness).halted_total == 1
    repair(harness, user)
    resume()
    assert run_audit(harness) == [[user]]
    assert (state(harness).halted_total, state(harness).breaches_total) == (0, 0)
    kept = rows(harness, "SELECT note, resolved_at FROM audit_breaches")
    assert len(kept) == 3
    assert all(row["note"] == "확인" and row["resolved_at"] for row in kept)


def test_halting_can_be_disabled(harness: TradingHarness) -> None:
    """Breaches are stored and reported without a halt. Once enabled, the next finding halts the
    account.
    """
    change_settings(harness, audit_halts=False)
    user = harness.user()
    damage(harness, user)
    run_audit(harness)
    assert (state(harness).breaches_total, state(harness).halted_total) == (3, 0)
    change_settings(harness, audit_halts=True)
    deposit(harness, user, 1)
    run_audit(harness)
    assert state(harness).halted_total == 1


def test_run_is_recorded(harness: TradingHarness) -> None:
    """Also a run without work, so that a stopped audit can be detected."""
    assert state(harness).run_at is None
    for accounts in (3, 0):
        harness.clock.advance(minutes=1)
        harness.core.run(record_audit_run, accounts=accounts, duration_ms=5)
        found = state(harness)
        assert (found.run_at, found.accounts, found.duration_ms) == (harness.clock(), accounts, 5)
