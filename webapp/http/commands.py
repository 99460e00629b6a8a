"""Requests that change something: run the use case, answer, and answer a repetition of the same request with the same answer.

The answer is written beside the work's own rows in one transaction (see trading.idempotency), so a repeated Idempotency-Key never runs
the work twice, whatever was killed in between.
"""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog
from flask import Response, current_app, g, request
from marshmallow import Schema
from sqlalchemy.orm import Session

from trading import idempotency
from trading.db.ids import new_id
from trading.db.transactions import rerun_is_safe
from trading.errors import DomainError, ValidationFailed
from trading.idempotency import Claim, StoredAnswer
from trading.problems import MIMETYPE
from webapp.context import get_core
from webapp.http.problems import domain_error_response

log = structlog.get_logger(__name__)

KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"

_KEY = re.compile(r"[\x21-\x7e]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a use case is answered with: a message for the user, data for the schema, and where a new resource lives."""

    message: str
    data: Any = None
    location: str | None = None


def run_command(
    work: Callable[[Session], CommandResult],
    *,
    schema: type[Schema],
    status: int = 200,
    landed: Callable[[Session], CommandResult | None],
    first: Callable[[], None] = lambda: None,
) -> Response:
    """Run ``work`` in a transaction and answer. ``landed`` finds the result of a run whose COMMIT had an unknown outcome.

    ``first`` is for what waits for somebody outside: it is done once the key is claimed and while no transaction is open.
    """
    claim = _claim()
    if isinstance(claim, StoredAnswer):
        log.info("idempotent_replay", status=claim.status, location=claim.location)
        return _response(claim, replayed=True)

    def answered(answer: CommandResult) -> StoredAnswer:
        body = _shape(schema).dump(
            {"success": True, "message": answer.message, "data": answer.data}
        )
        return StoredAnswer(
            status=status, body=current_app.json.dumps(body), location=answer.location
        )

    if claim is not None:
        return _response_once(claim, lambda session: answered(work(session)), first=first)

    def find(session: Session) -> StoredAnswer | None:
        answer = landed(session)
        return None if answer is None else answered(answer)

    first()
    return _response(
        get_core().database.transaction(lambda session: answered(work(session)), landed=find)
    )


@cache
def _shape(schema: type[Schema]) -> Schema:
    """The one instance that all answers of a kind are shaped by: making one copies every field, and shaping changes nothing in it."""
    return schema()


def _response_once(
    claim: Claim, work: Callable[[Session], StoredAnswer], *, first: Callable[[], None]
) -> Response:
    """Run work that has claimed its key: what it answers is kept, and where it can't answer now the key is free again."""
    database = get_core().database

    def run(session: Session) -> StoredAnswer:
        stored = work(session)
        idempotency.complete(session, claim, stored)
        return stored

    try:
        first()
        return _response(
            database.transaction(run, landed=lambda session: idempotency.completed(session, claim))
        )
    except DomainError as refusal:
        return _refuse(claim, refusal)
    except Exception:
        _free(claim)
        raise


def _claim() -> Claim | StoredAnswer | None:
    key = request.headers.get(KEY_HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise ValidationFailed(field=KEY_HEADER, limit=64)
    core = get_core()
    identity = g.get("identity")
    request_hash, claim_id = _request_hash(), new_id()
    now = core.clock()
    return core.database.transaction(
        lambda session: idempotency.claim(
            session,
            scope="anonymous" if identity is None else identity.user_id.hex,
            key=key,
            request_hash=request_hash,
            keep_h=core.settings.idempotency_key_hours,
            now=now,
            claim_id=claim_id,
        ),
        landed=rerun_is_safe,
    )


def _request_hash() -> bytes:
    """What makes two requests the same: method, path and JSON content. Keyed, as a body may hold a password."""
    content = current_app.json.dumps(request.get_json(silent=True), sort_keys=True)
    secret = get_core().settings.jwt_secret
    return hmac.digest(
        secret.encode(),
        f"{request.method} {request.path}\n{content}".encode("utf-8", "surrogatepass"),
        "sha256",
    )


def _refuse(claim: Claim, refusal: DomainError) -> Response:
    """A refusal is an answer too and is kept like one; but where trying again can help (401, 502, 503), the key is free again."""
    response = domain_error_response(refusal)
    if response.status_code in (401, 502, 503):
        _free(claim)
        return response
    stored = StoredAnswer(
        status=response.status_code, body=response.get_data(as_text=True), location=None
    )
    get_core().database.transaction(
        lambda session: idempotency.complete(session, claim, stored), landed=rerun_is_safe
    )
    return response


def _free(claim: Claim) -> None:
    get_core().database.transaction(
        lambda session: idempotency.give_up(session, claim), landed=rerun_is_safe
    )


def is_success(answer: Response) -> bool:
    """Whether what was asked for was done for this request: it was not refused, and the answer is no repetition of an earlier one."""
    return answer.status_code < 400 and REPLAYED_HEADER not in answer.headers


def is_created(answer: Response) -> bool:
    """Whether this request made something new, and did not merely repeat an earlier answer."""
    return answer.status_code == 201 and is_success(answer)


def _response(answer: StoredAnswer, *, replayed: bool = False) -> Response:
    mimetype = MIMETYPE if answer.status >= 400 else "application/json"
    response = Response(answer.body, status=answer.status, mimetype=mimetype)
    if answer.location is not None:
        response.headers["Location"] = answer.location
    if replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return response
