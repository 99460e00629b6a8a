"""What is pushed to clients, in the two forms in which it travels: server-sent events and WebSocket messages.

type                        id        data
ready                       event's   {"last_event_id": 7}: account events behind 7 follow
tick                        –         the public members of a tick
order, fill, cash, holding  event's   the account event as AccountEvent.to_json tells it
resync                      –         {"after": 7}: ask for the account events behind 7 over HTTP, then go on
status                      –         {"live": false}: Redis is away, nothing comes; true: all that was missed follows
expired, signed-out         –         {}: the last message; come again with a new token, or not at all
closing                     –         {"retry_ms": 2000}: the last message of a server that restarts
keep-alive                  –         {}, as server-sent events a comment
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from trading.account_events.stream import AccountEvent
from trading.marketdata.ticks import Position, Tick

RETRY_MS = 2_000
# What a stream of server-sent events begins with: how long to wait before coming again after a loss.
SSE_PREAMBLE = f"retry: {RETRY_MS}\n\n".encode()


class PushMessage:
    """One message: a word that says what it is, JSON in one line, and the id of the account event that it brings a client to.

    It is encoded once, however many clients get it.
    """

    def __init__(self, kind: str, data: str, event_id: int | None = None) -> None:
        self.kind = kind
        self.data = data
        self.event_id = event_id

    @cached_property
    def sse(self) -> bytes:
        """As a server-sent event."""
        place = "" if self.event_id is None else f"id: {self.event_id}\n"
        return f"event: {self.kind}\n{place}data: {self.data}\n\n".encode("utf-8", "replace")

    @cached_property
    def text(self) -> bytes:
        """As the text of a WebSocket message: ``{"type": …, "id": …, "data": …}``, without ``id`` where there is none."""
        place = "" if self.event_id is None else f'"id":{self.event_id},'
        return f'{{"type":"{self.kind}",{place}"data":{self.data}}}'.encode("utf-8", "replace")


class _KeepAlive(PushMessage):
    """Says nothing but that the connection stands; a comment where the form has such."""

    @cached_property
    def sse(self) -> bytes:
        return b": keep-alive\n\n"


class _Closing(PushMessage):
    """Bids to come again after a while that differs from client to client, so that they don't come all at once."""

    def __init__(self, retry_ms: int) -> None:
        super().__init__("closing", to_json({"retry_ms": retry_ms}))
        self._retry_ms = retry_ms

    @cached_property
    def sse(self) -> bytes:
        return f"retry: {self._retry_ms}\n".encode() + super().sse


def tick_members(tick: Tick) -> dict[str, Any]:
    """What a user sees of a tick (won, shares) besides its age, which depends on when he looks."""
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
    """It bears no id: a client that has not asked yet must not count the events that it is to ask for as received."""
    return PushMessage("resync", to_json({"after": after}))


def status(*, live: bool) -> PushMessage:
    return PushMessage("status", to_json({"live": live}))


def closing(retry_ms: int) -> PushMessage:
    return _Closing(retry_ms)


EXPIRED = PushMessage("expired", "{}")
SIGNED_OUT = PushMessage("signed-out", "{}")
KEEP_ALIVE = _KeepAlive("keep-alive", "{}")


def to_json(members: Mapping[str, Any]) -> str:
    """JSON in one line; times as RFC 3339, a place in the tick stream as its text."""
    shown = {name: _shown(value) for name, value in members.items()}
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))


def _shown(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Position) else value
