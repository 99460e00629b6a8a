"""Run commands with idempotency: execute the use case once and repeat its first answer.

The answer is stored in the transaction of the use case (see trading.idempotency), so a repeated
Idempotency-Key never runs the use case twice, even if a process is killed in between.
"""

import hmac
import re
from collections.abc import Callable
from functools import cache, partial
from typing import TypeVar

import structlog
from flask import Response, current_app, g, request
from marshmallow import Schema
from sqlalchemy.orm import Session

from trading import idempotency
from trading.db.ids import new_id
from trading.errors import DomainError, ValidationFailed
from trading.idempotency import Claim, StoredAnswer
from trading.problems import MIMETYPE
from trading.unit_of_work import UnitOfWork
from webapp.context import get_core
from webapp.http.problems import domain_error_response, is_momentary

log = structlog.get_logger(__name__)

T = TypeVar("T")

KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"

_KEY = re.compile(r"[\x21-\x7e]{1,64}", re.ASCII)


def _unchanged(result: object) -> object:
    return result


def run_command(
    use_case: Callable[[UnitOfWork], T],
    *,
    schema: type[Schema],
    message: str | Callable[[T], str],
    status: int = 200,
    location: str | None = None,
    data: Callable[[T], object] = _unchanged,
    before_transaction: Callable[[], None] = lambda: None,
    find_committed: Callable[[Session], T | None] | None = None,
) -> Response:
    """Run a use case in a transaction and answer with its result.

    `message` and `data` may be computed from the result; `location` is the new resource's path.
    The answer is stored in the use case's transaction, so it is found when the outcome of the
    COMMIT is unknown. `find_committed` replaces that row for a request without Idempotency-Key.
    `before_transaction` runs once the key is claimed and while no transaction is open: it may wait
    for an external service.
    """

    def answer(result: T) -> StoredAnswer:
        text = message if isinstance(message, str) else message(result)
        body = _instance(schema).dump({"success": True, "message": text, "data": data(result)})
        return StoredAnswer(
            status=status,
            body=current_app.json.dumps(body),
            location=location,
        )

    def run(uow: UnitOfWork) -> StoredAnswer:
        return answer(use_case(uow))

    if KEY_HEADER in request.headers:
        return _run_keyed(run, before_transaction)
    before_transaction()
    if find_committed is None:
        return _response(_run_recorded(run))
    return _response(
        get_core().run_once(
            run,
            find_committed=lambda session: (
                None if (result := find_committed(session)) is None else answer(result)
            ),
        )
    )


def _run_recorded(run: Callable[[UnitOfWork], StoredAnswer]) -> StoredAnswer:
    """Run a command without Idempotency-Key; its answer is stored under a generated key."""
    claim = Claim(scope=_scope(), key=new_id().hex, claim_id=new_id())

    def run_and_record(uow: UnitOfWork) -> StoredAnswer:
        answer = run(uow)
        idempotency.record(uow.session, claim, answer, now=uow.now)
        return answer

    return get_core().run_once(
        run_and_record, find_committed=partial(idempotency.completed, claim=claim)
    )


def _run_keyed(
    run: Callable[[UnitOfWork], StoredAnswer], before_transaction: Callable[[], None]
) -> Response:
    """Run a command once for its Idempotency-Key, or repeat the first answer.

    A permanent refusal is stored as the answer. A momentary one, and any other exception, releases
    the key.
    """
    claim = _claim_key()
    if isinstance(claim, StoredAnswer):
        log.info("idempotent_replay", status=claim.status, location=claim.location)
        return _response(claim, replayed=True)

    def run_and_complete(uow: UnitOfWork) -> StoredAnswer:
        answer = run(uow)
        idempotency.complete(uow.session, claim, answer)
        return answer

    try:
        before_transaction()
        return _response(
            get_core().run_once(
                run_and_complete, find_committed=partial(idempotency.completed, claim=claim)
            )
        )
    except DomainError as refusal:
        return _refuse(claim, refusal)
    except Exception:
        _free(claim)
        raise


@cache
def _instance(schema: type[Schema]) -> Schema:
    """Return one shared instance: creating one copies every field, and dumping changes nothing."""
    return schema()


def _scope() -> str:
    identity = g.get("identity")
    return "anonymous" if identity is None else str(identity.user_id.hex)


def _claim_key() -> Claim | StoredAnswer:
    """Claim the request's Idempotency-Key, or return the answer that it already has."""
    key = request.headers[KEY_HEADER]
    if not _KEY.fullmatch(key):
        raise ValidationFailed(field=KEY_HEADER, limit=64)
    scope, request_hash, claim_id = _scope(), _request_hash(), new_id()

    def claim(uow: UnitOfWork) -> Claim | StoredAnswer:
        return idempotency.claim(
            uow.session,
            scope=scope,
            key=key,
            request_hash=request_hash,
            claim_id=claim_id,
            keep_h=uow.settings.idempotency_key_hours,
            now=uow.now,
        )

    return get_core().run(claim)


def _request_hash() -> bytes:
    """Return a hash of method, path, query and JSON content.

    Keyed, because a body may hold a password.
    """
    content = current_app.json.dumps(request.get_json(silent=True), sort_keys=True)
    path = request.full_path if request.query_string else request.path
    return hmac.digest(
        get_core().settings.jwt_secret.encode(),
        f"{request.method} {path}\n{content}".encode("utf-8", "surrogatepass"),
        "sha256",
    )


def _refuse(claim: Claim, refusal: DomainError) -> Response:
    """Store a permanent refusal as the answer; release the key after a momentary one.

    If an earlier attempt was committed although its COMMIT seemed to fail, return its answer.
    """
    response = domain_error_response(refusal)
    answer = StoredAnswer(
        status=response.status_code, body=response.get_data(as_text=True), location=None
    )
    kept = None if is_momentary(refusal.code) else answer
    committed = get_core().run(lambda uow: idempotency.refuse(uow.session, claim, kept))
    return response if committed is None else _response(committed)


def _free(claim: Claim) -> None:
    get_core().run(lambda uow: idempotency.give_up(uow.session, claim))


def is_success(answer: Response) -> bool:
    """Return True if this request succeeded and is not a replay."""
    return answer.status_code < 400 and REPLAYED_HEADER not in answer.headers


def is_created(answer: Response) -> bool:
    """Return True if this request created a resource and is not a replay."""
    return answer.status_code == 201 and is_success(answer)


def _response(answer: StoredAnswer, *, replayed: bool = False) -> Response:
    mimetype = MIMETYPE if answer.status >= 400 else "application/json"
    response = Response(answer.body, status=answer.status, mimetype=mimetype)
    if answer.location is not None:
        response.headers["Location"] = answer.location
    if replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return response
