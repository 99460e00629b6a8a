"""The book of last ticks, read from Redis: one round trip for any number of stocks."""

from collections.abc import Iterable

import structlog
from redis import Redis, RedisError

from trading.marketdata.health import RelayerHealth
from trading.marketdata.ticks import MalformedTick, Position, Tick
from trading.redis import keys

log = structlog.get_logger(__name__)


class MarketUnavailable(Exception):
    """Redis did not answer in time: nothing is known of the market now."""


class QuoteStore:
    """Reads the live market. Every method raises MarketUnavailable when Redis does not answer within the client's timeout."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def last_tick(self, code: str) -> Tick | None:
        """The last tick of one stock; None when none came within the hour that Redis keeps it."""
        return self.last_ticks([code]).get(code)

    def last_tick_and_end(self, code: str) -> tuple[Tick | None, Position | None]:
        """The last tick of a stock and the last place in the tick stream, in one round trip; None for what is not there.

        Whatever gets a place behind both was printed after this look; a tick may come between the two.
        """
        try:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xrevrange(keys.TICK_STREAM, count=1)
            pipeline.get(keys.last_tick(code))
            entries, value = pipeline.execute()
        except RedisError as fault:
            raise MarketUnavailable from fault
        try:
            end = Position.parse(entries[0][0]) if entries else None
        except MalformedTick:
            end = None
        return _read(code, value), end

    def last_ticks(self, codes: Iterable[str]) -> dict[str, Tick]:
        """The last ticks of several stocks by code; stocks without one are absent."""
        wanted = list(dict.fromkeys(codes))
        if not wanted:
            return {}
        try:
            values = self._redis.mget([keys.last_tick(code) for code in wanted])
        except RedisError as fault:
            raise MarketUnavailable from fault
        return {
            code: tick
            for code, value in zip(wanted, values, strict=True)
            if (tick := _read(code, value))
        }

    def all_ticks(self) -> dict[str, Tick]:
        """The last tick of every stock that has one. Walks the key space in steps, so that Redis is never held up."""
        try:
            found = list(self._redis.scan_iter(match=keys.LAST_TICK_PATTERN, count=1_000))
        except RedisError as fault:
            raise MarketUnavailable from fault
        return self.last_ticks(sorted(keys.code_of_last_tick(key) for key in found))

    def relayer_health(self) -> RelayerHealth | None:
        """The relayer's own record; None when there is none or it can't be read."""
        try:
            value = self._redis.get(keys.RELAYER_HEALTH)
        except RedisError as fault:
            raise MarketUnavailable from fault
        if value is None:
            return None
        try:
            return RelayerHealth.from_json(value)
        except ValueError:
            log.warning("relayer_health_malformed")
            return None


def _read(code: str, value: str | bytes | None) -> Tick | None:
    if value is None:
        return None
    try:
        tick = Tick.from_json(value)
    except MalformedTick as malformed:
        log.warning("last_tick_malformed", code=code, reason=str(malformed))
        return None
    return tick if tick.code == code else None
