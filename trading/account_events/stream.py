"""Account events and the capped Redis streams that deliver them to connected clients.

The rows in the database are the source of truth. A user's event ids increase by one without gaps
and in the order of the commits, so a missing event is detected. A stream in Redis holds the latest
events without gaps inside, and may be lost at any time.
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

# Appends consecutive events to each stream and publishes each; events already in the stream are
# skipped. Returns each stream's new last id. If events before the first given one are missing,
# nothing is appended and the last id is below it.
_APPEND = """
local maxlen, ttl, restart = ARGV[1], ARGV[2], ARGV[3]
local last_ids, position = {}, 4
for index, stream in ipairs(KEYS) do
  local channel = ARGV[position]
  local first, count = tonumber(ARGV[position + 1]), tonumber(ARGV[position + 2])
  position = position + 3
  if restart == '1' then redis.call('DEL', stream) end
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  local last = newest and tonumber(string.match(newest[1], '^%d+')) or first - 1
  if last >= first - 1 then
    for id = last + 1, first + count - 1 do
      local event = ARGV[position + id - first]
      redis.call('XADD', stream, 'MAXLEN', maxlen, string.format('%d-0', id), 'event', event)
      redis.call('PUBLISH', channel, event)
      last = id
    end
    redis.call('EXPIRE', stream, ttl)
  end
  last_ids[index] = last
  position = position + count
end
return last_ids
"""
# A larger batch saves round trips, but Redis executes no other commands until it is done.
_STREAMS_PER_CALL = 50


class MalformedEvent(ValueError):
    """A text in Redis that is not an account event."""


class EventKind(StrEnum):
    """What changed.

    ORDER: an order's state. FILL: a new execution. CASH: a new ledger entry. HOLDING: a holding.
    PAYMENT: the state of a payment or of its refund. ALERT: a stock reached an alert's price.
    STOCK: the trading of a stock that the user holds or has an open order for.
    """

    ORDER = "order"
    FILL = "fill"
    CASH = "cash"
    HOLDING = "holding"
    PAYMENT = "payment"
    ALERT = "alert"
    STOCK = "stock"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEvent:
    """One event; ``id`` counts the user's events from 1, ``data`` is one of payloads.py."""

    user_id: UUID
    id: int
    kind: EventKind
    occurred_at: datetime
    data: Mapping[str, object]

    def to_json(self) -> str:
        """Return the event as clients receive it; the stream identifies the user."""
        members = {
            "id": self.id,
            "kind": self.kind,
            "occurred_at": self.occurred_at.astimezone(UTC).isoformat(),
            "data": self.data,
        }
        return msgspec.json.encode(members).decode()

    @classmethod
    def from_json(cls, text: str, *, user_id: UUID) -> Self:
        """Parse the output of ``to_json``; raise MalformedEvent for anything else."""
        try:
            members = json.loads(text)
            event = cls(
                user_id=user_id,
                id=members["id"],
                kind=EventKind(members["kind"]),
                occurred_at=datetime.fromisoformat(members["occurred_at"]).astimezone(UTC),
                data=members["data"],
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as fault:
            raise MalformedEvent(str(fault)) from None
        if type(event.id) is not int or event.id < 1 or not isinstance(event.data, dict):
            raise MalformedEvent("an event needs a positive id and an object as its data")
        return event


@dataclass(frozen=True, slots=True)
class EventSlice:
    """Events in order; ``complete`` is False if events may be missing before the first."""

    events: tuple[AccountEvent, ...]
    complete: bool


class AccountStreams:
    """The users' streams. Methods raise MarketUnavailable if Redis does not answer in time."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._append = redis.register_script(_APPEND)

    def append(self, events: Iterable[AccountEvent], *, restart: bool = False) -> dict[UUID, int]:
        """Append events to their users' streams in one round trip.

        The events of one user must be consecutive and ascending; several processes may append the
        same ones. Return the last id of each stream that ends before its first event given here:
        nothing was appended to these, and the caller must supply the missing events. With
        ``restart`` the streams are replaced by the given events.
        """
        batches = list(group_by_user(events).values())
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for start in range(0, len(batches), _STREAMS_PER_CALL):
                    chunk = batches[start : start + _STREAMS_PER_CALL]
                    self._append(
                        keys=[keys.account_stream(batch[0].user_id) for batch in chunk],
                        args=[
                            keys.ACCOUNT_STREAM_MAXLEN,
                            keys.ACCOUNT_STREAM_TTL_S,
                            int(restart),
                            *_arguments(chunk),
                        ],
                        client=pipeline,
                    )
                last_ids = [int(last_id) for answer in pipeline.execute() for last_id in answer]
        except RedisError as fault:
            raise MarketUnavailable from fault
        return {
            batch[0].user_id: last_id
            for batch, last_id in zip(batches, last_ids, strict=True)
            if last_id < batch[0].id
        }

    def after(self, user_id: UUID, event_id: int, *, limit: int) -> EventSlice:
        """Return at most ``limit`` events after ``event_id``, and whether there is no gap."""
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
        """Return the newest event id of each existing stream, in one round trip."""
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
        """Return the time of the last completed repair; None if unknown."""
        try:
            text = self._redis.get(keys.ACCOUNT_EVENTS_SWEPT_AT)
            return None if text is None else datetime.fromisoformat(str(text)).astimezone(UTC)
        except ValueError:
            return None
        except RedisError as fault:
            raise MarketUnavailable from fault

    def record_sweep(self, at: datetime) -> None:
        """Record the time up to which all committed events are in the streams."""
        try:
            self._redis.set(keys.ACCOUNT_EVENTS_SWEPT_AT, at.astimezone(UTC).isoformat())
        except RedisError as fault:
            raise MarketUnavailable from fault


def events_after(
    user_id: UUID, event_id: int, entries: Sequence[tuple[str, Mapping[str, str]]], *, limit: int
) -> EventSlice:
    """Return the events after ``event_id`` among a stream's entries from that id on.

    If the entry of ``event_id`` itself is still there, no event is missing.
    """
    events = [
        AccountEvent.from_json(fields.get(keys.ACCOUNT_FIELD, ""), user_id=user_id)
        for _, fields in entries
    ]
    complete = bool(events) and events[0].id in (event_id, event_id + 1)
    return EventSlice(tuple([event for event in events if event.id > event_id][:limit]), complete)


def group_by_user(events: Iterable[AccountEvent]) -> dict[UUID, list[AccountEvent]]:
    """Return the events of each user, ascending."""
    found: dict[UUID, list[AccountEvent]] = {}
    for event in events:
        found.setdefault(event.user_id, []).append(event)
    for batch in found.values():
        batch.sort(key=attrgetter("id"))
    return found


def event_id_of_entry(entry_id: str) -> int:
    """Return the event id in a stream entry's id."""
    return int(entry_id.partition("-")[0])


def _arguments(batches: Iterable[Sequence[AccountEvent]]) -> Iterator[str | int]:
    for batch in batches:
        first = batch[0]
        if [event.id for event in batch] != list(range(first.id, first.id + len(batch))):
            raise ValueError("the events of one user must be consecutive")
        yield from (keys.account_channel(first.user_id), first.id, len(batch))
        for event in batch:
            yield event.to_json()
