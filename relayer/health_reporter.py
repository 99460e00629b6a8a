"""Publish the relayer's health record to Redis every two seconds and on every state change."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from relayer.asyncio_compat import raise_if_cancelled
from trading.marketdata.health import RelayerHealth
from trading.redis import keys

PERIOD_S = 2.0


class HealthReporter:
    """Publishes what ``examine`` returns.

    Write failures are ignored: a missing record shows the problem.
    """

    def __init__(self, redis: "Redis", examine: Callable[[], RelayerHealth]) -> None:
        self._redis = redis
        self._examine = examine
        self._changed = asyncio.Event()

    def publish_soon(self) -> None:
        """Publish soon instead of at the end of the period."""
        self._changed.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            self._changed.clear()
            await self.write()
            raise_if_cancelled()
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._changed.wait()

    async def write(self) -> None:
        """Publish once; do nothing while Redis is unavailable."""
        with suppress(RedisError, OSError):
            await self._redis.set(
                keys.RELAYER_HEALTH, self._examine().to_json(), ex=keys.HEALTH_TTL_S
            )
