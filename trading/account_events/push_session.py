"""What one client is told and when: a state machine without I/O, the same behind Flask's stream and behind the gateway.

Its driver subscribes to the client's channels first, then asks ``look`` what to read in Redis and hands the answers to ``learn``. From then on it
passes on what comes by the channels, and writes to the client what ``take`` gives, whenever the client's socket has room.

Ticks conflate: of each stock the latest one waits. Account events never do. Their ids have no gaps, so a missing one shows: it is then read from
the account's stream, and where that does not have it either, the client is told to ask for it over HTTP.
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
# More than this many messages that may not be dropped end the connection. A page of the stream is read only when none waits.
QUEUE_LENGTH_MAX = 256
KEEP_ALIVE_S = 15
EVENT_ID_DIGITS = 15


@dataclass(frozen=True, slots=True)
class CatchUpRequest:
    """What must be read in Redis for a client: the last ticks of ``codes``, and with ``events`` the account's stream behind ``after``, or
    only its end when the client has no place yet. Whether the session still stands is always looked up. Up to ``heard`` the stream must have all:
    an event is added before it is published.
    """

    codes: tuple[str, ...]
    events: bool
    after: int | None
    heard: int


class PushSession:
    """The messages for one client. Once it ``ended`` nothing follows ``end``, its last message; None stands for an end that can't be told, as
    the client has taken nothing for too long.
    """

    def __init__(
        self, bearer: Bearer, *, codes: Iterable[str], last_event_id: int | None, now: datetime
    ) -> None:
        self.bearer = bearer
        self.ended = False
        self.end: PushMessage | None = None
        self._unseen = set(codes)
        self._positions: dict[str, Position | None] = dict.fromkeys(self._unseen)
        self._ticks: dict[str, PushMessage] = {}
        self._waiting: deque[PushMessage] = deque()
        self._sent_at = now
        # The place is the id of the last event that was queued. While the client is behind, events that come are only noted, and then read.
        self._place = last_event_id
        self._begun = False
        self._behind = True
        self._heard = 0
        # The stream was empty when this client came without a place of its own: whatever is added from then on is all that there is.
        self._from_nothing = False

    @property
    def codes(self) -> Iterable[str]:
        """The stocks that are followed."""
        return self._positions.keys()

    @property
    def channels(self) -> list[str]:
        """Where what it follows is published."""
        return [keys.account_channel(self.bearer.user_id), *map(keys.tick_channel, self._positions)]

    def follow(self, codes: Iterable[str]) -> None:
        """Follow these stocks too; the last tick of each is told. Raises ValidationFailed beyond 200."""
        added = set(codes) - self._positions.keys()
        if len(self._positions) + len(added) > CODES_MAX:
            raise ValidationFailed(field="stock_codes", limit=CODES_MAX)
        self._positions.update(dict.fromkeys(added))
        self._unseen |= added

    def unfollow(self, codes: Iterable[str]) -> None:
        """Follow these no more; a tick of theirs that waits is forgotten."""
        for code in codes:
            self._positions.pop(code, None)
            self._ticks.pop(code, None)
            self._unseen.discard(code)

    def next_catch_up(self) -> CatchUpRequest | None:
        """What must be read now; None for nothing. Events are not read while others still wait to be written."""
        events = self._behind and not self._waiting
        if self.ended or not (events or self._unseen):
            return None
        return CatchUpRequest(tuple(sorted(self._unseen)), events, self._place, self._heard)

    def apply_catch_up(self, look: CatchUpRequest, answers: Sequence[Any]) -> None:
        """What Redis answered to the commands of ``queue_look``."""
        revoked, newest, *others = answers
        if self.ended:
            return
        if revoked:
            self.finish(messages.SIGNED_OUT)
            return
        if look.events:
            end = event_id_of_entry(newest[0][0]) if newest else None
            if look.after is None:
                self._begin(end)
            else:
                self._catch_up(
                    _part(self.bearer.user_id, look.after, others.pop()), end or 0, look.heard
                )
        self._unseen.difference_update(look.codes)
        for text in others:
            tick = None if text is None else parse_tick(text)
            if tick is not None:
                self.offer_tick(tick.code, tick.position, messages.tick_message(tick))

    def offer_tick(self, code: str, position: Position, message: PushMessage) -> None:
        """A tick of a stock, which replaces one that still waits; nothing where it is not followed, or is no news."""
        if self.ended or code not in self._positions:
            return
        last = self._positions[code]
        if last is None or position > last:
            self._positions[code] = position
            self._ticks[code] = message

    def offer_event(self, event_id: int, message: PushMessage) -> None:
        """An event of the account, as it was published."""
        self._heard = max(self._heard, event_id)
        if self.ended or self._behind or self._place is None:
            return
        if self._from_nothing or event_id == self._place + 1:
            self._from_nothing = False
            self._place = event_id
            self._queue(message)
        elif event_id > self._place:
            self._behind = True

    def mark_disconnected(self) -> None:
        """The channels are lost: what is published from now on does not come."""
        self._tell_status(live=False)

    def mark_reconnected(self) -> None:
        """The channels are there again: what was missed must be read."""
        self._behind = True
        self._from_nothing = False
        self._unseen.update(self._positions)
        self._tell_status(live=True)

    def on_timer(self, now: datetime) -> bool:
        """Let time pass: whether there is something to write. The token may have expired, or the client have heard nothing for 15 s."""
        if not self.ended and now >= self.bearer.expires_at:
            self.finish(messages.EXPIRED)
            return True
        if (
            not self.ended
            and self._begun
            and now - self._sent_at >= timedelta(seconds=KEEP_ALIVE_S)
        ):
            self._sent_at = now
            if not self._waiting and not self._ticks:
                self._waiting.append(messages.KEEP_ALIVE)
            return True
        return False

    def finish(self, last: PushMessage | None) -> None:
        """Let ``last`` be the last message. Without one, what waits is forgotten too: the client comes again and is told it then."""
        if self.ended:
            return
        self.ended, self.end = True, last
        self._ticks.clear()
        if last is None:
            self._waiting.clear()
        else:
            self._waiting.append(last)

    def take(self, now: datetime) -> list[PushMessage]:
        """All messages to be written now, in their order."""
        if not self._begun and not self.ended:
            return []
        taken = [*self._waiting, *self._ticks.values()]
        self._waiting.clear()
        self._ticks.clear()
        if taken:
            self._sent_at = now
        return taken

    def _begin(self, end: int | None) -> None:
        self._from_nothing = end is None
        self._place = end or 0
        self._tell_ready(self._place)
        self._behind = self._heard > self._place

    def _catch_up(self, part: EventSlice, end: int, heard: int) -> None:
        place = self._place = self._place or 0
        if not self._begun:
            self._tell_ready(place)
        if part.complete or (self._from_nothing and part.events):
            for event in part.events:
                self._place = event.id
                self._queue(messages.event_message(event))
        # An event that was heard before but can't be read any more is missing like one that was never heard.
        if self._place == place and (not part.complete or heard > place):
            self._queue(messages.resync(place))
            self._place = max(place, end, self._heard)
        self._from_nothing = False
        self._behind = max(end, self._heard) > self._place

    def _tell_ready(self, place: int) -> None:
        self._begun = True
        self._waiting.append(messages.ready(place))

    def _tell_status(self, *, live: bool) -> None:
        if self._begun and not self.ended:
            self._queue(messages.status(live=live))

    def _queue(self, message: PushMessage) -> None:
        if self.ended:
            return
        if len(self._waiting) >= QUEUE_LENGTH_MAX:
            self.finish(None)
        else:
            self._waiting.append(message)


def queue_catch_up(
    pipeline: "AsyncPipeline | Pipeline", bearer: Bearer, look: CatchUpRequest
) -> None:
    """Append the commands whose answers ``ClientFeed.learn`` takes."""
    stream = keys.account_stream(bearer.user_id)
    pipeline.get(keys.revoked_session(bearer.session_id))
    pipeline.xrevrange(stream, count=1)
    for code in look.codes:
        pipeline.get(keys.last_tick(code))
    if look.events and look.after is not None:
        pipeline.xrange(stream, min=f"{look.after}-0", count=EVENTS_PAGE + 1)


def parse_stock_codes(texts: Iterable[object]) -> tuple[str, ...]:
    """The product codes that a client asks for, each once. Raises ValidationFailed for what is none, and beyond 200."""
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
    """The id that a client gives as the last one it has, as text or a whole number; None for none. Raises ValidationFailed."""
    if given is None or given == "":
        return None
    text = str(given) if type(given) in (str, int) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= EVENT_ID_DIGITS):
        raise ValidationFailed(field="last_event_id")
    return int(text)


def parse_tick(text: str) -> Tick | None:
    """The tick that a channel brought; None for a text that is none."""
    try:
        return Tick.from_json(text)
    except MalformedTick:
        return None


def parse_event(user_id: UUID, text: str) -> AccountEvent | None:
    """The account event that a channel brought; None for a text that is none."""
    try:
        return AccountEvent.from_json(text, user_id=user_id)
    except MalformedEvent:
        return None


def _part(
    user_id: UUID, after: int, entries: Sequence[tuple[str, Mapping[str, str]]]
) -> EventSlice:
    """A stream with an entry that can't be read is one in which events are missing."""
    try:
        return events_after(user_id, after, entries, limit=EVENTS_PAGE)
    except MalformedEvent:
        return EventSlice((), complete=False)
