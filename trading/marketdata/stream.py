"""The tick stream, read from a place on: every trade in order, and the truth about what is no longer there."""

from dataclasses import dataclass
from typing import Any, cast

import structlog
from redis import Redis, RedisError

from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.ticks import MalformedTick, Position, Tick
from trading.redis import keys

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamPart:
    """Ticks in order. ``end`` is the place up to which everything was read; ``gap`` tells that entries between the place asked for and the
    first one here are lost, or that the stream itself is; ``more`` that there is more behind the end."""

    ticks: tuple[Tick, ...]
    end: Position
    gap: bool
    more: bool


class TickStream:
    """Reads ``keys.TICK_STREAM``. Every method raises MarketUnavailable when Redis does not answer within the client's timeout."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def after(self, place: Position | None, *, limit: int) -> StreamPart:
        """At most ``limit`` ticks behind ``place``; from the stream's first with None.

        The entry at ``place`` itself is asked for too: while it is there, nothing behind it was trimmed.
        """
        try:
            entries = self._range(str(place) if place else "-", limit + 1)
            if place is None:
                return _part(
                    entries[:limit], gap=False, more=len(entries) > limit, end=Position(0, 0)
                )
            if entries and entries[0][0] == str(place):
                return _part(entries[1:], gap=False, more=len(entries) > limit, end=place)
            if not entries and self._last_place() < place:
                # The stream ends before the place: it was lost and began anew, or is not there yet. Whatever it holds is new.
                entries = self._range("-", limit + 1)
                if not entries:
                    return StreamPart((), place, gap=False, more=False)
                place = Position(0, 0)
            return _part(entries[:limit], gap=True, more=len(entries) > limit, end=place)
        except RedisError as fault:
            raise MarketUnavailable from fault

    def latest(self, *, limit: int) -> list[Tick]:
        """The last ticks of all stocks, at most ``limit``, the newest first."""
        try:
            entries = cast(
                "list[tuple[str, dict[str, str]]]",
                self._redis.xrevrange(keys.TICK_STREAM, count=limit),
            )
        except RedisError as fault:
            raise MarketUnavailable from fault
        return list(_part(entries, gap=False, more=False, end=Position(0, 0)).ticks)

    def _range(self, start: str, count: int) -> list[tuple[str, dict[str, str]]]:
        return cast(
            "list[tuple[str, dict[str, str]]]",
            self._redis.xrange(keys.TICK_STREAM, min=start, count=count),
        )

    def _last_place(self) -> Position:
        last = cast("list[tuple[str, Any]]", self._redis.xrevrange(keys.TICK_STREAM, count=1))
        return Position.parse(last[0][0]) if last else Position(0, 0)


def _part(
    entries: list[tuple[str, dict[str, str]]], *, gap: bool, more: bool, end: Position
) -> StreamPart:
    ticks, malformed = [], 0
    for entry_id, fields in entries:
        try:
            end = Position.parse(entry_id)
            tick = Tick.from_json(fields.get(keys.TICK_FIELD, ""))
        except MalformedTick:
            malformed += 1
            continue
        if tick.position == end:
            ticks.append(tick)
        else:
            malformed += 1
    if malformed:
        log.warning("stream_entries_malformed", count=malformed)
    return StreamPart(tuple(ticks), end, gap=gap, more=more)
