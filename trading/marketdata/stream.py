"""Reader of the tick stream: all ticks in order after a position, with detection of gaps."""

from dataclasses import dataclass
from typing import cast

import structlog
from redis import Redis, RedisError

from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.ticks import MalformedTick, Position, Tick
from trading.redis import keys

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamPart:
    """Ticks read from the stream, in order.

    ``end`` is the position up to which everything was read. ``gap`` reports that entries after the
    requested position were trimmed, or that the stream was lost. ``more`` reports that entries
    after ``end`` exist.
    """

    ticks: tuple[Tick, ...]
    end: Position
    gap: bool
    more: bool


class TickStream:
    """Reader of ``keys.TICK_STREAM``. Every method raises MarketUnavailable on a Redis timeout."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def after(self, position: Position | None, *, limit: int) -> StreamPart:
        """Return up to ``limit`` ticks after a position, or from the first entry if None.

        Also requests the entry at the position itself: as long as it exists, nothing after it was
        trimmed.
        """
        try:
            entries = self._range(str(position) if position else "-", limit + 1)
            if position is None:
                return _parse_entries(
                    entries[:limit], gap=False, more=len(entries) > limit, end=Position(0, 0)
                )
            if entries and entries[0][0] == str(position):
                return _parse_entries(
                    entries[1:], gap=False, more=len(entries) > limit, end=position
                )
            if not entries and self._last_position() < position:
                # The stream ends before the position: it was lost and restarted, or does not exist
                # yet. All its entries are new.
                entries = self._range("-", limit + 1)
                if not entries:
                    return StreamPart((), position, gap=False, more=False)
                position = Position(0, 0)
            return _parse_entries(
                entries[:limit], gap=True, more=len(entries) > limit, end=position
            )
        except RedisError as fault:
            raise MarketUnavailable from fault

    def latest(self, *, limit: int) -> list[Tick]:
        """Return the newest ``limit`` ticks of all stocks, newest first."""
        try:
            entries = cast(
                "list[tuple[str, dict[str, str]]]",
                self._redis.xrevrange(keys.TICK_STREAM, count=limit),
            )
        except RedisError as fault:
            raise MarketUnavailable from fault
        return list(_parse_entries(entries, gap=False, more=False, end=Position(0, 0)).ticks)

    def _range(self, start: str, count: int) -> list[tuple[str, dict[str, str]]]:
        return cast(
            "list[tuple[str, dict[str, str]]]",
            self._redis.xrange(keys.TICK_STREAM, min=start, count=count),
        )

    def _last_position(self) -> Position:
        last = cast("list[tuple[str, object]]", self._redis.xrevrange(keys.TICK_STREAM, count=1))
        return Position.parse(last[0][0]) if last else Position(0, 0)


def _parse_entries(
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
