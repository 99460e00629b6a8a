"""Idempotency receipts: one response for one key."""

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
    own_claim = claim(harness, key, **more)  # type: ignore[arg-type]
    assert isinstance(own_claim, Claim)
    return own_claim


def complete(harness: TradingHarness, own_claim: Claim, answer: StoredAnswer = ANSWER) -> None:
    do(harness, lambda session: idempotency.complete(session, own_claim, answer))


def test_first_response_is_repeated(harness: TradingHarness) -> None:
    complete(harness, claimed(harness))
    assert claim(harness) == ANSWER
    assert claim(harness) == ANSWER


def test_second_request_is_refused_while_the_first_runs(harness: TradingHarness) -> None:
    """Until the claim expires."""
    claimed(harness)
    harness.clock.advance(seconds=CLAIM_S, microseconds=-1)
    with pytest.raises(RequestInProgress):
        claim(harness)


@pytest.mark.parametrize("finished", [True, False])
def test_other_request_with_the_same_key_is_a_conflict(
    harness: TradingHarness, finished: bool
) -> None:
    own_claim = claimed(harness)
    if finished:
        complete(harness, own_claim)
    with pytest.raises(IdempotencyKeyConflict):
        claim(harness, request=OTHER)


def test_keys_differ_by_user_and_by_case(harness: TradingHarness) -> None:
    complete(harness, claimed(harness))
    claimed(harness, scope="other user")
    claimed(harness, "KEY")


def test_expired_claim_is_taken_over_and_its_owner_cannot_complete(
    harness: TradingHarness,
) -> None:
    """A process that still runs after its claim was taken over cannot commit its work."""
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
    own_claim = claimed(harness)
    complete(harness, own_claim)
    with pytest.raises(RequestInProgress):
        complete(harness, own_claim, StoredAnswer(status=500, body="{}", location=None))
    assert claim(harness) == ANSWER


def test_run_finds_only_its_own_response(harness: TradingHarness) -> None:
    """After a COMMIT of unknown outcome."""

    def found(own_claim: Claim) -> StoredAnswer | None:
        return harness.core.read(idempotency.completed, own_claim)

    first = claimed(harness)
    assert found(first) is None
    harness.clock.advance(seconds=CLAIM_S)
    second = claimed(harness)
    complete(harness, second)
    assert (found(first), found(second)) == (None, ANSWER)


def test_released_claim_is_free_at_once(harness: TradingHarness) -> None:
    """A response is never released, nor the claim of another run."""
    do(harness, lambda session: idempotency.give_up(session, claimed_in(session, harness)))
    own_claim = claimed(harness)
    stranger = Claim(scope=own_claim.scope, key=own_claim.key, claim_id=UUID(int=1))
    do(harness, lambda session: idempotency.give_up(session, stranger))
    with pytest.raises(RequestInProgress):
        claim(harness)
    complete(harness, own_claim)
    do(harness, lambda session: idempotency.give_up(session, own_claim))
    assert claim(harness) == ANSWER


def test_refused_request_frees_the_key_or_keeps_the_refusal(harness: TradingHarness) -> None:
    refusal = StoredAnswer(status=409, body="{}", location=None)
    own_claim = claimed(harness)
    assert do(harness, lambda session: idempotency.refuse(session, own_claim, None)) is None

    own_claim = claimed(harness)
    for _ in ("refused", "repeated after a COMMIT of unknown outcome"):
        do(harness, lambda session: idempotency.refuse(session, own_claim, refusal))
    assert claim(harness) == refusal


@pytest.mark.parametrize("kept", [None, StoredAnswer(status=409, body="{}", location=None)])
def test_refusal_never_replaces_a_committed_answer(
    harness: TradingHarness, kept: StoredAnswer | None
) -> None:
    """The COMMIT of an earlier attempt may take effect after its connection was lost."""
    own_claim = claimed(harness)
    complete(harness, own_claim)

    found = do(harness, lambda session: idempotency.refuse(session, own_claim, kept))

    assert found == ANSWER
    assert claim(harness) == ANSWER


@pytest.mark.parametrize("kept", [None, StoredAnswer(status=409, body="{}", location=None)])
def test_refusal_changes_no_claim_of_another_run(
    harness: TradingHarness, kept: StoredAnswer | None
) -> None:
    first = claimed(harness)
    harness.clock.advance(seconds=CLAIM_S)
    second = claimed(harness)

    do(harness, lambda session: idempotency.refuse(session, first, kept))

    with pytest.raises(RequestInProgress):
        claim(harness)
    complete(harness, second)
    assert claim(harness) == ANSWER


def claimed_in(session: Session, harness: TradingHarness) -> Claim:
    own_claim = idempotency.claim(
        session,
        scope="user",
        key="key",
        request_hash=ONE,
        claim_id=new_id(),
        keep_h=24,
        now=harness.clock(),
    )
    assert isinstance(own_claim, Claim)
    return own_claim


def test_key_is_new_after_the_retention_time(harness: TradingHarness) -> None:
    """Even for another request."""
    complete(harness, claimed(harness))
    harness.clock.advance(hours=24, microseconds=-1)
    assert claim(harness) == ANSWER
    harness.clock.advance(microseconds=1)
    assert isinstance(claim(harness, request=OTHER), Claim)


def test_purge_deletes_old_receipts_in_batches(harness: TradingHarness) -> None:
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
def test_one_of_many_concurrent_requests_gets_the_claim(
    harness: TradingHarness, expired: bool
) -> None:
    """Eight threads with one key, new or with an expired claim."""
    for key in ("one", "two", "three", "four", "five"):
        if expired:
            claimed(harness, key)
            harness.clock.advance(seconds=CLAIM_S)
        results = run_together(
            *[outcome(lambda key=key: claim(harness, key), RequestInProgress)] * 8
        )
        assert sum(isinstance(result, Claim) for result in results) == 1
        assert sum(isinstance(result, RequestInProgress) for result in results) == 7
