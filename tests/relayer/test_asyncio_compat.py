"""What is told to end does so, even where Python loses the word."""

import asyncio

import pytest

from relayer.asyncio_compat import raise_if_cancelled
from relayer.daemon import connect
from relayer.feed.subscriptions import SubscriptionWatch
from relayer.health_reporter import HealthReporter
from tests.support.deadlines import DEADLINE_S
from tests.trading.marketdata.test_health import HEALTHY

STEPS = 60


async def test_a_task_that_nobody_told_to_end_goes_on() -> None:
    raise_if_cancelled()


async def test_a_cancellation_that_was_swallowed_is_heeded() -> None:
    async def swallow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise_if_cancelled()

    async def scenario() -> None:
        task = asyncio.create_task(swallow())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        await scenario()


@pytest.mark.parametrize("part", ["watch", "health"])
async def test_a_part_ends_whenever_it_is_told_to(valkey_url: str, part: str) -> None:
    """At every step of its first command to Redis, on a connection that stands: some of them are those at which the word is lost."""

    async with connect(valkey_url) as redis:
        await redis.ping()
        for steps in range(STEPS):
            watch, health = (
                SubscriptionWatch(redis, budget=1),
                HealthReporter(redis, lambda: HEALTHY),
            )
            task = asyncio.create_task({"watch": watch, "health": health}[part].run())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=DEADLINE_S)
            assert task.cancelled()
