"""Failures as RFC 9457 problems, in the words that the API uses."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import structlog
from aiohttp import web
from structlog.contextvars import bind_contextvars, clear_contextvars

from trading.errors import DomainError
from trading.marketdata.quotes import MarketUnavailable
from trading.observability.metrics import instruments
from trading.problems import MIMETYPE, SHARED_PROBLEMS, problem_members
from trading.requests import HEADER, is_proper

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 5
REQUEST_ID = web.RequestKey("request_id", str)
_BY_HTTP_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "payload-too-large"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def code_and_facts(fault: Exception) -> tuple[str, dict[str, Any]]:
    """The problem code of a failure, with its facts."""
    if isinstance(fault, DomainError):
        return fault.code, dict(fault.facts)
    return (
        "upstream-unavailable" if isinstance(fault, MarketUnavailable) else "internal-error"
    ), {}


def members_of(fault: Exception, request: web.Request) -> dict[str, Any]:
    """The members of the problem that a failure is told as."""
    code, facts = code_and_facts(fault)
    instruments.record(instruments.PROBLEMS, code)
    return problem_members(
        code, SHARED_PROBLEMS[code], instance=request.path, request_id=request[REQUEST_ID], **facts
    )


@web.middleware
async def answer_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever a handler raises before it has answered becomes a problem. Each request has an id, the client's own if it is a proper one."""
    given = request.headers.get(HEADER, "")
    request[REQUEST_ID] = given if is_proper(given) else uuid4().hex
    # One connection may bring several requests, in one context.
    clear_contextvars()
    bind_contextvars(request_id=request[REQUEST_ID])
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        if refusal.status < 400:
            raise
        code = _BY_HTTP_STATUS.get(refusal.status, "malformed-request")
        answer = _answer(code, request)
        if "Allow" in refusal.headers:
            answer.headers["Allow"] = refusal.headers["Allow"]
        return answer
    except (DomainError, MarketUnavailable) as refusal:
        code, facts = code_and_facts(refusal)
        log.info("request_refused", code=code)
        return _answer(code, request, **facts)
    except Exception:
        log.exception("request_failed")
        return _answer("internal-error", request)
    finally:
        clear_contextvars()


async def name_request(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the client by which name his request stands in the log."""
    if REQUEST_ID in request:
        response.headers[HEADER] = request[REQUEST_ID]


def _answer(code: str, request: web.Request, **facts: Any) -> web.Response:
    instruments.record(instruments.PROBLEMS, code)
    words = SHARED_PROBLEMS[code]
    body = problem_members(
        code, words, instance=request.path, request_id=request[REQUEST_ID], **facts
    )
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    answer = web.Response(body=text, status=words.status, content_type=MIMETYPE)
    if words.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if words.status == 503 or "retry_after_s" in facts:
        answer.headers["Retry-After"] = str(facts.get("retry_after_s", RETRY_AFTER_S))
    return answer
