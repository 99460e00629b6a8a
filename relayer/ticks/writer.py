"""Ticks to Redis: the last value of a stock, the live push and the stream, in one transaction for all that arrived together.

The writer is never waited for: ticks are offered and the socket is read on. While Redis is away they are kept, the latest of each
stock, and written when it is back. A batch whose answer was lost may have been written or not; its positions tell, since the stream
takes each position once and only forward. So no tick is written twice, and none gets a later place than it was given without need.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from relayer.asyncio_compat import raise_if_cancelled
from relayer.ticks.sequence import TickSequence
from trading.marketdata.ticks import MalformedTick, Position, Tick
from trading.redis import keys

log = structlog.get_logger(__name__)

BATCH_TICKS_MAX = 256
WAITING_TICKS_MAX = 20_000
# From here on the socket should wait for Redis, while Redis answers: better late by milliseconds than conflated.
CROWDED_TICKS = 2_000
RETRY_S = 0.2
# One failure is a connection that had to be opened anew; two in a row are an outage, during which only the latest ticks are worth keeping.
OUTAGE_FAILURES = 2


# One call with one argument for a batch, as packing a command for each tick would take longer than all the rest. Whoever no longer holds the lease
# writes nothing.
_WRITE = """
local lease, field, maxlen, ttl, channel, latest, packed = unpack(ARGV)
if lease ~= '' and redis.call('GET', KEYS[2]) ~= lease then return redis.error_reply('FENCED the lease is not ours') end
local last = {}
local ticks = cmsgpack.unpack(packed)
for index = 1, #ticks, 3 do
  local position, code, text = ticks[index], ticks[index + 1], ticks[index + 2]
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', maxlen, position, field, text)
  redis.call('PUBLISH', channel .. code, text)
  last[code] = text
end
for code, text in pairs(last) do redis.call('SET', latest .. code, text, 'EX', ttl) end
"""


class TickScript:
    """Writes a batch of ticks in one step: each added to the stream and pushed live, the last of each stock kept as its latest."""

    def __init__(self, redis: "Redis | BlockingRedis") -> None:
        self._script = redis.register_script(_WRITE)

    def __call__(self, ticks: Iterable[Tick], *, lease: str | None = None) -> Any:
        """Write ticks in ascending places; what a client of asyncio gives must be awaited. With a ``lease`` nothing is written unless Redis holds
        that very one. Raises what the client raises: ResponseError for a lost lease or for places that the stream is past."""
        told = [part for tick in ticks for part in (str(tick.position), tick.code, tick.to_json())]
        arguments = (
            lease or "",
            keys.TICK_FIELD,
            keys.TICK_STREAM_MAXLEN,
            keys.TICK_TTL_S,
            keys.TICK_CHANNEL_PREFIX,
            keys.LAST_TICK_PREFIX,
            msgspec.msgpack.encode(told),
        )
        return self._script(keys=[keys.TICK_STREAM, keys.RELAYER_LEASE], args=arguments)


class TickWriter:
    """Writes ticks in the order in which they were offered. Where ``lease`` tells of one, only while Redis holds that.

    ``note_lag`` is given, for each batch that is written, the seconds since its first tick arrived.
    """

    def __init__(
        self,
        redis: "Redis",
        sequence: TickSequence,
        *,
        clock: Callable[[], datetime],
        lease: Callable[[], str | None] = lambda: None,
        note_lag: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self.lag_ms: int | None = None
        self.written_total = 0
        self.conflated_total = 0
        self.failures_total = 0
        self._redis = redis
        self._script = TickScript(redis)
        self._sequence = sequence
        self._clock = clock
        self._lease = lease
        self._note_lag = note_lag
        self._waiting: list[Tick] = []
        self._in_flight: list[Tick] = []
        self._aligned = False
        self._failures = 0
        self._finishing = False
        self._wake = asyncio.Event()
        self._attempted = asyncio.Event()

    def offer(self, tick: Tick) -> None:
        """Take a tick to be written soon. Never waits and never fails; beyond 20,000 waiting ticks the latest of each stock stay."""
        self._waiting.append(tick)
        if len(self._waiting) > WAITING_TICKS_MAX:
            self._conflate()
        self._wake.set()

    @property
    def waiting_ticks(self) -> int:
        """How many ticks are not known to be in Redis yet."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def crowded(self) -> bool:
        """Whether more ticks wait than Redis takes in a few tenths of a second. Never during an outage: then nobody may wait."""
        return len(self._waiting) > CROWDED_TICKS and not self._failures

    async def wait_for_room(self) -> None:
        """Wait until Redis took what was too much, or failed to: a second at most, as long as a command may take."""
        while self.crowded:
            self._attempted.clear()
            await self._attempted.wait()

    async def run(self) -> None:
        """Write until ``finish`` is called and nothing waits any more."""
        while True:
            while self._waiting or self._in_flight or not self._aligned:
                await self._write_some()
                raise_if_cancelled()
            if self._finishing:
                return
            self._wake.clear()
            await self._wake.wait()

    def finish(self) -> None:
        """Let ``run`` end as soon as everything is written. The caller bounds the wait."""
        self._finishing = True
        self._wake.set()

    def forget(self) -> None:
        """Drop what waits: it is another's to tell now. For the time when ``run`` does not run."""
        self._waiting, self._in_flight, self._aligned, self._failures = [], [], False, 0

    async def _write_some(self) -> None:
        try:
            if not self._aligned:
                await self._align()
            if not self._in_flight:
                self._in_flight, self._waiting = (
                    self._waiting[:BATCH_TICKS_MAX],
                    self._waiting[BATCH_TICKS_MAX:],
                )
                # While Redis takes these there is room for others.
                self._attempted.set()
            if self._in_flight:
                await self._script(self._in_flight, lease=self._lease())
        except (RedisError, OSError, MalformedTick) as fault:
            self._note_failed(fault)
            self._attempted.set()
            await asyncio.sleep(RETRY_S)
        else:
            self._note_written()
            self._attempted.set()

    async def _align(self) -> None:
        """Learn the stream's last place: skip what it holds already, place what waits behind it."""
        last = await self._last_place()
        self._sequence.continue_after(last)
        left = [tick for tick in self._in_flight if tick.position > last]
        self.written_total += len(self._in_flight) - len(left)
        self._in_flight = left
        if self._waiting and self._waiting[0].position <= last:
            self._waiting = [replace(tick, position=self._place(tick)) for tick in self._waiting]
        self._aligned = True

    def _place(self, tick: Tick) -> Position:
        return self._sequence.next(int(tick.received_at.timestamp() * 1000))

    async def _last_place(self) -> Position:
        try:
            stream: dict[str, Any] = await self._redis.xinfo_stream(keys.TICK_STREAM)
        except ResponseError as fault:
            if "no such key" in str(fault):
                return Position(0, 0)
            raise
        return Position.parse(str(stream["last-generated-id"]))

    def _note_failed(self, fault: Exception) -> None:
        self._aligned = False
        self._failures += 1
        self.failures_total += 1
        if self._failures >= OUTAGE_FAILURES:
            self._conflate()
        if self._failures == OUTAGE_FAILURES:
            log.warning("tick_write_paused", reason=type(fault).__name__)

    def _note_written(self) -> None:
        if self._failures >= OUTAGE_FAILURES:
            log.info("tick_write_resumed", conflated_total=self.conflated_total)
        self._failures = 0
        if self._in_flight:
            now = self._clock()
            self.lag_ms = max(
                0, (now - self._in_flight[-1].received_at) // timedelta(milliseconds=1)
            )
            self.written_total += len(self._in_flight)
            self._note_lag(max(0.0, (now - self._in_flight[0].received_at).total_seconds()))
        self._in_flight = []

    def _conflate(self) -> None:
        latest = {tick.code: tick for tick in self._waiting}
        self.conflated_total += len(self._waiting) - len(latest)
        self._waiting = sorted(latest.values(), key=lambda tick: tick.position)
