"""The relayer daemon: wires feed, filter, writer, commands and health together and runs them.

They run only while this process holds the lease, and they stop in a fixed order.
"""

import asyncio
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from random import Random

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from relayer.backoff import Backoff
from relayer.commands.server import CommandServer
from relayer.feed.interface import Feed
from relayer.feed.registry import build_feed
from relayer.feed.subscription_budget import SubscriptionWatch
from relayer.feed.supervisor import FeedSupervisor
from relayer.health_reporter import HealthReporter
from relayer.lease.holder import LeaseHolder
from relayer.lease.record import GRACE_S, LeaseLost, LeaseRecord
from relayer.lease.watchdog import NoWatchdog, Watchdog
from relayer.metrics import RelayerMetrics, write_lag
from relayer.ticks.filter import TickFilter
from relayer.ticks.sequence import TickSequence
from relayer.ticks.writer import TickWriter
from trading.config.settings import Settings
from trading.marketdata.health import TOPICS_LISTED_MAX, RefusedTopic, RelayerHealth

log = structlog.get_logger(__name__)

REDIS_TIMEOUT_S = 1.0
# Shutdown takes the feed's disconnect (1.5 s), then the last ticks, then the last health record:
# together less than the five seconds that a process supervisor allows.
FLUSH_TIMEOUT_S = 1.5
CANCEL_AGAIN_S = 2.0


class Daemon:
    """One relayer process: a standby until it acquires the lease, then the connected relayer.

    ``feed`` defaults to the feed that the settings name. ``watchdog`` kills a process that cannot
    drop its connection by itself. Pass a shorter ``grace_s`` only where no other relayer can run.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        feed: Feed | None = None,
        watchdog: Watchdog | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self._started_at = _utc_now()
        self._redis = connect(settings.redis_url.get_secret_value())
        self._feed = feed or build_feed(settings)
        self._lease_redis = connect(settings.redis_url.get_secret_value(), single_connection=True)
        record = LeaseRecord(self._lease_redis, name=f"{socket.gethostname()}:{os.getpid()}")
        self._holder = LeaseHolder(record, watchdog or NoWatchdog(), grace_s=grace_s)
        sequence = TickSequence()
        lag = write_lag()
        self._writer = TickWriter(
            self._redis,
            sequence,
            clock=_utc_now,
            lease=lambda: self._holder.lease,
            observe_lag=lag.observe,
        )
        self._tick_filter = TickFilter(sequence, clock=_utc_now)
        self._health = HealthReporter(self._redis, self._health_record)
        self._watch = SubscriptionWatch(self._redis, budget=settings.relayer_subscription_budget)
        self._supervisor = FeedSupervisor(
            self._feed,
            self._watch,
            self._tick_filter,
            self._writer,
            backoff=Backoff(Random()),
            on_change=self._health.publish_soon,
        )
        self._commands = CommandServer(self._redis, self._watch, self._supervisor)
        self.metrics = RelayerMetrics(
            holder=self._holder,
            supervisor=self._supervisor,
            watch=self._watch,
            tick_filter=self._tick_filter,
            writer=self._writer,
            lag=lag,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set.

        An unexpected error in one part stops all parts and is raised.
        """
        log.info("relayer_started", pid=os.getpid())
        while not stop.is_set():
            if await self._acquire_lease(stop):
                await self._serve(stop)
        await self._redis.aclose()
        await self._lease_redis.aclose()
        log.info("relayer_stopped", ticks_total=self._tick_filter.ticks_total)

    async def _acquire_lease(self, stop: asyncio.Event) -> bool:
        """Wait until the lease is acquired; return False if ``stop`` is set first."""
        acquiring = asyncio.create_task(self._holder.acquire())
        stop_waiter = asyncio.create_task(stop.wait())
        await asyncio.wait([acquiring, stop_waiter], return_when=asyncio.FIRST_COMPLETED)
        stop_waiter.cancel()
        if not acquiring.done():
            await _cancel(acquiring)
            return False
        await acquiring
        return True

    async def _serve(self, stop: asyncio.Event) -> None:
        """Run everything that needs the lease, until ``stop`` is set or the lease is lost."""
        try:
            async with asyncio.TaskGroup() as group:
                holding = group.create_task(self._hold_lease())
                writing = group.create_task(self._writer.run())
                background = [
                    group.create_task(part.run())
                    for part in (self._watch, self._health, self._commands)
                ]
                supervisor_task = group.create_task(self._supervisor.run())
                await stop.wait()
                log.info("relayer_stopping")
                await _cancel(supervisor_task)
                self._writer.finish()
                await asyncio.wait([writing], timeout=FLUSH_TIMEOUT_S)
                for task in (*background, writing):
                    await _cancel(task)
                await self._health.write()
                await _cancel(holding)
        except* LeaseLost as lost:
            log.warning("lease_lost", reason=str(lost.exceptions[0]))
            self._writer.discard()
        finally:
            await self._holder.release()

    async def _hold_lease(self) -> None:
        try:
            await self._holder.hold()
        except LeaseLost:
            # Abort before anything else: from here on another relayer may connect.
            self._feed.abort()
            raise

    def _health_record(self) -> RelayerHealth:
        left_out, refusals = self._watch.left_out, self._supervisor.refusals
        refused = [RefusedTopic(topic, refusal.reason) for topic, refusal in refusals.items()]
        return RelayerHealth(
            pid=os.getpid(),
            started_at=self._started_at,
            updated_at=_utc_now(),
            connected=self._supervisor.connected,
            subscriptions=self._supervisor.subscriptions,
            last_tick_at=self._tick_filter.last_tick_at,
            reconnects=max(0, self._supervisor.connections_total - 1),
            ticks_total=self._tick_filter.ticks_total - self._writer.repeated_total,
            malformed_total=self._tick_filter.malformed_total,
            lag_ms=self._writer.lag_ms,
            lease_number=self._holder.number,
            why_disconnected=self._supervisor.disconnect_reason,
            wanted=len(self._watch.wanted),
            left_out=left_out[:TOPICS_LISTED_MAX],
            left_out_total=len(left_out),
            refused=tuple(refused[:TOPICS_LISTED_MAX]),
            refused_total=len(refused),
            repeated_total=self._writer.repeated_total,
            conflated_total=self._writer.conflated_total,
            waiting_ticks=self._writer.waiting_ticks,
        )


def connect(url: str, *, single_connection: bool = False) -> "Redis":
    """Return a client that answers or fails within a second and never retries: callers retry."""
    return Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",  # Foreign bytes must decode as malformed text, not raise.
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=single_connection,
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it ends.

    Cancel repeatedly: a cancellation that coincides with a timeout inside a library may be mistaken
    for that timeout and swallowed.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)
    with suppress(asyncio.CancelledError):
        await task


def _utc_now() -> datetime:
    return datetime.now(UTC)
