"""Messages for one client: a state machine without I/O, driven by the push gateway.

The driver subscribes to the client's channels first. It then runs the Redis commands of
``next_catch_up`` and passes the answers to ``apply_catch_up``. From then on it passes on what the
channels deliver, and writes what ``take`` returns whenever the client's socket accepts data.

Ticks are conflated: only the latest one of each stock waits. Account events are never dropped.
Their ids have no gaps, so a missing event is detected; it is then read from the account's stream,
and if that no longer has it, the client is asked to fetch it over HTTP.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from trading.access_tokens import Bearer
from trading.account_events import push_messages as messages
from trading.account_events.push_messages import PushMessage
from trading.account_events.stream import (
    AccountEvent,
    EventSlice,
    MalformedEvent,
    event_id_of_entry,
    events_after,
)
from trading.errors import ValidationFailed
from trading.marketdata.stock_codes import product_code
from trading.marketdata.ticks import MalformedTick, Position, Tick
from trading.redis import keys

if TYPE_CHECKING:
    from redis.asyncio.client import Pipeline as AsyncPipeline
    from redis.client import Pipeline

CODES_MAX = 200
EVENTS_PAGE = 100
# The connection ends when more messages than this wait that must not be dropped. A page of the
# stream is read only while none waits.
QUEUE_LENGTH_MAX = 256
KEEP_ALIVE_S = 15
EVENT_ID_DIGITS = 15


@dataclass(frozen=True, slots=True)
class CatchUpRequest:
    """What to read from Redis for a client.

    The last ticks of ``codes``; with ``events`` also the account's stream after ``after``, or only
    its end when the client has no position yet. Whether the session was revoked is always read.
    The stream must contain all events up to ``last_published_id``, because an event is added
    before it is published.
    """

    codes: tuple[str, ...]
    events: bool
    after: int | None
    last_published_id: int


class PushSession:
    """Messages for one client.

    After ``ended`` is set nothing follows ``end``, the last message; ``end`` is None if the client
    accepted no data for too long and gets no last message.
    """

    def __init__(
        self, bearer: Bearer, *, codes: Iterable[str], last_event_id: int | None, now: datetime
    ) -> None:
        self.bearer = bearer
        self.ended = False
        self.end: PushMessage | None = None
        self._unread_codes = set(codes)
        self._positions: dict[str, Position | None] = dict.fromkeys(self._unread_codes)
        self._ticks: dict[str, PushMessage] = {}
        self._waiting: deque[PushMessage] = deque()
        self._sent_at = now
        # Id of the last event that was queued. While the client is behind, published events are
        # only counted and then read from the stream.
        self._last_id = last_event_id
        self._is_ready = False
        self._is_behind = True
        self._last_published_id = 0
        # The stream was empty when a client without a position connected: events added from then on
        # are all there are.
        self._stream_was_empty = False

    @property
    def codes(self) -> Iterable[str]:
        """The stocks that the client follows."""
        return self._positions.keys()

    @property
    def channels(self) -> list[str]:
        """The channels that the client needs."""
        return [keys.account_channel(self.bearer.user_id), *map(keys.tick_channel, self._positions)]

    def follow(self, codes: Iterable[str]) -> None:
        """Follow these stocks too, and send the last tick of each.

        Raises ValidationFailed above CODES_MAX.
        """
        added = set(codes) - self._positions.keys()
        if len(self._positions) + len(added) > CODES_MAX:
            raise ValidationFailed(field="stock_codes", limit=CODES_MAX)
        self._positions.update(dict.fromkeys(added))
        self._unread_codes |= added

    def unfollow(self, codes: Iterable[str]) -> None:
        """Stop following these stocks and drop their waiting ticks."""
        for code in codes:
            self._positions.pop(code, None)
            self._ticks.pop(code, None)
            self._unread_codes.discard(code)

    def next_catch_up(self) -> CatchUpRequest | None:
        """Return what must be read now, or None.

        Events are not read while earlier ones wait to be written.
        """
        events = self._is_behind and not self._waiting
        if self.ended or not (events or self._unread_codes):
            return None
        return CatchUpRequest(
            tuple(sorted(self._unread_codes)), events, self._last_id, self._last_published_id
        )

    def apply_catch_up(self, request: CatchUpRequest, answers: Sequence[Any]) -> None:
        """Process Redis's answers to the commands of ``queue_catch_up``."""
        revoked, newest, *others = answers
        if self.ended:
            return
        if revoked:
            self.finish(messages.SIGNED_OUT)
            return
        if request.events:
            stream_end = event_id_of_entry(newest[0][0]) if newest else None
            if request.after is None:
                self._start(stream_end)
            else:
                self._catch_up(
                    _parse_slice(self.bearer.user_id, request.after, others.pop()),
                    stream_end or 0,
                    request.last_published_id,
                )
        self._unread_codes.difference_update(request.codes)
        for text in others:
            tick = None if text is None else parse_tick(text)
            if tick is not None:
                self.offer_tick(tick.code, tick.position, messages.tick_message(tick))

    def offer_tick(self, code: str, position: Position, message: PushMessage) -> None:
        """Queue a stock's tick, replacing one that waits.

        Ignore older ticks and stocks that the client does not follow.
        """
        if self.ended or code not in self._positions:
            return
        last = self._positions[code]
        if last is None or position > last:
            self._positions[code] = position
            self._ticks[code] = message

    def offer_event(self, event_id: int, message: PushMessage) -> None:
        """Process an account event from its channel."""
        self._last_published_id = max(self._last_published_id, event_id)
        if self.ended or self._is_behind or self._last_id is None:
            return
        if self._stream_was_empty or event_id == self._last_id + 1:
            self._stream_was_empty = False
            self._last_id = event_id
            self._queue(message)
        elif event_id > self._last_id:
            self._is_behind = True

    def mark_disconnected(self) -> None:
        """Report to the client that the channels are lost, so that nothing is delivered."""
        self._queue_status(live=False)

    def mark_reconnected(self) -> None:
        """Report that the channels are back, and read what was missed."""
        self._is_behind = True
        self._stream_was_empty = False
        self._unread_codes.update(self._positions)
        self._queue_status(live=True)

    def on_timer(self, now: datetime) -> bool:
        """Check timeouts; return True if there is something to write.

        The token may have expired, or nothing may have been sent for KEEP_ALIVE_S seconds.
        """
        if not self.ended and now >= self.bearer.expires_at:
            self.finish(messages.EXPIRED)
            return True
        if (
            not self.ended
            and self._is_ready
            and now - self._sent_at >= timedelta(seconds=KEEP_ALIVE_S)
        ):
            self._sent_at = now
            if not self._waiting and not self._ticks:
                self._waiting.append(messages.KEEP_ALIVE)
            return True
        return False

    def finish(self, last: PushMessage | None) -> None:
        """End with ``last`` as the last message.

        None drops the waiting messages too: the client gets them after it reconnects.
        """
        if self.ended:
            return
        self.ended, self.end = True, last
        self._ticks.clear()
        if last is None:
            self._waiting.clear()
        else:
            self._waiting.append(last)

    def take(self, now: datetime) -> list[PushMessage]:
        """Return and remove all messages to write now, in order."""
        if not self._is_ready and not self.ended:
            return []
        taken = [*self._waiting, *self._ticks.values()]
        self._waiting.clear()
        self._ticks.clear()
        if taken:
            self._sent_at = now
        return taken

    def _start(self, stream_end: int | None) -> None:
        self._stream_was_empty = stream_end is None
        self._last_id = stream_end or 0
        self._queue_ready(self._last_id)
        self._is_behind = self._last_published_id > self._last_id

    def _catch_up(self, unread: EventSlice, stream_end: int, last_published_id: int) -> None:
        last_id = self._last_id = self._last_id or 0
        if not self._is_ready:
            self._queue_ready(last_id)
        if unread.complete or (self._stream_was_empty and unread.events):
            for event in unread.events:
                self._last_id = event.id
                self._queue(messages.event_message(event))
        # An event that was published but cannot be read any more counts as missing, like one never
        # received.
        if self._last_id == last_id and (not unread.complete or last_published_id > last_id):
            self._queue(messages.resync(last_id))
            self._last_id = max(last_id, stream_end, self._last_published_id)
        self._stream_was_empty = False
        self._is_behind = max(stream_end, self._last_published_id) > self._last_id

    def _queue_ready(self, last_id: int) -> None:
        self._is_ready = True
        self._waiting.append(messages.ready(last_id))

    def _queue_status(self, *, live: bool) -> None:
        if self._is_ready and not self.ended:
            self._queue(messages.status(live=live))

    def _queue(self, message: PushMessage) -> None:
        if self.ended:
            return
        if len(self._waiting) >= QUEUE_LENGTH_MAX:
            self.finish(None)
        else:
            self._waiting.append(message)


def queue_catch_up(
    pipeline: "AsyncPipeline | Pipeline", bearer: Bearer, request: CatchUpRequest
) -> None:
    """Append the commands whose answers ``PushSession.apply_catch_up`` processes."""
    stream = keys.account_stream(bearer.user_id)
    pipeline.get(keys.revoked_session(bearer.session_id))
    pipeline.xrevrange(stream, count=1)
    for code in request.codes:
        pipeline.get(keys.last_tick(code))
    if request.events and request.after is not None:
        pipeline.xrange(stream, min=f"{request.after}-0", count=EVENTS_PAGE + 1)


def parse_stock_codes(texts: Iterable[object]) -> tuple[str, ...]:
    """Return the product codes that a client asks for, each once.

    Raises ValidationFailed for an invalid code and above CODES_MAX.
    """
    codes: dict[str, None] = {}
    for text in texts:
        code = product_code(text) if isinstance(text, str) else None
        if code is None or len(codes) > CODES_MAX:
            raise ValidationFailed(field="stock_codes", limit=CODES_MAX)
        codes[code] = None
    if len(codes) > CODES_MAX:
        raise ValidationFailed(field="stock_codes", limit=CODES_MAX)
    return tuple(codes)


def parse_event_id(given: object) -> int | None:
    """Return the last event id that a client gives as text or integer; None for none.

    Raises ValidationFailed for anything else.
    """
    if given is None or given == "":
        return None
    text = str(given) if type(given) in (str, int) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= EVENT_ID_DIGITS):
        raise ValidationFailed(field="last_event_id")
    return int(text)


def parse_tick(text: str) -> Tick | None:
    """Return the tick in a channel's message; None if it is malformed."""
    try:
        return Tick.from_json(text)
    except MalformedTick:
        return None


def parse_event(user_id: UUID, text: str) -> AccountEvent | None:
    """Return the account event in a channel's message; None if it is malformed."""
    try:
        return AccountEvent.from_json(text, user_id=user_id)
    except MalformedEvent:
        return None


def _parse_slice(
    user_id: UUID, after: int, entries: Sequence[tuple[str, Mapping[str, str]]]
) -> EventSlice:
    """Return the events after ``after``; a malformed entry makes the slice incomplete."""
    try:
        return events_after(user_id, after, entries, limit=EVENTS_PAGE)
    except MalformedEvent:
        return EventSlice((), complete=False)
