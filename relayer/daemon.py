"""The daemon: puts feed, intake, writer, watch and health together, runs them until told to stop, and takes leave in order."""

import asyncio
import os
from contextlib import suppress
from datetime import UTC, datetime
from random import Random

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from relayer.backoff import Backoff
from relayer.feed import Feed
from relayer.health_keeper import HealthKeeper
from relayer.market_link import MarketLink
from relayer.stomp_feed import StompFeed
from relayer.subscriptions import SubscriptionWatch
from relayer.tick_intake import TickIntake
from relayer.tick_sequence import TickSequence
from relayer.tick_writer import TickWriter
from trading.market.health import RelayerHealth
from trading.settings import Settings

log = structlog.get_logger(__name__)

REDIS_TIMEOUT_S = 1.0
# Leaving takes: the feed's farewell (1.5 s), then the last ticks, the last health record. Together below the five seconds
# that a supervisor grants.
FLUSH_TIMEOUT_S = 1.5


class Daemon:
    """One relayer process's work. ``feed`` is Toss's web feed unless another is given."""

    def __init__(self, settings: Settings, *, feed: Feed | None = None) -> None:
        self._started_at = _utc_now()
        self._redis = _connect(settings.redis_url.get_secret_value())
        sequence = TickSequence()
        self._writer = TickWriter(self._redis, sequence, clock=_utc_now)
        self._intake = TickIntake(sequence, clock=_utc_now)
        self._health = HealthKeeper(self._redis, self._examine)
        self._watch = SubscriptionWatch(self._redis, budget=settings.relayer_subscription_budget)
        self._link = MarketLink(
            feed or _toss_feed(settings),
            self._watch,
            self._intake,
            self._writer,
            backoff=Backoff(Random()),
            note_change=self._health.note_change,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set. An unforeseen fault of one part ends all and is raised."""
        log.info("relayer_started", pid=os.getpid())
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._writer.run())
            endless = [
                group.create_task(self._watch.run()),
                group.create_task(self._health.run()),
            ]
            link = group.create_task(self._link.run())
            await stop.wait()
            log.info("relayer_stopping")
            await _cancel(link)
            self._writer.finish()
            await asyncio.wait([writing], timeout=FLUSH_TIMEOUT_S)
            for task in (*endless, writing):
                await _cancel(task)
        await self._health.write()
        await self._redis.aclose()
        log.info("relayer_stopped", ticks_total=self._intake.ticks_total)

    def _examine(self) -> RelayerHealth:
        return RelayerHealth(
            pid=os.getpid(),
            started_at=self._started_at,
            updated_at=_utc_now(),
            connected=self._link.connected,
            subscriptions=self._link.subscriptions,
            last_tick_at=self._intake.last_tick_at,
            reconnects=max(0, self._link.connections_total - 1),
            ticks_total=self._intake.ticks_total,
            malformed_total=self._intake.malformed_total,
            lag_ms=self._writer.lag_ms,
        )


def _toss_feed(settings: Settings) -> StompFeed:
    return StompFeed(
        api_url=settings.toss_api_url,
        websocket_url=settings.toss_websocket_url,
        heart_beat_ms=settings.relayer_heartbeat_ms,
    )


def _connect(url: str) -> "Redis":
    """A client that answers or fails within a second; whoever uses it decides about another attempt."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _utc_now() -> datetime:
    return datetime.now(UTC)
