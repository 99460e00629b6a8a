"""OpenAPI description of the event stream, which the push gateway serves (docs/streaming.md)."""

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
        "summary": "Stream ticks and account events",
        "description": (
            "실시간 스트림. 지정한 종목의 틱과 내 계좌 이벤트를 SSE로 받습니다. 같은 내용을 "
            "WebSocket `/ws`로도 받을 수 있습니다."
        ),
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
                "description": (
                    "마지막으로 받은 이벤트 번호. Last-Event-ID 헤더를 보낼 수 없을 때 사용"
                ),
                "schema": _TEXT,
            },
            {
                "in": "header",
                "name": "Last-Event-ID",
                "description": "마지막으로 받은 이벤트 번호. 그다음 이벤트부터 이어서 받음",
                "schema": _TEXT,
            },
        ],
        "responses": {
            "200": {
                "description": "성공",
                "content": {"text/event-stream": {"schema": _TEXT, "example": _EXAMPLE}},
            },
            "429": {"description": "rate-limited, stream-limit-reached", "content": _PROBLEM},
            "503": {"description": "too-many-streams, upstream-unavailable", "content": _PROBLEM},
            "default": {"$ref": "#/components/responses/DEFAULT_ERROR"},
        },
    }
}
