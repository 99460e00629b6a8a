"""Messages pushed to clients, encoded as server-sent events and as WebSocket messages.

type                        id        data
ready                       event's   {"last_event_id": 7}: account events after 7 follow
tick                        –         the public members of a tick
order, fill, cash, holding  event's   the account event, see AccountEvent.to_json
resync                      –         {"after": 7}: get the account events after 7 over HTTP
status                      –         {"live": false}: Redis is unavailable, nothing is sent;
                                      true: everything missed follows
expired, signed-out         –         {}: last message; get a new token, or do not reconnect
closing                     –         {"retry_ms": 2000}: last message of a stopping server
keep-alive                  –         {}; as a server-sent event a comment
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property

from trading.account_events.stream import AccountEvent
from trading.marketdata.ticks import Position, Tick

RETRY_MS = 2_000
# Start of every event stream: the delay before a client reconnects.
SSE_PREAMBLE = f"retry: {RETRY_MS}\n\n".encode()


class PushMessage:
    """One message: its type, its data as JSON on one line, and the id of its account event, if any.

    It is encoded once for all clients that receive it.
    """

    def __init__(self, kind: str, data: str, event_id: int | None = None) -> None:
        self.kind = kind
        self.data = data
        self.event_id = event_id

    @cached_property
    def sse(self) -> bytes:
        """The message as a server-sent event."""
        id_field = "" if self.event_id is None else f"id: {self.event_id}\n"
        return f"event: {self.kind}\n{id_field}data: {self.data}\n\n".encode("utf-8", "replace")

    @cached_property
    def text(self) -> bytes:
        """The message as WebSocket text: ``{"type": …, "id": …, "data": …}``.

        ``id`` is left out if there is none.
        """
        id_field = "" if self.event_id is None else f'"id":{self.event_id},'
        return f'{{"type":"{self.kind}",{id_field}"data":{self.data}}}'.encode("utf-8", "replace")


class _KeepAlive(PushMessage):
    """A message without content that keeps the connection open; a comment in an event stream."""

    @cached_property
    def sse(self) -> bytes:
        return b": keep-alive\n\n"


class _Closing(PushMessage):
    """A request to reconnect after a delay that differs between clients, to spread the load."""

    def __init__(self, retry_ms: int) -> None:
        super().__init__("closing", to_json({"retry_ms": retry_ms}))
        self._retry_ms = retry_ms

    @cached_property
    def sse(self) -> bytes:
        return f"retry: {self._retry_ms}\n".encode() + super().sse


def tick_members(tick: Tick) -> dict[str, object]:
    """Return the public members of a tick (won, shares), without its age."""
    return {
        "stock_code": tick.code,
        "price": tick.price,
        "base_price": tick.base,
        "change": tick.change,
        "change_rate_bp": tick.change_rate_bp,
        "volume": tick.volume,
        "cumulative_volume": tick.cumulative_volume,
        "trade_type": tick.trade_type,
        "session": tick.session,
        "exchange": tick.exchange,
        "traded_at": tick.traded_at,
        "received_at": tick.received_at,
        "position": tick.position,
    }


def tick_message(tick: Tick) -> PushMessage:
    return PushMessage("tick", to_json(tick_members(tick)))


def event_message(event: AccountEvent) -> PushMessage:
    return PushMessage(event.kind, event.to_json(), event.id)


def ready(last_event_id: int) -> PushMessage:
    return PushMessage("ready", to_json({"last_event_id": last_event_id}), last_event_id)


def resync(after: int) -> PushMessage:
    """Return a message without an id: the client has yet to fetch the events."""
    return PushMessage("resync", to_json({"after": after}))


def status(*, live: bool) -> PushMessage:
    return PushMessage("status", to_json({"live": live}))


def closing(retry_ms: int) -> PushMessage:
    return _Closing(retry_ms)


EXPIRED = PushMessage("expired", "{}")
SIGNED_OUT = PushMessage("signed-out", "{}")
KEEP_ALIVE = _KeepAlive("keep-alive", "{}")


def to_json(members: Mapping[str, object]) -> str:
    """Return JSON on one line; times as RFC 3339, stream positions as text."""
    values = {name: _json_value(value) for name, value in members.items()}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Position) else value
