"""The relayer's word on itself: a record in Redis, renewed every two seconds and at each change."""

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
    """Writes what ``examine`` finds. A record that can't be written is not missed: its absence is the message."""

    def __init__(self, redis: "Redis", examine: Callable[[], RelayerHealth]) -> None:
        self._redis = redis
        self._examine = examine
        self._changed = asyncio.Event()

    def note_change(self) -> None:
        """Write soon instead of at the end of the period."""
        self._changed.set()

    async def run(self) -> None:
        """Write for ever."""
        while True:
            self._changed.clear()
            await self.write()
            raise_if_cancelled()
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._changed.wait()

    async def write(self) -> None:
        """Write once; nothing happens while Redis is away."""
        with suppress(RedisError, OSError):
            await self._redis.set(
                keys.RELAYER_HEALTH, self._examine().to_json(), ex=keys.HEALTH_TTL_S
            )
