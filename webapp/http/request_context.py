"""Each request has an id: the client's own if it is a proper one, else a new one. It is answered, logged and goes along with every wake-up.

And each is counted, by its rule.
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
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_leave)


def _begin() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if is_proper(given) else new_id().hex
    g.began_at = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    # Of what an address carries only ids: its converter has made sure of them, while a text is what a user typed.
    ids = {
        name: str(value)
        for name, value in (request.view_args or {}).items()
        if isinstance(value, UUID)
    }
    structlog.contextvars.bind_contextvars(request_id=g.request_id, **ids)
    instruments.record(instruments.REQUESTS_IN_FLIGHT, _method())


def _end(response: Response) -> Response:
    if "request_id" not in g:
        return response
    response.headers[HEADER] = g.request_id
    # The rule and not the path: a path may carry what a user typed.
    rule = request.url_rule.rule if request.url_rule else None
    seconds = time.perf_counter() - g.began_at
    labels = _method(), rule or "none", response.status_code
    instruments.record(instruments.REQUEST_DURATION, *labels, value=seconds)
    # Not before a stream has ended; but what the server itself says on this thread later, of a request that never got here, is not this one's.
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


def _leave(_fault: BaseException | None) -> None:
    if "request_id" in g:
        instruments.record(instruments.REQUESTS_IN_FLIGHT, _method(), value=-1)


def _method() -> str:
    """Return the method as a label; a client may send any word as one."""
    return request.method if request.method in _METHODS else "other"
