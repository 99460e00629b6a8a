"""Failures as RFC 9457 problems, with the same texts as the API."""

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


def code_and_facts(fault: Exception) -> tuple[str, dict[str, object]]:
    """Return a failure's problem code and facts."""
    if isinstance(fault, DomainError):
        return fault.code, dict(fault.facts)
    return (
        "upstream-unavailable" if isinstance(fault, MarketUnavailable) else "internal-error"
    ), {}


def problem_of(fault: Exception, request: web.Request) -> dict[str, Any]:
    """Return the members of a failure's problem, and count it."""
    code, facts = code_and_facts(fault)
    instruments.record(instruments.PROBLEMS, code)
    return problem_members(
        code, SHARED_PROBLEMS[code], instance=request.path, request_id=request[REQUEST_ID], **facts
    )


@web.middleware
async def handle_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn exceptions raised before the response starts into problems, and assign a request id.

    The client's own id is used if it is well-formed.
    """
    given = request.headers.get(HEADER, "")
    request[REQUEST_ID] = given if is_proper(given) else uuid4().hex
    # One connection may carry several requests in one context.
    clear_contextvars()
    bind_contextvars(request_id=request[REQUEST_ID])
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        if refusal.status < 400:
            raise
        code = _BY_HTTP_STATUS.get(refusal.status, "malformed-request")
        response = _respond(code, request)
        if "Allow" in refusal.headers:
            response.headers["Allow"] = refusal.headers["Allow"]
        return response
    except (DomainError, MarketUnavailable) as refusal:
        code, facts = code_and_facts(refusal)
        log.info("request_refused", code=code)
        return _respond(code, request, **facts)
    except Exception:
        log.exception("request_failed")
        return _respond("internal-error", request)
    finally:
        clear_contextvars()


async def send_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Send the request id to the client."""
    if REQUEST_ID in request:
        response.headers[HEADER] = request[REQUEST_ID]


def _respond(code: str, request: web.Request, **facts: object) -> web.Response:
    instruments.record(instruments.PROBLEMS, code)
    problem = SHARED_PROBLEMS[code]
    body = problem_members(
        code, problem, instance=request.path, request_id=request[REQUEST_ID], **facts
    )
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    response = web.Response(body=text, status=problem.status, content_type=MIMETYPE)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if problem.status == 503 or "retry_after_s" in facts:
        response.headers["Retry-After"] = str(facts.get("retry_after_s", RETRY_AFTER_S))
    return response
