"""Idempotency receipts: one answer for one key."""

from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import do, rows
from tests.trading.threads import outcome, run_together
from trading import idempotency
from trading.db.ids import new_id
from trading.errors import IdempotencyKeyConflict, RequestInProgress
from trading.idempotency import CLAIM_S, Claim, StoredAnswer

ANSWER = StoredAnswer(status=201, body='{"가": 1}', location="/orders/1")
ONE, OTHER = b"1" * 32, b"2" * 32


def claim(
    harness: TradingHarness, key: str = "key", *, scope: str = "user", request: bytes = ONE
) -> Claim | StoredAnswer:
    return do(
        harness,
        lambda session: idempotency.claim(
            session,
            scope=scope,
            key=key,
            request_hash=request,
            claim_id=new_id(),
            keep_h=24,
            now=harness.clock(),
        ),
    )


def claimed(harness: TradingHarness, key: str = "key", **more: str) -> Claim:
    mine = claim(harness, key, **more)  # type: ignore[arg-type]
    assert isinstance(mine, Claim)
    return mine


def complete(harness: TradingHarness, mine: Claim, answer: StoredAnswer = ANSWER) -> None:
    do(harness, lambda session: idempotency.complete(session, mine, answer))


def test_the_first_answer_is_given_again(harness: TradingHarness) -> None:
    """After completion every repetition gets status, body and location as they were."""
    complete(harness, claimed(harness))
    assert claim(harness) == ANSWER
    assert claim(harness) == ANSWER


def test_while_the_first_runs_a_second_is_told_so(harness: TradingHarness) -> None:
    """Up to the last moment of the claim."""
    claimed(harness)
    harness.clock.advance(seconds=CLAIM_S, microseconds=-1)
    with pytest.raises(RequestInProgress):
        claim(harness)


@pytest.mark.parametrize("finished", [True, False])
def test_another_request_with_the_key_is_a_conflict(
    harness: TradingHarness, finished: bool
) -> None:
    """Whether the first is done or not, its key is not for another request."""
    mine = claimed(harness)
    if finished:
        complete(harness, mine)
    with pytest.raises(IdempotencyKeyConflict):
        claim(harness, request=OTHER)


def test_keys_of_two_users_and_two_spellings_are_two_keys(harness: TradingHarness) -> None:
    """Scope and capital letters count."""
    complete(harness, claimed(harness))
    claimed(harness, scope="other user")
    claimed(harness, "KEY")


def test_an_expired_claim_is_taken_over_and_its_owner_comes_too_late(
    harness: TradingHarness,
) -> None:
    """The process that died is replaced; should it still live, its work can't be completed beside the other's."""
    first = claimed(harness)
    harness.clock.advance(seconds=CLAIM_S)
    second = claimed(harness)
    with pytest.raises(RequestInProgress):
        complete(harness, first)
    complete(harness, second)
    with pytest.raises(RequestInProgress):
        complete(harness, first)
    assert claim(harness) == ANSWER


def test_completion_happens_once(harness: TradingHarness) -> None:
    """The same run can't answer twice, so its work can't be committed twice."""
    mine = claimed(harness)
    complete(harness, mine)
    with pytest.raises(RequestInProgress):
        complete(harness, mine, StoredAnswer(status=500, body="{}", location=None))
    assert claim(harness) == ANSWER


def test_a_run_finds_its_own_answer_only(harness: TradingHarness) -> None:
    """After a COMMIT of unknown outcome a run asks for its answer: there if it landed, and never another run's."""

    def found(mine: Claim) -> StoredAnswer | None:
        return harness.core.read(idempotency.completed, mine)

    first = claimed(harness)
    assert found(first) is None
    harness.clock.advance(seconds=CLAIM_S)
    second = claimed(harness)
    complete(harness, second)
    assert (found(first), found(second)) == (None, ANSWER)


def test_a_claim_given_up_is_free_at_once(harness: TradingHarness) -> None:
    """Work that did nothing frees its key; an answer is never given up, nor another run's claim."""
    do(harness, lambda session: idempotency.give_up(session, claimed_in(session, harness)))
    mine = claimed(harness)
    stranger = Claim(scope=mine.scope, key=mine.key, claim_id=UUID(int=1))
    do(harness, lambda session: idempotency.give_up(session, stranger))
    with pytest.raises(RequestInProgress):
        claim(harness)
    complete(harness, mine)
    do(harness, lambda session: idempotency.give_up(session, mine))
    assert claim(harness) == ANSWER


def claimed_in(session: Session, harness: TradingHarness) -> Claim:
    mine = idempotency.claim(
        session,
        scope="user",
        key="key",
        request_hash=ONE,
        claim_id=new_id(),
        keep_h=24,
        now=harness.clock(),
    )
    assert isinstance(mine, Claim)
    return mine


def test_after_its_time_a_key_is_new(harness: TradingHarness) -> None:
    """At the end of the time that answers are kept, the key begins anew, even with another request."""
    complete(harness, claimed(harness))
    harness.clock.advance(hours=24, microseconds=-1)
    assert claim(harness) == ANSWER
    harness.clock.advance(microseconds=1)
    assert isinstance(claim(harness, request=OTHER), Claim)


def test_purging_deletes_the_old_in_batches(harness: TradingHarness) -> None:
    """Exactly those past their time; the number tells when to stop."""
    for number in range(3):
        complete(harness, claimed(harness, f"old {number}"))
    harness.clock.advance(hours=1)
    claimed(harness, "young")
    harness.clock.advance(hours=23)

    def purge() -> int:
        return do(
            harness, lambda session: idempotency.purge(session, keep_h=24, now=harness.clock())
        )

    assert (purge(), purge()) == (3, 0)
    assert [
        row["idempotency_key"]
        for row in rows(harness, "SELECT idempotency_key FROM idempotency_receipts")
    ] == ["young"]


@pytest.mark.parametrize("expired", [False, True])
def test_of_many_at_once_one_gets_the_claim(harness: TradingHarness, expired: bool) -> None:
    """Eight threads with one key, new or with an expired claim on it: one may work, the others are told that it runs."""
    for key in ("one", "two", "three", "four", "five"):
        if expired:
            claimed(harness, key)
            harness.clock.advance(seconds=CLAIM_S)
        results = run_together(
            *[outcome(lambda key=key: claim(harness, key), RequestInProgress)] * 8
        )
        assert sum(isinstance(result, Claim) for result in results) == 1
        assert sum(isinstance(result, RequestInProgress) for result in results) == 7
