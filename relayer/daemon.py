"""The daemon: puts feed, intake, writer, watch and health together, runs them while it holds the lease, and takes leave in order."""

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
from relayer.commands.server import CommandListener
from relayer.feed.interface import Feed
from relayer.feed.registry import build_feed
from relayer.feed.subscriptions import SubscriptionWatch
from relayer.feed.supervisor import FeedSupervisor
from relayer.health_reporter import HealthReporter
from relayer.lease.holder import LeaseHolder
from relayer.lease.lease import ABSENCE_S, LeaseLost, LeaseRecord
from relayer.lease.watchdog import DeadManSwitch, NoSwitch
from relayer.metrics import RelayerMetrics, write_lag
from relayer.ticks.filter import TickFilter
from relayer.ticks.sequence import TickSequence
from relayer.ticks.writer import TickWriter
from trading.config.settings import Settings
from trading.marketdata.health import TOPICS_LISTED_MAX, RefusedTopic, RelayerHealth

log = structlog.get_logger(__name__)

REDIS_TIMEOUT_S = 1.0
# Leaving takes: the feed's farewell (1.5 s), then the last ticks, the last health record. Together below the five seconds
# that a supervisor grants.
FLUSH_TIMEOUT_S = 1.5
CANCEL_AGAIN_S = 2.0


class Daemon:
    """One relayer process's work: a standby until the lease is its own, then the one that is connected.

    ``feed`` is the one that the settings choose unless another is given. ``switch`` ends a process that can't give the connection up by itself.
    ``absence_s`` may be shorter only where no other relayer can be.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        feed: Feed | None = None,
        switch: DeadManSwitch | None = None,
        absence_s: float = ABSENCE_S,
    ) -> None:
        self._started_at = _utc_now()
        self._redis = connect(settings.redis_url.get_secret_value())
        self._feed = feed or build_feed(settings)
        self._lease_redis = connect(settings.redis_url.get_secret_value(), single_connection=True)
        record = LeaseRecord(self._lease_redis, name=f"{socket.gethostname()}:{os.getpid()}")
        self._holder = LeaseHolder(record, switch or NoSwitch(), absence_s=absence_s)
        sequence = TickSequence()
        lag = write_lag()
        self._writer = TickWriter(
            self._redis,
            sequence,
            clock=_utc_now,
            lease=lambda: self._holder.lease,
            note_lag=lag.observe,
        )
        self._intake = TickFilter(sequence, clock=_utc_now)
        self._health = HealthReporter(self._redis, self._examine)
        self._watch = SubscriptionWatch(self._redis, budget=settings.relayer_subscription_budget)
        self._link = FeedSupervisor(
            self._feed,
            self._watch,
            self._intake,
            self._writer,
            backoff=Backoff(Random()),
            note_change=self._health.note_change,
        )
        self._commands = CommandListener(self._redis, self._watch, self._link)
        self.metrics = RelayerMetrics(
            holder=self._holder,
            link=self._link,
            watch=self._watch,
            intake=self._intake,
            writer=self._writer,
            lag=lag,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set. An unforeseen fault of one part ends all and is raised."""
        log.info("relayer_started", pid=os.getpid())
        while not stop.is_set():
            if await self._take_lease(stop):
                await self._serve(stop)
        await self._redis.aclose()
        await self._lease_redis.aclose()
        log.info("relayer_stopped", ticks_total=self._intake.ticks_total)

    async def _take_lease(self, stop: asyncio.Event) -> bool:
        """Stand by until the lease is ours, or ``stop`` is set."""
        taking = asyncio.create_task(self._holder.take())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([taking, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not taking.done():
            await _cancel(taking)
            return False
        await taking
        return True

    async def _serve(self, stop: asyncio.Event) -> None:
        """Everything that only the holder of the lease does, until ``stop`` is set or the lease is lost."""
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(self._keep_lease())
                writing = group.create_task(self._writer.run())
                endless = [
                    group.create_task(part.run())
                    for part in (self._watch, self._health, self._commands)
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
                await _cancel(keeping)
        except* LeaseLost as lost:
            log.warning("lease_lost", reason=str(lost.exceptions[0]))
            self._writer.forget()
        finally:
            await self._holder.leave()

    async def _keep_lease(self) -> None:
        try:
            await self._holder.keep()
        except LeaseLost:
            # Nothing else may come first: from here on another relayer may connect.
            self._feed.abort()
            raise

    def _examine(self) -> RelayerHealth:
        left_out, refusals = self._watch.left_out, self._link.refusals
        refused = [RefusedTopic(topic, refusal.reason) for topic, refusal in refusals.items()]
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
            lease_number=self._holder.number,
            why_disconnected=self._link.why_disconnected,
            wanted=len(self._watch.wanted),
            left_out=left_out[:TOPICS_LISTED_MAX],
            left_out_total=len(left_out),
            refused=tuple(refused[:TOPICS_LISTED_MAX]),
            refused_total=len(refused),
            repeated_total=self._intake.repeated_total,
            conflated_total=self._writer.conflated_total,
            waiting_ticks=self._writer.waiting_ticks,
        )


def connect(url: str, *, single_connection: bool = False) -> "Redis":
    """A client that answers or fails within a second; whoever uses it decides about another attempt."""
    return Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",  # Whatever anybody else puts there must read as malformed and end nothing.
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=single_connection,
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    """End a task. Asked more than once: a cancellation that meets a timeout inside a library may be taken for that timeout."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)
    with suppress(asyncio.CancelledError):
        await task


def _utc_now() -> datetime:
    return datetime.now(UTC)
