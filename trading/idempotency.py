"""Idempotency receipts: answer a request with a key once and repeat that answer.

A claim is committed before the work begins, so that a concurrent request with the same key is
refused. The answer is written in the transaction of the work: both exist or neither. The claim of a
process that died expires, and the next request with the key takes it over.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from trading.db.statements import execute_rowcount
from trading.errors import IdempotencyKeyConflict, RequestInProgress
from trading.idempotency_table import IDEMPOTENCY_RECEIPTS

# Longer than a request that waits for PortOne may take, and no longer than needed: after a crash a
# repetition waits for the rest of it. A request that took longer finds its claim taken over when it
# completes, and is rolled back.
CLAIM_S = 20
PURGE_BATCH = 1_000

_NO_REQUEST = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to answer a request. `claim_id` distinguishes this run from one that takes the key
    over.
    """

    scope: str
    key: str
    claim_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """First answer to a request: HTTP status, JSON body and Location."""

    status: int
    body: str
    location: str | None


def claim(
    session: Session,
    *,
    scope: str,
    key: str,
    request_hash: bytes,
    claim_id: UUID,
    keep_h: int,
    now: datetime,
) -> Claim | StoredAnswer:
    """Claim a key, or return its stored answer.

    The caller creates `claim_id` before the transaction, so that a rerun after a COMMIT of unknown
    outcome recognizes its own claim. Raises IdempotencyKeyConflict when the key was used for
    another request, RequestInProgress while the first request is running.
    """
    claim = Claim(scope=scope, key=key, claim_id=claim_id)
    row = session.execute(
        select(IDEMPOTENCY_RECEIPTS).where(*_at(claim)).with_for_update()
    ).one_or_none()
    if row is not None and row.created_at <= now - timedelta(hours=keep_h):
        session.execute(delete(IDEMPOTENCY_RECEIPTS).where(*_at(claim)))
        row = None
    if row is None:
        return _insert(session, claim, request_hash=request_hash, now=now)
    if row.request_hash != request_hash:
        raise IdempotencyKeyConflict
    if row.status is not None:
        return StoredAnswer(status=row.status, body=row.body, location=row.location)
    if row.claim_id == claim.claim_id:
        return claim
    if row.claimed_until > now:
        raise RequestInProgress
    session.execute(
        update(IDEMPOTENCY_RECEIPTS)
        .where(*_at(claim))
        .values(claim_id=claim.claim_id, claimed_until=now + timedelta(seconds=CLAIM_S))
    )
    return claim


def _insert(session: Session, claim: Claim, *, request_hash: bytes, now: datetime) -> Claim:
    try:
        session.execute(
            insert(IDEMPOTENCY_RECEIPTS).values(
                scope=claim.scope,
                idempotency_key=claim.key,
                request_hash=request_hash,
                claim_id=claim.claim_id,
                claimed_until=now + timedelta(seconds=CLAIM_S),
                status=None,
                body=None,
                location=None,
                created_at=now,
            )
        )
    except IntegrityError:
        # A concurrent request inserted the key after the SELECT.
        raise RequestInProgress from None
    return claim


def complete(session: Session, claim: Claim, answer: StoredAnswer) -> None:
    """Store the answer of a claim. Raises RequestInProgress if another run has taken the claim
    over.
    """
    updated_rows = execute_rowcount(
        session,
        update(IDEMPOTENCY_RECEIPTS)
        .where(
            *_at(claim),
            IDEMPOTENCY_RECEIPTS.c.claim_id == claim.claim_id,
            IDEMPOTENCY_RECEIPTS.c.status.is_(None),
        )
        .values(status=answer.status, body=answer.body, location=answer.location),
    )
    if updated_rows != 1:
        raise RequestInProgress


def record(session: Session, claim: Claim, answer: StoredAnswer, *, now: datetime) -> None:
    """Store the answer of a request without Idempotency-Key, under a generated key.

    Nobody repeats such a request; the row proves after a COMMIT of unknown outcome that it was
    done, and with which answer.
    """
    session.execute(
        insert(IDEMPOTENCY_RECEIPTS).values(
            scope=claim.scope,
            idempotency_key=claim.key,
            request_hash=_NO_REQUEST,
            claim_id=claim.claim_id,
            claimed_until=now,
            status=answer.status,
            body=answer.body,
            location=answer.location,
            created_at=now,
        )
    )


def refuse(session: Session, claim: Claim, answer: StoredAnswer | None) -> StoredAnswer | None:
    """End a claim whose work was refused: store the refusal, or free the key if `answer` is None.

    Return the stored answer instead if this run has one already: an attempt whose COMMIT had an
    unknown outcome may be committed after a second attempt was refused. A claim that another run
    has taken over stays as it is.
    """
    own = (*_at(claim), IDEMPOTENCY_RECEIPTS.c.claim_id == claim.claim_id)
    row = session.execute(select(IDEMPOTENCY_RECEIPTS).where(*own).with_for_update()).one_or_none()
    if row is not None and row.status is not None:
        return StoredAnswer(status=row.status, body=row.body, location=row.location)
    if answer is None:
        session.execute(delete(IDEMPOTENCY_RECEIPTS).where(*own))
    else:
        session.execute(
            update(IDEMPOTENCY_RECEIPTS)
            .where(*own)
            .values(status=answer.status, body=answer.body, location=answer.location)
        )
    return None


def give_up(session: Session, claim: Claim) -> None:
    """Delete a claim whose work changed nothing, so that the key can be used again at once."""
    session.execute(
        delete(IDEMPOTENCY_RECEIPTS).where(
            *_at(claim),
            IDEMPOTENCY_RECEIPTS.c.claim_id == claim.claim_id,
            IDEMPOTENCY_RECEIPTS.c.status.is_(None),
        )
    )


def completed(session: Session, claim: Claim) -> StoredAnswer | None:
    """Return the answer of this run if its transaction was committed, else None."""
    row = session.execute(
        select(IDEMPOTENCY_RECEIPTS).where(
            *_at(claim),
            IDEMPOTENCY_RECEIPTS.c.claim_id == claim.claim_id,
            IDEMPOTENCY_RECEIPTS.c.status.is_not(None),
        )
    ).one_or_none()
    return (
        None
        if row is None
        else StoredAnswer(status=row.status, body=row.body, location=row.location)
    )


def purge(session: Session, *, keep_h: int, now: datetime) -> int:
    """Delete one batch of receipts older than `keep_h` hours; return their number."""
    old = session.execute(
        select(IDEMPOTENCY_RECEIPTS.c.scope, IDEMPOTENCY_RECEIPTS.c.idempotency_key)
        .where(IDEMPOTENCY_RECEIPTS.c.created_at <= now - timedelta(hours=keep_h))
        .order_by(IDEMPOTENCY_RECEIPTS.c.created_at)
        .limit(PURGE_BATCH)
    ).all()
    for scope, key in old:
        session.execute(
            delete(IDEMPOTENCY_RECEIPTS).where(
                IDEMPOTENCY_RECEIPTS.c.scope == scope, IDEMPOTENCY_RECEIPTS.c.idempotency_key == key
            )
        )
    return len(old)


def _at(claim: Claim) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (
        IDEMPOTENCY_RECEIPTS.c.scope == claim.scope,
        IDEMPOTENCY_RECEIPTS.c.idempotency_key == claim.key,
    )
