"""Write ticks to Redis: last value, live push and stream, in one transaction per batch.

Callers never wait for the writer: they offer ticks and go on reading the socket. While Redis is
unavailable the latest tick of each stock is kept and written later. A batch whose answer was lost
may or may not have been written. The stream's last position shows which, because the stream accepts
each position once and only in ascending order. So no tick is written twice, and no tick gets a
later position than necessary.

Feeds report trades again, e.g. to the next relayer, and late. The cumulative volume identifies a
trade within a stock, day and exchange. The script that writes ticks keeps the latest totals of each
in Redis, so a trade enters the stream once, over restarts and take-overs. A trade that is later
than the last one counts as new, whatever its total, because totals may begin again. A late trade
that is new enters the stream, but does not become the last value and is not pushed. A trade without
a total is always written, because nothing identifies it.
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
from trading.exchange.time import trade_date
from trading.marketdata.ticks import MalformedTick, Position, Tick
from trading.redis import keys

log = structlog.get_logger(__name__)

BATCH_TICKS_MAX = 256
WAITING_TICKS_MAX = 20_000
# Above this, reading the socket should wait while Redis answers: a delay of milliseconds is better
# than conflation.
CONGESTED_TICKS = 2_000
RETRY_S = 0.2
# One failure may be a connection that had to be reopened. Two in a row are an outage, during which
# only the latest tick of each stock is kept.
OUTAGE_FAILURES = 2


# One call with one argument per batch: packing a command per tick would take longer than the rest.
# A writer that no longer holds the lease writes nothing (fencing).
_WRITE = """
local lease, field, maxlen, ttl, channel, latest, kept, known_ttl, packed = unpack(ARGV)
kept = tonumber(kept)
if lease ~= '' and redis.call('GET', KEYS[2]) ~= lease then
  return redis.error_reply('FENCED this process does not hold the lease')
end
local function traded(text)
  -- A trade cannot be later than its receipt: an absurd time must not make all others old.
  local at = string.match(text, '"traded_at":"([^"]+)"')
  local received = string.match(text, '"received_at":"([^"]+)"')
  return at < received and at or received
end
local function total(text)
  return tonumber(string.match(text, '"cumulative_volume":(%d+)')),
    string.match(text, '"exchange":"([^"]*)"')
end
local function is_older(text, at, other)
  if at ~= other.at then return at < other.at end
  local mine, exchange = total(text)
  local theirs, other_exchange = total(other.text)
  return mine and theirs and exchange == other_exchange and mine < theirs
end
local last, known, repeated = {}, {}, 0
local function last_of(code)
  if last[code] == nil then
    local text = redis.call('GET', latest .. code)
    last[code] = text and string.find(text, '"traded_at":"', 1, true)
      and string.find(text, '"received_at":"', 1, true) and {at = traded(text), text = text}
  end
  return last[code]
end
local function is_repeated(name, volume, newer)
  local set = known[name]
  if not set then
    set = {count = redis.call('ZCARD', name), floor = -1}
    if set.count >= kept then set.floor = tonumber(redis.call('ZRANGE', name, 0, 0)[1]) end
    known[name] = set
  end
  if tonumber(volume) < set.floor and not newer then return true end
  local added = redis.call('ZADD', name, 'NX', volume, volume)
  set.count = set.count + added
  return added == 0 and not newer
end
local ticks = cmsgpack.unpack(packed)
for index = 1, #ticks, 5 do
  local position, code, text = ticks[index], ticks[index + 1], ticks[index + 2]
  local name, volume = ticks[index + 3], ticks[index + 4]
  local previous, at = last_of(code), traded(text)
  if name ~= '' and is_repeated(name, volume, previous and at > previous.at) then
    repeated = repeated + 1
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', maxlen, position, field, text)
    if not (previous and is_older(text, at, previous)) then
      redis.call('PUBLISH', channel .. code, text)
      last[code] = {at = at, text = text, new = true}
    end
  end
end
for code, tick in pairs(last) do
  if tick and tick.new then redis.call('SET', latest .. code, tick.text, 'EX', ttl) end
end
for name, set in pairs(known) do
  if set.count > kept then redis.call('ZREMRANGEBYRANK', name, 0, set.count - kept - 1) end
  redis.call('EXPIRE', name, known_ttl)
end
return repeated
"""


class TickScript:
    """Writes a batch of ticks atomically: stream entry, live push and last value per stock."""

    def __init__(self, redis: "Redis | BlockingRedis") -> None:
        self._script = redis.register_script(_WRITE)

    def __call__(self, ticks: Iterable[Tick], *, lease: str | None = None) -> Any:
        """Write ticks in ascending positions. An asyncio client returns an awaitable.

        With a ``lease``, nothing is written unless Redis holds exactly that lease. Raises the
        client's errors: ResponseError for a lost lease or for positions that the stream has passed.
        The script returns the number of repeated trades, which it did not write.
        """
        fields = [
            part
            for tick in ticks
            for part in (
                str(tick.position),
                tick.code,
                tick.to_json(),
                *(
                    ("", "")
                    if tick.cumulative_volume is None
                    else (
                        keys.known_trades(tick.code, trade_date(tick.traded_at), tick.exchange),
                        str(tick.cumulative_volume),
                    )
                ),
            )
        ]
        arguments = (
            lease or "",
            keys.TICK_FIELD,
            keys.TICK_STREAM_MAXLEN,
            keys.TICK_TTL_S,
            keys.TICK_CHANNEL_PREFIX,
            keys.LAST_TICK_PREFIX,
            keys.KNOWN_TRADES_MAX,
            keys.KNOWN_TRADES_TTL_S,
            msgspec.msgpack.encode(fields),
        )
        return self._script(keys=[keys.TICK_STREAM, keys.RELAYER_LEASE], args=arguments)


class TickWriter:
    """Writes ticks in the order in which they were offered.

    If ``lease`` returns a lease, ticks are written only while Redis holds it. ``observe_lag``
    receives, for each written batch, the seconds since its first tick arrived.
    """

    def __init__(
        self,
        redis: "Redis",
        sequence: TickSequence,
        *,
        clock: Callable[[], datetime],
        lease: Callable[[], str | None] = lambda: None,
        observe_lag: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self.lag_ms: int | None = None
        self.written_total = 0
        self.repeated_total = 0
        self.conflated_total = 0
        self.failures_total = 0
        self._redis = redis
        self._script = TickScript(redis)
        self._sequence = sequence
        self._clock = clock
        self._lease = lease
        self._observe_lag = observe_lag
        self._waiting: list[Tick] = []
        self._in_flight: list[Tick] = []
        self._aligned = False
        self._failures = 0
        self._finishing = False
        self._wake = asyncio.Event()
        self._attempted = asyncio.Event()

    def offer(self, tick: Tick) -> None:
        """Queue a tick. Never waits and never raises.

        Beyond 20,000 queued ticks only the latest of each stock is kept.
        """
        self._waiting.append(tick)
        if len(self._waiting) > WAITING_TICKS_MAX:
            self._conflate()
        self._wake.set()

    @property
    def waiting_ticks(self) -> int:
        """Number of ticks not yet known to be in Redis."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def is_congested(self) -> bool:
        """Return True if more ticks wait than Redis accepts in a few tenths of a second.

        Always False during an outage, when nobody may wait.
        """
        return len(self._waiting) > CONGESTED_TICKS and not self._failures

    async def wait_for_capacity(self) -> None:
        """Wait until Redis has accepted the excess or failed.

        This takes at most a second, a command's timeout.
        """
        while self.is_congested:
            self._attempted.clear()
            await self._attempted.wait()

    async def run(self) -> None:
        """Write until ``finish`` is called and nothing is queued."""
        while True:
            while self._waiting or self._in_flight or not self._aligned:
                await self._write_batch()
                raise_if_cancelled()
            if self._finishing:
                return
            self._wake.clear()
            await self._wake.wait()

    def finish(self) -> None:
        """End ``run`` once everything is written. The caller bounds the wait."""
        self._finishing = True
        self._wake.set()

    def discard(self) -> None:
        """Discard queued ticks, because another relayer has the lease.

        Call only while ``run`` is not running.
        """
        self._waiting, self._in_flight, self._aligned, self._failures = [], [], False, 0

    async def _write_batch(self) -> None:
        try:
            if not self._aligned:
                await self._align()
            if not self._in_flight:
                self._in_flight, self._waiting = (
                    self._waiting[:BATCH_TICKS_MAX],
                    self._waiting[BATCH_TICKS_MAX:],
                )
                # There is capacity for more while Redis writes these.
                self._attempted.set()
            if self._in_flight:
                repeated = int(await self._script(self._in_flight, lease=self._lease()))
                self.repeated_total += repeated
                self.written_total -= repeated
        except (RedisError, OSError, MalformedTick) as fault:
            self._record_failure(fault)
            self._attempted.set()
            await asyncio.sleep(RETRY_S)
        else:
            self._record_success()
            self._attempted.set()

    async def _align(self) -> None:
        """Drop in-flight ticks that the stream has; move queued ticks behind its last position."""
        last = await self._last_position()
        self._sequence.advance_to(last)
        unwritten = [tick for tick in self._in_flight if tick.position > last]
        self.written_total += len(self._in_flight) - len(unwritten)
        self._in_flight = unwritten
        if self._waiting and self._waiting[0].position <= last:
            self._waiting = [
                replace(tick, position=self._next_position(tick)) for tick in self._waiting
            ]
        self._aligned = True

    def _next_position(self, tick: Tick) -> Position:
        return self._sequence.next(int(tick.received_at.timestamp() * 1000))

    async def _last_position(self) -> Position:
        try:
            stream: dict[str, Any] = await self._redis.xinfo_stream(keys.TICK_STREAM)
        except ResponseError as fault:
            if "no such key" in str(fault):
                return Position(0, 0)
            raise
        return Position.parse(str(stream["last-generated-id"]))

    def _record_failure(self, fault: Exception) -> None:
        self._aligned = False
        self._failures += 1
        self.failures_total += 1
        if self._failures >= OUTAGE_FAILURES:
            self._conflate()
        if self._failures == OUTAGE_FAILURES:
            log.warning("tick_write_paused", reason=type(fault).__name__)

    def _record_success(self) -> None:
        if self._failures >= OUTAGE_FAILURES:
            log.info("tick_write_resumed", conflated_total=self.conflated_total)
        self._failures = 0
        if self._in_flight:
            now = self._clock()
            self.lag_ms = max(
                0, (now - self._in_flight[-1].received_at) // timedelta(milliseconds=1)
            )
            self.written_total += len(self._in_flight)
            self._observe_lag(max(0.0, (now - self._in_flight[0].received_at).total_seconds()))
        self._in_flight = []

    def _conflate(self) -> None:
        latest: dict[str, Tick] = {}
        for tick in self._waiting:
            other = latest.get(tick.code)
            if other is None or tick.traded_at >= other.traded_at:
                latest[tick.code] = tick
        self.conflated_total += len(self._waiting) - len(latest)
        self._waiting = sorted(latest.values(), key=lambda tick: tick.position)
