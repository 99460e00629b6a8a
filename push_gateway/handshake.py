"""Parse what a client requests, from HTTP headers or a WebSocket message.

All input is validated and bounded.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from push_gateway.tokens import Tokens
from trading.access_tokens import Bearer
from trading.account_events.push_session import PushSession, parse_event_id, parse_stock_codes
from trading.errors import Unauthorized, ValidationFailed
from trading.requests import refuse_unknown_parameters

MESSAGE_BYTES_MAX = 16 * 1024
QUERY_PARAMETERS = ("stock_codes", "last_event_id")


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """An authenticated request to stream stocks, from an event id on."""

    bearer: Bearer
    codes: tuple[str, ...]
    last_event_id: int | None

    def open_session(self, clock: Callable[[], datetime]) -> PushSession:
        return PushSession(
            self.bearer, codes=self.codes, last_event_id=self.last_event_id, now=clock()
        )


@dataclass(frozen=True, slots=True)
class Change:
    """Stocks to follow or to stop following."""

    follow: bool
    codes: tuple[str, ...]


def stream_request_from_http(request: web.Request, tokens: Tokens) -> StreamRequest:
    """Parse the HTTP request.

    Raises Unauthorized first, so that unauthenticated clients get no details of their input, then
    UnknownQueryParameter and ValidationFailed.
    """
    bearer = tokens.from_headers(request.headers)
    refuse_unknown_parameters(request.query, known=QUERY_PARAMETERS)
    given = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
    return StreamRequest(
        bearer, parse_stock_codes(request.query.getall("stock_codes", [])), parse_event_id(given)
    )


def stream_request_from_message(text: str, tokens: Tokens) -> StreamRequest:
    """Parse ``{"type": "auth", "token": …, "stock_codes": […], "last_event_id": …}``.

    Raises Unauthorized and ValidationFailed.
    """
    message = _object(text)
    if message.get("type") != "auth":
        raise Unauthorized
    bearer = tokens.bearer(message.get("token"))
    return StreamRequest(
        bearer, _codes(message.get("stock_codes", [])), parse_event_id(message.get("last_event_id"))
    )


def change_from_message(text: str) -> Change:
    """Parse ``{"type": "subscribe" or "unsubscribe", "stock_codes": […]}``.

    Raises ValidationFailed.
    """
    message = _object(text)
    kind = message.get("type")
    if kind not in ("subscribe", "unsubscribe"):
        raise ValidationFailed(field="type")
    return Change(kind == "subscribe", _codes(message.get("stock_codes")))


def _object(text: str) -> dict[str, object]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise ValidationFailed(field="message") from None
    if not isinstance(message, dict):
        raise ValidationFailed(field="message")
    return message


def _codes(given: object) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise ValidationFailed(field="stock_codes")
    return parse_stock_codes(given)
