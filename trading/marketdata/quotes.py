"""Last ticks in Redis: one round trip for any number of stocks."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import structlog
from redis import Redis, RedisError

from trading.marketdata.health import RelayerHealth
from trading.marketdata.published_limits import PublishedLimits
from trading.marketdata.ticks import MalformedTick, Position, Tick
from trading.marketdata.topics import trade_topic
from trading.redis import keys

log = structlog.get_logger(__name__)


class MarketUnavailable(Exception):
    """Redis did not respond in time, so no market data is available."""


class MarketNow(NamedTuple):
    """A stock's last tick, the end of the tick stream and its published limits; None if absent."""

    tick: Tick | None
    end: Position | None
    published_limits: PublishedLimits | None


class QuoteStore:
    """Store of live market data. Every method raises MarketUnavailable on a Redis timeout."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def last_tick(self, code: str) -> Tick | None:
        """Return the last tick of a stock; None if there was none within an hour."""
        return self.last_ticks([code]).get(code)

    def market_now(self, code: str) -> MarketNow:
        """Return a stock's last tick, the end of the stream and published limits in one round trip.

        Any tick positioned after the first two was printed later than this call; a tick may arrive
        between the two reads.
        """
        try:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xrevrange(keys.TICK_STREAM, count=1)
            pipeline.mget(keys.last_tick(code), keys.published_limits(code))
            entries, (tick, limits) = pipeline.execute()
        except RedisError as fault:
            raise MarketUnavailable from fault
        try:
            end = Position.parse(entries[0][0]) if entries else None
        except MalformedTick:
            end = None
        return MarketNow(_read(code, tick), end, _read_limits(limits))

    def published_limits(self, codes: Iterable[str]) -> dict[str, PublishedLimits]:
        """Return the last published price limits by code, of whatever day, where there are any."""
        unique_codes = list(dict.fromkeys(codes))
        if not unique_codes:
            return {}
        try:
            values = self._redis.mget([keys.published_limits(code) for code in unique_codes])
        except RedisError as fault:
            raise MarketUnavailable from fault
        return {
            code: limits
            for code, value in zip(unique_codes, values, strict=True)
            if (limits := _read_limits(value))
        }

    def store_published_limits(self, code: str, limits: PublishedLimits) -> None:
        """Share the price limits that Toss published with a price."""
        try:
            self._redis.set(
                keys.published_limits(code), limits.to_json(), ex=keys.PUBLISHED_LIMITS_TTL_S
            )
        except RedisError as fault:
            raise MarketUnavailable from fault

    def request_subscription(self, code: str, *, now: datetime) -> None:
        """Request that the relayer subscribes to a stock's trades, for the next ten minutes.

        The number of requested stocks is bounded; the latest requests remain. The relayer reads
        them once a second.
        """
        name, now_ms = keys.RELAYER_REQUESTED_SUBSCRIPTIONS, now.timestamp() * 1_000
        oldest = now_ms - keys.REQUESTED_SUBSCRIPTIONS_TTL_S * 1_000
        try:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zadd(name, {trade_topic(code): now_ms})
                pipeline.zremrangebyscore(name, "-inf", oldest)
                pipeline.zremrangebyrank(name, 0, -keys.REQUESTED_SUBSCRIPTIONS_MAX - 1)
                pipeline.expire(name, keys.REQUESTED_SUBSCRIPTIONS_TTL_S)
                pipeline.execute()
        except RedisError as fault:
            raise MarketUnavailable from fault

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


def _read_limits(value: str | bytes | None) -> PublishedLimits | None:
    return None if value is None else PublishedLimits.from_json(value)
