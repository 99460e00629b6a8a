"""The link to the market: keeps one feed connected and subscribed to what is wanted, and passes on its ticks, for ever."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from relayer.backoff import Backoff
from relayer.feed import (
    Feed,
    FeedEvent,
    FeedUnavailable,
    SubscriptionConfirmed,
    SubscriptionRefused,
    SubscriptionUnconfirmed,
    TradeMessage,
)
from relayer.subscriptions import SubscriptionWatch
from relayer.tick_intake import TickIntake
from relayer.tick_writer import TickWriter

log = structlog.get_logger(__name__)

# A connection that lasted this long was a good one: the next loss begins with short waits again.
STABLE_AFTER_S = 10.0
# A destination that cost us the connection is left alone for a while, so that it can't cost it again at once.
REFUSED_PAUSE_S = 300.0
RECONCILE_PERIOD_S = 1.0


class MarketLink:
    """Runs until cancelled, and takes leave of the feed then. Whoever must hold a right to connect starts and cancels ``run`` with it."""

    def __init__(
        self,
        feed: Feed,
        watch: SubscriptionWatch,
        intake: TickIntake,
        writer: TickWriter,
        *,
        backoff: Backoff,
        note_change: Callable[[], None],
    ) -> None:
        self.connected = False
        self.connections_total = 0
        self._feed = feed
        self._watch = watch
        self._intake = intake
        self._writer = writer
        self._backoff = backoff
        self._note_change = note_change
        self._confirmed: set[str] = set()
        self._refused_until: dict[str, float] = {}

    @property
    def subscriptions(self) -> int:
        """How many destinations the feed serves now."""
        return len(self._confirmed)

    async def run(self) -> None:
        """Connect, serve, and after every loss connect again."""
        while True:
            try:
                await self._feed.connect()
            except FeedUnavailable as fault:
                await self._pause(str(fault))
            else:
                await self._pause(await self._serve())

    async def _serve(self) -> str:
        """Serve the connection that stands until it is lost; the reason of the loss."""
        opened_at = _now()
        reason = ""
        self._note_connected(connected=True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_subscribed())
                async for event in self._feed.events():
                    self._take(event)
                    if self._writer.crowded:
                        await self._writer.wait_for_room()
        except* FeedUnavailable as lost:
            reason = str(lost.exceptions[0])
        finally:
            await self._feed.close()
            self._note_connected(connected=False)
        # A loss at the very moment of being cancelled wins over the cancellation inside the group; it must not be forgotten.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        if _now() - opened_at >= STABLE_AFTER_S:
            self._backoff.reset()
        return reason

    async def _pause(self, reason: str) -> None:
        wait_s = self._backoff.next_wait_s()
        log.warning("feed_unavailable", reason=reason, retry_in_s=round(wait_s, 3))
        await asyncio.sleep(wait_s)

    def _note_connected(self, *, connected: bool) -> None:
        self.connected = connected
        self.connections_total += connected
        self._confirmed.clear()
        log.info("feed_connected" if connected else "feed_closed", connections_total=self.connections_total)
        self._note_change()

    def _take(self, event: FeedEvent) -> None:
        match event:
            case TradeMessage():
                tick = self._intake.take(event.destination, event.body)
                if tick is not None:
                    self._writer.offer(tick)
            case SubscriptionConfirmed():
                self._confirmed.add(event.destination)
                self._note_change()
            case SubscriptionUnconfirmed():
                log.warning("subscription_unconfirmed", destination=event.destination)
            case SubscriptionRefused():
                log.warning("subscription_refused", destination=event.destination, reason=event.reason)
                self._refused_until[event.destination] = _now() + REFUSED_PAUSE_S

    async def _keep_subscribed(self) -> None:
        """Bring the feed's subscriptions to what is wanted, at each change and once a second, for what was not confirmed."""
        while True:
            self._watch.changed.clear()
            wanted = self._watch.wanted - self._refused()
            excess = self._feed.subscribed - wanted
            if excess:
                await self._feed.unsubscribe(sorted(excess))
                for destination in excess:
                    self._intake.forget(destination)
                self._confirmed -= excess
                self._note_change()
            missing = wanted - self._feed.subscribed
            if missing:
                await self._feed.subscribe(sorted(missing))
            with suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_PERIOD_S):
                    await self._watch.changed.wait()

    def _refused(self) -> frozenset[str]:
        now = _now()
        self._refused_until = {name: until for name, until in self._refused_until.items() if until > now}
        return frozenset(self._refused_until)


def _now() -> float:
    return asyncio.get_running_loop().time()
