"""Refresh tokens: exchange, repetition, reuse, races, and the purge of old sessions."""

from functools import partial

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.accounts.test_accounts import is_active, refresh, register, sign_in
from tests.trading.orders.steps import do, rows
from tests.trading.threads import run_together
from trading.accounts import accounts
from trading.accounts.accounts import REUSE_WITHIN, SignIn
from trading.accounts.tables import SIGN_IN_SESSIONS
from trading.db.ids import new_id


def exchanged(harness: TradingHarness, signed_in: SignIn) -> SignIn:
    renewed = refresh(harness, signed_in)
    assert renewed is not None
    return renewed


@pytest.mark.parametrize("later_s", [0, 5, 10])
def test_second_use_within_ten_seconds_gets_a_token_of_its_own(
    harness: TradingHarness, later_s: int
) -> None:
    """Both tokens keep working for long, each in its tab, and belong to one session."""
    first = sign_in(harness, register(harness).id)
    one = exchanged(harness, first)
    harness.clock.advance(seconds=later_s)
    other = exchanged(harness, first)

    assert one.refresh_token_id != other.refresh_token_id
    assert {one.session_id, other.session_id} == {first.session_id}
    for _ in range(3):
        harness.clock.advance(days=3)
        one, other = exchanged(harness, one), exchanged(harness, other)
    assert is_active(harness, first)


def test_reuse_after_ten_seconds_ends_the_session(harness: TradingHarness) -> None:
    """With every token of it, also those of a second tab; other sessions stay."""
    user = register(harness)
    first, elsewhere = sign_in(harness, user.id), sign_in(harness, user.id)
    one, other = exchanged(harness, first), exchanged(harness, first)
    harness.clock.advance(seconds=REUSE_WITHIN.total_seconds(), microseconds=1)

    assert refresh(harness, first) is None

    assert not is_active(harness, first)
    assert [refresh(harness, each) for each in (one, other, first)] == [None] * 3
    assert refresh(harness, elsewhere) is not None


def test_second_use_does_not_extend_the_ten_seconds(harness: TradingHarness) -> None:
    first = sign_in(harness, register(harness).id)
    exchanged(harness, first)
    harness.clock.advance(seconds=6)
    exchanged(harness, first)
    harness.clock.advance(seconds=6)

    assert refresh(harness, first) is None
    assert not is_active(harness, first)


def test_reuse_is_detected_after_the_used_token_is_deleted(harness: TradingHarness) -> None:
    """Used tokens are deleted at a later refresh, so their number stays small."""
    first = sign_in(harness, register(harness).id)
    current = first
    for _ in range(5):
        harness.clock.advance(minutes=15)
        current = exchanged(harness, current)
    assert len(rows(harness, "SELECT id FROM refresh_tokens")) == 2

    assert refresh(harness, first) is None
    assert not is_active(harness, current)


def test_unused_token_expires_although_another_tab_refreshes(harness: TradingHarness) -> None:
    """It is refused then, without ending the session of the other tab."""
    first = sign_in(harness, register(harness).id)
    lost, current = exchanged(harness, first), exchanged(harness, first)
    for _ in range(2):
        harness.clock.advance(days=7)
        current = exchanged(harness, current)

    assert refresh(harness, current) is not None
    assert len(rows(harness, "SELECT id FROM refresh_tokens")) == 3
    assert lost.refresh_token_id.bytes not in {
        row["id"] for row in rows(harness, "SELECT id FROM refresh_tokens")
    }


def test_concurrent_refreshes_of_one_token_all_get_working_tokens(
    server_harness: TradingHarness,
) -> None:
    user = register(server_harness)
    for _ in range(5):
        first = sign_in(server_harness, user.id)
        results = run_together(*[partial(refresh, server_harness, first)] * 6)
        renewed = [result for result in results if result is not None]
        assert len(renewed) == len({each.refresh_token_id for each in renewed}) == 6
        assert all(refresh(server_harness, each) is not None for each in renewed)
        assert is_active(server_harness, first)


@pytest.mark.parametrize("end", ["sign out", "close", "reuse"])
def test_refresh_that_races_with_the_end_of_a_session_never_revives_it(
    server_harness: TradingHarness, end: str
) -> None:
    user = register(server_harness)
    for _ in range(5):
        if end == "close":
            user = register(server_harness, f"{new_id().hex}@example.com")
        first = sign_in(server_harness, user.id)
        second = exchanged(server_harness, first)
        server_harness.clock.advance(seconds=11)
        endings = {
            "sign out": partial(
                server_harness.core.run, accounts.sign_out, session_id=first.session_id
            ),
            "close": partial(server_harness.core.run, accounts.close_account, user_id=user.id),
            "reuse": partial(refresh, server_harness, first),
        }
        results = run_together(endings[end], *[partial(refresh, server_harness, second)] * 3)

        assert not is_active(server_harness, first)
        renewed = [each for each in results[1:] if isinstance(each, SignIn)]
        assert all(refresh(server_harness, each) is None for each in renewed)


def test_purge_deletes_sessions_a_retention_period_after_their_expiry(
    harness: TradingHarness,
) -> None:
    """Ended sessions are deleted at the same time as others; all later sessions still work."""
    user = register(harness).id
    old = [sign_in(harness, user) for _ in range(5)]
    harness.core.run(accounts.sign_out, session_id=old[0].session_id)
    harness.clock.advance(days=20)
    ended, active = sign_in(harness, user), sign_in(harness, user)
    harness.core.run(accounts.sign_out, session_id=ended.session_id)

    def purge() -> int:
        return harness.core.run(accounts.purge_sessions, keep_days=7)

    harness.clock.advance(days=1, microseconds=-1)
    assert purge() == 0
    harness.clock.advance(microseconds=1)
    assert (purge(), purge()) == (5, 0)
    assert {row["id"] for row in rows(harness, "SELECT id FROM sign_in_sessions")} == {
        one.session_id.bytes for one in (ended, active)
    }
    assert len(rows(harness, "SELECT id FROM refresh_tokens")) == 2
    assert refresh(harness, old[1]) is None
    assert refresh(harness, active) is not None


def test_purge_deletes_at_most_one_batch(harness: TradingHarness) -> None:
    """The bound keeps a transaction from locking many rows for long."""
    user = register(harness).id
    sessions = [
        {
            "id": new_id(),
            "user_id": user,
            "created_at": harness.clock(),
            "expires_at": harness.clock(),
            "revoked_at": None,
            "revoked_reason": None,
        }
        for _ in range(accounts._PURGE_BATCH + 3)
    ]
    do(harness, lambda session: session.execute(SIGN_IN_SESSIONS.insert(), sessions))
    harness.clock.advance(days=1)

    batches = [harness.core.run(accounts.purge_sessions, keep_days=1) for _ in range(3)]

    assert batches == [accounts._PURGE_BATCH, 3, 0]
