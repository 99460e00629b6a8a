"""What happened to an account, as its owner is told: numbered events, and the capped streams in Redis that carry them to connected clients.

The rows in the database are the truth. Ids of one user rise by one without a gap and in the order of the commits, so whoever holds event 7 knows
that 1 to 6 exist, and a missing one shows. A stream in Redis is a window on the latest of them: it is without gaps inside, and lost at any time.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Self, cast
from uuid import UUID

import msgspec
from redis import Redis, RedisError

from trading.marketdata.quotes import MarketUnavailable
from trading.redis import keys

# Adds consecutive events behind each stream's last one and publishes each; what a stream has already is passed over. Returns the last id that each
# stream has now: below the first given where events between are missing, and then nothing was added to it.
_APPEND = """
local maxlen, ttl, restart = ARGV[1], ARGV[2], ARGV[3]
local ends, place = {}, 4
for index, stream in ipairs(KEYS) do
  local channel, first, count = ARGV[place], tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2])
  place = place + 3
  if restart == '1' then redis.call('DEL', stream) end
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  local last = newest and tonumber(string.match(newest[1], '^%d+')) or first - 1
  if last >= first - 1 then
    for id = last + 1, first + count - 1 do
      local event = ARGV[place + id - first]
      redis.call('XADD', stream, 'MAXLEN', maxlen, string.format('%d-0', id), 'event', event)
      redis.call('PUBLISH', channel, event)
      last = id
    end
    redis.call('EXPIRE', stream, ttl)
  end
  ends[index] = last
  place = place + count
end
return ends
"""
# One call is cheaper than many, but holds up everybody else's commands until it is done.
_STREAMS_PER_CALL = 50


class MalformedEvent(ValueError):
    """A text in Redis that is no account event."""


class EventKind(StrEnum):
    """ORDER: an order's state changed; FILL: an execution; CASH: a Transaction; HOLDING: a holding changed; PAYMENT: the state of a payment or
    of its refund changed; ALERT: a stock reached a price that its owner waits for."""

    ORDER = "order"
    FILL = "fill"
    CASH = "cash"
    HOLDING = "holding"
    PAYMENT = "payment"
    ALERT = "alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEvent:
    """One event. ``id`` counts the user's events from 1; ``data`` is JSON-ready: money in won and quantities in shares as integers, times as text."""

    user_id: UUID
    id: int
    kind: EventKind
    occurred_at: datetime
    data: Mapping[str, object]

    def to_json(self) -> str:
        """What a client gets: ``id``, ``kind``, ``occurred_at`` (RFC 3339, UTC) and ``data``. Whose it is says the stream."""
        shown = {
            "id": self.id,
            "kind": self.kind,
            "occurred_at": self.occurred_at.astimezone(UTC).isoformat(),
            "data": self.data,
        }
        return msgspec.json.encode(shown).decode()

    @classmethod
    def from_json(cls, text: str, *, user_id: UUID) -> Self:
        """Raises MalformedEvent for a text that ``to_json`` would not write."""
        try:
            shown = json.loads(text)
            event = cls(
                user_id=user_id,
                id=shown["id"],
                kind=EventKind(shown["kind"]),
                occurred_at=datetime.fromisoformat(shown["occurred_at"]).astimezone(UTC),
                data=shown["data"],
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as fault:
            raise MalformedEvent(str(fault)) from None
        if type(event.id) is not int or event.id < 1 or not isinstance(event.data, dict):
            raise MalformedEvent("an event needs a positive id and an object as its data")
        return event


@dataclass(frozen=True, slots=True)
class EventSlice:
    """Events in order. ``complete`` is false where events between the place asked for and the first one here may be missing."""

    events: tuple[AccountEvent, ...]
    complete: bool


class AccountStreams:
    """The users' streams. Every method raises MarketUnavailable when Redis does not answer within the client's timeout."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._append = redis.register_script(_APPEND)

    def append(self, events: Iterable[AccountEvent], *, restart: bool = False) -> dict[UUID, int]:
        """Add events to their users' streams, in one round trip, whoever adds the same ones at the same time.

        The events of one user must be consecutive, ascending ones. Returns the users whose streams end before the first event given for them,
        with the id at which they end: to these nothing was added, and what is missing must be brought along. With ``anew`` a stream begins with
        the given events, whatever it held.
        """
        batches = list(group_by_user(events).values())
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for start in range(0, len(batches), _STREAMS_PER_CALL):
                    some = batches[start : start + _STREAMS_PER_CALL]
                    self._append(
                        keys=[keys.account_stream(batch[0].user_id) for batch in some],
                        args=[
                            keys.ACCOUNT_STREAM_MAXLEN,
                            keys.ACCOUNT_STREAM_TTL_S,
                            int(restart),
                            *_arguments(some),
                        ],
                        client=pipeline,
                    )
                ends = [int(end) for answer in pipeline.execute() for end in answer]
        except RedisError as fault:
            raise MarketUnavailable from fault
        return {
            batch[0].user_id: end
            for batch, end in zip(batches, ends, strict=True)
            if end < batch[0].id
        }

    def after(self, user_id: UUID, event_id: int, *, limit: int) -> EventSlice:
        """At most ``limit`` events behind ``event_id``, and whether they follow it without a gap."""
        try:
            entries = self._redis.xrange(
                keys.account_stream(user_id), min=f"{event_id}-0", count=limit + 1
            )
        except RedisError as fault:
            raise MarketUnavailable from fault
        return events_after(
            user_id, event_id, cast("list[tuple[str, dict[str, str]]]", entries), limit=limit
        )

    def last_ids(self, user_ids: Sequence[UUID]) -> dict[UUID, int]:
        """The newest event's id of each stream that is there, in one round trip."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for user_id in user_ids:
                    pipeline.xrevrange(keys.account_stream(user_id), count=1)
                newest = pipeline.execute()
        except RedisError as fault:
            raise MarketUnavailable from fault
        return {
            user_id: event_id_of_entry(found[0][0])
            for user_id, found in zip(user_ids, newest, strict=True)
            if found
        }

    def last_sweep_at(self) -> datetime | None:
        """When the streams were last held against the database; None when that is not known."""
        try:
            text = self._redis.get(keys.ACCOUNT_EVENTS_SWEPT_AT)
            return None if text is None else datetime.fromisoformat(str(text)).astimezone(UTC)
        except ValueError:
            return None
        except RedisError as fault:
            raise MarketUnavailable from fault

    def record_sweep(self, at: datetime) -> None:
        """Keep the instant up to which all committed events are known to be in the streams."""
        try:
            self._redis.set(keys.ACCOUNT_EVENTS_SWEPT_AT, at.astimezone(UTC).isoformat())
        except RedisError as fault:
            raise MarketUnavailable from fault


def events_after(
    user_id: UUID, event_id: int, entries: Sequence[tuple[str, Mapping[str, str]]], *, limit: int
) -> EventSlice:
    """The events behind ``event_id`` in a stream's entries from that id on: its own entry, where it is still there, proves that none is missing."""
    events = [
        AccountEvent.from_json(fields.get(keys.ACCOUNT_FIELD, ""), user_id=user_id)
        for _, fields in entries
    ]
    complete = bool(events) and events[0].id in (event_id, event_id + 1)
    return EventSlice(tuple([event for event in events if event.id > event_id][:limit]), complete)


def group_by_user(events: Iterable[AccountEvent]) -> dict[UUID, list[AccountEvent]]:
    """The events of each user, ascending."""
    found: dict[UUID, list[AccountEvent]] = {}
    for event in events:
        found.setdefault(event.user_id, []).append(event)
    for of_user in found.values():
        of_user.sort(key=attrgetter("id"))
    return found


def event_id_of_entry(entry_id: str) -> int:
    """The event's id from its stream entry's."""
    return int(entry_id.partition("-")[0])


def _arguments(batches: Iterable[Sequence[AccountEvent]]) -> Iterator[str | int]:
    for batch in batches:
        first = batch[0]
        if [event.id for event in batch] != list(range(first.id, first.id + len(batch))):
            raise ValueError("the events of one user must be consecutive")
        yield from (keys.account_channel(first.user_id), first.id, len(batch))
        for event in batch:
            yield event.to_json()
