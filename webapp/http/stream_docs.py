"""The event stream in the API's document. The push gateway serves it (docs/streaming.md)."""

from collections.abc import Mapping
from typing import Any

from trading.account_events.push_session import CODES_MAX
from trading.problems import MIMETYPE
from webapp.context import PREFIX

TAG: Mapping[str, str] = {"name": "Stream", "description": "실시간 스트림"}
PATH = f"{PREFIX}/trading/realtime/stream"

_EXAMPLE = 'id: 7\nevent: cash\ndata: {"id": 7, "kind": "cash", "data": {"amount": 700000}}\n\n'
_TEXT = {"type": "string"}
_PROBLEM = {MIMETYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}

OPERATIONS: Mapping[str, Any] = {
    "get": {
        "summary": "Ticks of these stocks and own account events as they happen",
        "description": "Server-sent events from the push gateway; `/ws` is its WebSocket twin.",
        "tags": [TAG["name"]],
        "security": [{"bearer": []}],
        "parameters": [
            {
                "in": "query",
                "name": "stock_codes",
                "schema": {"type": "array", "maxItems": CODES_MAX, "items": _TEXT},
                "explode": True,
                "style": "form",
            },
            {
                "in": "query",
                "name": "last_event_id",
                "description": "the last event's id, for clients that can't set the header",
                "schema": _TEXT,
            },
            {
                "in": "header",
                "name": "Last-Event-ID",
                "description": "the last event's id: the stream resumes behind it",
                "schema": _TEXT,
            },
        ],
        "responses": {
            "200": {
                "description": "OK",
                "content": {"text/event-stream": {"schema": _TEXT, "example": _EXAMPLE}},
            },
            "429": {"description": "rate-limited, stream-limit-reached", "content": _PROBLEM},
            "503": {"description": "too-many-streams, upstream-unavailable", "content": _PROBLEM},
            "default": {"$ref": "#/components/responses/DEFAULT_ERROR"},
        },
    }
}
