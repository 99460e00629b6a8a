"""Request id, request log line and request metrics.

The id is the client's own if well-formed, else a new one. It is returned, logged and sent with
every task.
"""

import time
from uuid import UUID

import structlog
from flask import Flask, Response, g, request

from trading.db.ids import new_id
from trading.observability.metrics import instruments
from trading.requests import HEADER, is_proper

log = structlog.get_logger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def install(app: Flask) -> None:
    app.before_request(_start_request)
    app.after_request(_finish_request)
    app.teardown_request(_release_request)


def _start_request() -> None:
    client_id = request.headers.get(HEADER, "")
    g.request_id = client_id if is_proper(client_id) else new_id().hex
    g.began_at = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    # Log only ids from the path: their converter has validated them; other parts are user input.
    ids = {
        name: str(value)
        for name, value in (request.view_args or {}).items()
        if isinstance(value, UUID)
    }
    structlog.contextvars.bind_contextvars(request_id=g.request_id, **ids)
    instruments.record(instruments.REQUESTS_IN_FLIGHT, _method())


def _finish_request(response: Response) -> Response:
    if "request_id" not in g:
        return response
    response.headers[HEADER] = g.request_id
    # Log the rule instead of the path: a path may contain user input.
    rule = request.url_rule.rule if request.url_rule else None
    seconds = time.perf_counter() - g.began_at
    labels = _method(), rule or "none", response.status_code
    instruments.record(instruments.REQUEST_DURATION, *labels, value=seconds)
    # Clear when the response is closed, which for a stream is at its end. Later log lines of the
    # server on this thread do not belong to this request.
    response.call_on_close(structlog.contextvars.clear_contextvars)
    duration_ms = round(seconds * 1_000, 1)
    log.info(
        "request",
        method=request.method,
        rule=rule,
        status=response.status_code,
        duration_ms=duration_ms,
    )
    return response


def _release_request(_fault: BaseException | None) -> None:
    if "request_id" in g:
        instruments.record(instruments.REQUESTS_IN_FLIGHT, _method(), value=-1)


def _method() -> str:
    """Return the method as a label; clients may send any string as method."""
    return request.method if request.method in _METHODS else "other"
