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
    books: TradingHarness, key: str = "key", *, scope: str = "user", request: bytes = ONE
) -> Claim | StoredAnswer:
    return do(
        books,
        lambda session: idempotency.claim(
            session,
            scope=scope,
            key=key,
            request_hash=request,
            claim_id=new_id(),
            keep_h=24,
            now=books.clock(),
        ),
    )


def claimed(books: TradingHarness, key: str = "key", **more: str) -> Claim:
    mine = claim(books, key, **more)  # type: ignore[arg-type]
    assert isinstance(mine, Claim)
    return mine


def complete(books: TradingHarness, mine: Claim, answer: StoredAnswer = ANSWER) -> None:
    do(books, lambda session: idempotency.complete(session, mine, answer))


def test_the_first_answer_is_given_again(books: TradingHarness) -> None:
    """After completion every repetition gets status, body and location as they were."""
    complete(books, claimed(books))
    assert claim(books) == ANSWER
    assert claim(books) == ANSWER


def test_while_the_first_runs_a_second_is_told_so(books: TradingHarness) -> None:
    """Up to the last moment of the claim."""
    claimed(books)
    books.clock.advance(seconds=CLAIM_S, microseconds=-1)
    with pytest.raises(RequestInProgress):
        claim(books)


@pytest.mark.parametrize("finished", [True, False])
def test_another_request_with_the_key_is_a_conflict(books: TradingHarness, finished: bool) -> None:
    """Whether the first is done or not, its key is not for another request."""
    mine = claimed(books)
    if finished:
        complete(books, mine)
    with pytest.raises(IdempotencyKeyConflict):
        claim(books, request=OTHER)


def test_keys_of_two_users_and_two_spellings_are_two_keys(books: TradingHarness) -> None:
    """Scope and capital letters count."""
    complete(books, claimed(books))
    claimed(books, scope="other user")
    claimed(books, "KEY")


def test_an_expired_claim_is_taken_over_and_its_owner_comes_too_late(books: TradingHarness) -> None:
    """The process that died is replaced; should it still live, its work can't be completed beside the other's."""
    first = claimed(books)
    books.clock.advance(seconds=CLAIM_S)
    second = claimed(books)
    with pytest.raises(RequestInProgress):
        complete(books, first)
    complete(books, second)
    with pytest.raises(RequestInProgress):
        complete(books, first)
    assert claim(books) == ANSWER


def test_completion_happens_once(books: TradingHarness) -> None:
    """The same run can't answer twice, so its work can't be committed twice."""
    mine = claimed(books)
    complete(books, mine)
    with pytest.raises(RequestInProgress):
        complete(books, mine, StoredAnswer(status=500, body="{}", location=None))
    assert claim(books) == ANSWER


def test_a_run_finds_its_own_answer_only(books: TradingHarness) -> None:
    """After a COMMIT of unknown outcome a run asks for its answer: there if it landed, and never another run's."""

    def found(mine: Claim) -> StoredAnswer | None:
        return books.core.database.read(lambda session: idempotency.completed(session, mine))

    first = claimed(books)
    assert found(first) is None
    books.clock.advance(seconds=CLAIM_S)
    second = claimed(books)
    complete(books, second)
    assert (found(first), found(second)) == (None, ANSWER)


def test_a_claim_given_up_is_free_at_once(books: TradingHarness) -> None:
    """Work that did nothing frees its key; an answer is never given up, nor another run's claim."""
    do(books, lambda session: idempotency.give_up(session, claimed_in(session, books)))
    mine = claimed(books)
    stranger = Claim(scope=mine.scope, key=mine.key, claim_id=UUID(int=1))
    do(books, lambda session: idempotency.give_up(session, stranger))
    with pytest.raises(RequestInProgress):
        claim(books)
    complete(books, mine)
    do(books, lambda session: idempotency.give_up(session, mine))
    assert claim(books) == ANSWER


def claimed_in(session: Session, books: TradingHarness) -> Claim:
    mine = idempotency.claim(
        session,
        scope="user",
        key="key",
        request_hash=ONE,
        claim_id=new_id(),
        keep_h=24,
        now=books.clock(),
    )
    assert isinstance(mine, Claim)
    return mine


def test_after_its_time_a_key_is_new(books: TradingHarness) -> None:
    """At the end of the time that answers are kept, the key begins anew, even with another request."""
    complete(books, claimed(books))
    books.clock.advance(hours=24, microseconds=-1)
    assert claim(books) == ANSWER
    books.clock.advance(microseconds=1)
    assert isinstance(claim(books, request=OTHER), Claim)


def test_purging_deletes_the_old_in_batches(books: TradingHarness) -> None:
    """Exactly those past their time; the number tells when to stop."""
    for number in range(3):
        complete(books, claimed(books, f"old {number}"))
    books.clock.advance(hours=1)
    claimed(books, "young")
    books.clock.advance(hours=23)

    def purge() -> int:
        return do(books, lambda session: idempotency.purge(session, keep_h=24, now=books.clock()))

    assert (purge(), purge()) == (3, 0)
    assert [
        row["idempotency_key"]
        for row in rows(books, "SELECT idempotency_key FROM idempotency_receipts")
    ] == ["young"]


@pytest.mark.parametrize("expired", [False, True])
def test_of_many_at_once_one_gets_the_claim(books: TradingHarness, expired: bool) -> None:
    """Eight threads with one key, new or with an expired claim on it: one may work, the others are told that it runs."""
    for key in ("one", "two", "three", "four", "five"):
        if expired:
            claimed(books, key)
            books.clock.advance(seconds=CLAIM_S)
        results = run_together(*[outcome(lambda key=key: claim(books, key), RequestInProgress)] * 8)
        assert sum(isinstance(result, Claim) for result in results) == 1
        assert sum(isinstance(result, RequestInProgress) for result in results) == 7
