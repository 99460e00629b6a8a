"""Last ticks in Redis: one round trip for any number of stocks."""

from collections.abc import Iterable

import structlog
from redis import Redis, RedisError

from trading.marketdata.health import RelayerHealth
from trading.marketdata.ticks import MalformedTick, Position, Tick
from trading.redis import keys

log = structlog.get_logger(__name__)


class MarketUnavailable(Exception):
    """Redis did not respond in time, so no market data is available."""


class QuoteStore:
    """Reader of live market data. Every method raises MarketUnavailable on a Redis timeout."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def last_tick(self, code: str) -> Tick | None:
        """Return the last tick of a stock; None if there was none within an hour."""
        return self.last_ticks([code]).get(code)

    def last_tick_and_end(self, code: str) -> tuple[Tick | None, Position | None]:
        """Return the last tick of a stock and the end of the tick stream, in one round trip.

        Each is None if absent. Any tick positioned after both was printed later than this call; a
        tick may arrive between the two reads.
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
        """Return the last ticks by code, without stocks that have none."""
        unique_codes = list(dict.fromkeys(codes))
        if not unique_codes:
            return {}
        try:
            values = self._redis.mget([keys.last_tick(code) for code in unique_codes])
        except RedisError as fault:
            raise MarketUnavailable from fault
        return {
            code: tick
            for code, value in zip(unique_codes, values, strict=True)
            if (tick := _read(code, value))
        }

    def all_ticks(self) -> dict[str, Tick]:
        """Return all last ticks. Scans keys in steps to not block Redis."""
        try:
            found = list(self._redis.scan_iter(match=keys.LAST_TICK_PATTERN, count=1_000))
        except RedisError as fault:
            raise MarketUnavailable from fault
        return self.last_ticks(sorted(keys.code_of_last_tick(key) for key in found))

    def relayer_health(self) -> RelayerHealth | None:
        """Return the relayer's health record; None if it is absent or malformed."""
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
