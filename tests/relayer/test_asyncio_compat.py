"""Cancelled tasks end even where Python 3.11 swallows a cancellation."""

import asyncio

import pytest

from relayer.asyncio_compat import raise_if_cancelled
from relayer.daemon import connect
from relayer.feed.subscription_budget import SubscriptionWatch
from relayer.health_reporter import HealthReporter
from tests.support.deadlines import DEADLINE_S
from tests.trading.marketdata.test_health import HEALTHY

STEPS = 60


async def test_raise_if_cancelled_does_nothing_without_a_cancellation() -> None:
    raise_if_cancelled()


async def test_raise_if_cancelled_raises_a_swallowed_cancellation() -> None:
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
async def test_a_part_can_be_cancelled_at_every_step(valkey_url: str, part: str) -> None:
    """At every step of the first Redis command on an open connection; some of them swallow it."""

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
