"""Keeps one feed connected and subscribed to the wanted destinations, and passes on its ticks."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

import structlog

from relayer.asyncio_compat import raise_if_cancelled
from relayer.backoff import Backoff
from relayer.feed.interface import (
    Feed,
    FeedEvent,
    FeedUnavailable,
    SubscriptionConfirmed,
    SubscriptionRefused,
    SubscriptionUnconfirmed,
    TradeMessage,
)
from relayer.feed.subscription_budget import SubscriptionWatch
from relayer.ticks.filter import TickFilter
from relayer.ticks.writer import TickWriter

log = structlog.get_logger(__name__)

# A connection that lasted this long resets the back-off.
STABLE_AFTER_S = 10.0
# A destination that broke the connection is not subscribed for this long.
REFUSED_PAUSE_S = 300.0
RECONCILE_PERIOD_S = 1.0
# A server may close the connection without naming the rejected destination. A destination counts as
# rejected if its subscription was unanswered at this many connection losses, and at the last of
# them was the only unanswered one.
FAILURES_MAX = 3
# A server may put any text into its ERROR.
REASON_LENGTH_MAX = 200


class SubscriptionOutcome(Enum):
    """Result of subscribing or unsubscribing a destination."""

    CONFIRMED = auto()
    REFUSED = auto()
    UNCONFIRMED = auto()
    WITHDRAWN = auto()
    DISCONNECTED = auto()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the feed refused a destination, and until when (event loop time) it is not subscribed."""

    reason: str
    until: float


class FeedSupervisor:
    """Runs until cancelled, then disconnects the feed.

    A caller that needs the right to connect (the lease) starts and cancels ``run`` with it.
    """

    def __init__(
        self,
        feed: Feed,
        watch: SubscriptionWatch,
        tick_filter: TickFilter,
        writer: TickWriter,
        *,
        backoff: Backoff,
        on_change: Callable[[], None],
    ) -> None:
        self.connected = False
        self.connections_total = 0
        self.disconnect_reason: str | None = None
        self._feed = feed
        self._watch = watch
        self._tick_filter = tick_filter
        self._writer = writer
        self._backoff = backoff
        self._on_change = on_change
        self._confirmed: set[str] = set()
        self._refusals: dict[str, Refusal] = {}
        self._unanswered: set[str] = set()
        self._failures: dict[str, int] = {}
        self._reconnect_requested = asyncio.Event()
        self._outcomes: dict[str, asyncio.Future[SubscriptionOutcome]] = {}
        self._attempts: list[asyncio.Future[str | None]] = []

    @property
    def subscriptions(self) -> int:
        """Number of destinations that the feed has confirmed."""
        return len(self._confirmed)

    @property
    def refusals(self) -> Mapping[str, Refusal]:
        """Destinations that are currently not subscribed because the feed refused them."""
        now = _now()
        self._refusals = {
            name: refusal for name, refusal in self._refusals.items() if refusal.until > now
        }
        return self._refusals

    def is_confirmed(self, destination: str) -> bool:
        """Return True if the feed confirmed the destination on the current connection."""
        return destination in self._confirmed

    async def subscription(self, destination: str) -> SubscriptionOutcome:
        """Wait for the result of subscribing a wanted destination.

        Returns DISCONNECTED at once without a connection, or as soon as the connection is lost.
        """
        if destination in self.refusals:
            return SubscriptionOutcome.REFUSED
        if not self.connected:
            return SubscriptionOutcome.DISCONNECTED
        return (
            SubscriptionOutcome.CONFIRMED
            if self.is_confirmed(destination)
            else await self._next_outcome(destination)
        )

    async def wait_until_unsubscribed(self, destination: str) -> None:
        """Wait until the feed has unsubscribed a destination that is no longer wanted."""
        while self.connected and destination in self._feed.subscribed:
            await self._next_outcome(destination)

    async def reconnect(self) -> None:
        """Drop the current connection, if any, and connect again at once.

        Raises FeedUnavailable if that fails; ``run`` keeps retrying.
        """
        attempt: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._attempts.append(attempt)
        self._reconnect_requested.set()
        reason = await attempt
        if reason is not None:
            raise FeedUnavailable(reason)

    async def run(self) -> None:
        """Connect, serve and reconnect after every loss, until cancelled."""
        while True:
            try:
                await self._feed.connect()
            except FeedUnavailable as fault:
                self._finish_attempts(str(fault))
                await self._pause(str(fault))
            else:
                self._finish_attempts(None)
                await self._pause(await self._serve())

    async def _serve(self) -> str:
        """Serve the current connection until it is lost; return the reason."""
        opened_at = _now()
        reason = ""
        self._set_connected(connected=True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_subscribed())
                group.create_task(self._reconnect_on_request())
                async for event in self._feed.events():
                    self._handle_event(event)
                    if self._writer.is_congested:
                        await self._writer.wait_for_capacity()
        except* FeedUnavailable as losses:
            reason = str(losses.exceptions[0])
        finally:
            await self._feed.close()
            self._record_loss()
            self._set_connected(connected=False)
        # If the connection is lost while this task is being cancelled, the task group raises the
        # loss: do not swallow the cancellation.
        raise_if_cancelled()
        if _now() - opened_at >= STABLE_AFTER_S:
            self._backoff.reset()
        return reason

    async def _reconnect_on_request(self) -> None:
        # Requests from before this connection are satisfied by it.
        self._reconnect_requested.clear()
        await self._reconnect_requested.wait()
        raise FeedUnavailable("a reconnect was requested")

    async def _pause(self, reason: str) -> None:
        """Wait before the next attempt, unless a reconnect is requested."""
        self.disconnect_reason = reason[:REASON_LENGTH_MAX]
        self._on_change()
        wait_s = 0.0 if self._reconnect_requested.is_set() else self._backoff.next_wait_s()
        log.warning("feed_unavailable", reason=reason, retry_in_s=round(wait_s, 3))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._reconnect_requested.wait()
        self._reconnect_requested.clear()

    def _finish_attempts(self, reason: str | None) -> None:
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            # The waiting command may have been cancelled.
            if not attempt.done():
                attempt.set_result(reason)

    def _set_connected(self, *, connected: bool) -> None:
        self.connected = connected
        self.connections_total += connected
        if connected:
            self.disconnect_reason = None
        self._confirmed.clear()
        self._unanswered.clear()
        for destination in list(self._outcomes):
            self._resolve(destination, SubscriptionOutcome.DISCONNECTED)
        log.info(
            "feed_connected" if connected else "feed_closed",
            connections_total=self.connections_total,
        )
        self._on_change()

    def _handle_event(self, event: FeedEvent) -> None:
        match event:
            case TradeMessage():
                tick = self._tick_filter.accept(event.destination, event.body)
                if tick is not None:
                    self._writer.offer(tick)
            case SubscriptionConfirmed():
                self._confirmed.add(event.destination)
                self._failures.pop(event.destination, None)
                self._resolve(event.destination, SubscriptionOutcome.CONFIRMED)
                self._on_change()
            case SubscriptionUnconfirmed():
                log.warning("subscription_unconfirmed", destination=event.destination)
                self._resolve(event.destination, SubscriptionOutcome.UNCONFIRMED)
            case SubscriptionRefused():
                self._refuse(event.destination, event.reason)

    def _refuse(self, destination: str, reason: str) -> None:
        log.warning("subscription_refused", destination=destination, reason=reason)
        self._refusals[destination] = Refusal(reason[:REASON_LENGTH_MAX], _now() + REFUSED_PAUSE_S)
        self._resolve(destination, SubscriptionOutcome.REFUSED)

    def _record_loss(self) -> None:
        """Count a connection loss for every unanswered destination: each may be the cause.

        From then on each of them is subscribed one at a time. If the connection is lost
        repeatedly while only one is unanswered and others were confirmed, that one is refused, so
        that it does not block the others.
        """
        if self._reconnect_requested.is_set():
            return
        for suspect in self._unanswered:
            self._failures[suspect] = self._failures.get(suspect, 0) + 1
        match tuple(self._unanswered):
            case (only,) if self._failures[only] >= FAILURES_MAX and self._confirmed:
                self._refuse(only, "the connection was lost each time it was subscribed")

    async def _next_outcome(self, destination: str) -> SubscriptionOutcome:
        """Wait for the next result of a destination."""
        future = self._outcomes.get(destination)
        if future is None:
            future = self._outcomes[destination] = asyncio.get_running_loop().create_future()
        # Several tasks may wait for this future: cancelling one must not cancel it.
        return await asyncio.shield(future)

    def _resolve(self, destination: str, outcome: SubscriptionOutcome) -> None:
        self._unanswered.discard(destination)
        future = self._outcomes.pop(destination, None)
        if future is not None:
            future.set_result(outcome)

    async def _keep_subscribed(self) -> None:
        """Bring the feed's subscriptions in line with the wanted ones.

        Runs at each change and every second, for destinations that were not confirmed.
        """
        while True:
            self._watch.changed.clear()
            wanted = self._watch.wanted - self.refusals.keys()
            excess = self._feed.subscribed - wanted
            if excess:
                await self._feed.unsubscribe(sorted(excess))
                for destination in excess:
                    self._failures.pop(destination, None)
                    self._resolve(destination, SubscriptionOutcome.WITHDRAWN)
                self._confirmed -= excess
                self._on_change()
            await self._subscribe_missing(wanted - self._feed.subscribed)
            with suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_PERIOD_S):
                    await self._watch.changed.wait()

    async def _subscribe_missing(self, missing: frozenset[str]) -> None:
        """Subscribe all destinations without failures together, then each suspect alone.

        A suspect is subscribed only while no other destination is unanswered.
        """
        trusted = sorted(missing - self._failures.keys())
        if trusted:
            self._unanswered.update(trusted)
            await self._feed.subscribe(trusted)
        for suspect in sorted(
            missing & self._failures.keys(), key=lambda each: (self._failures[each], each)
        ):
            if self._unanswered:
                return
            self._unanswered.add(suspect)
            await self._feed.subscribe([suspect])
            if suspect in self._unanswered:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RECONCILE_PERIOD_S):
                        await self._next_outcome(suspect)


def _now() -> float:
    return asyncio.get_running_loop().time()
