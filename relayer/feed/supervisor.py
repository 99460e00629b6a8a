"""The link to the market: keeps one feed connected and subscribed to what is wanted, and passes on its ticks, for ever."""

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
from relayer.feed.subscriptions import SubscriptionWatch
from relayer.ticks.filter import TickFilter
from relayer.ticks.writer import TickWriter

log = structlog.get_logger(__name__)

# A connection that lasted this long was a good one: the next loss begins with short waits again.
STABLE_AFTER_S = 10.0
# A destination that cost us the connection is left alone for a while, so that it can't cost it again at once.
REFUSED_PAUSE_S = 300.0
RECONCILE_PERIOD_S = 1.0
# A server need not say which destination it can't bear. One that had no answer in so many losses, at last alone, is taken for that.
STRIKES_MAX = 3
# A server may put any text into its ERROR.
REASON_LENGTH_MAX = 200


class SubscriptionOutcome(Enum):
    """What became of a destination that was wanted, or no longer wanted."""

    CONFIRMED = auto()
    REFUSED = auto()
    UNCONFIRMED = auto()
    WITHDRAWN = auto()
    DISCONNECTED = auto()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the feed refused a destination, and until when it is left alone, in seconds of the event loop's clock."""

    reason: str
    until: float


class FeedSupervisor:
    """Runs until cancelled, and takes leave of the feed then. Whoever must hold a right to connect starts and cancels ``run`` with it."""

    def __init__(
        self,
        feed: Feed,
        watch: SubscriptionWatch,
        intake: TickFilter,
        writer: TickWriter,
        *,
        backoff: Backoff,
        note_change: Callable[[], None],
    ) -> None:
        self.connected = False
        self.connections_total = 0
        self.why_disconnected: str | None = None
        self._feed = feed
        self._watch = watch
        self._intake = intake
        self._writer = writer
        self._backoff = backoff
        self._note_change = note_change
        self._confirmed: set[str] = set()
        self._refusals: dict[str, Refusal] = {}
        self._unanswered: set[str] = set()
        self._strikes: dict[str, int] = {}
        self._reconnect_asked = asyncio.Event()
        self._fates: dict[str, asyncio.Future[SubscriptionOutcome]] = {}
        self._attempts: list[asyncio.Future[str | None]] = []

    @property
    def subscriptions(self) -> int:
        """How many destinations the feed serves now."""
        return len(self._confirmed)

    @property
    def refusals(self) -> Mapping[str, Refusal]:
        """The destinations that are left alone now."""
        now = _now()
        self._refusals = {
            name: refusal for name, refusal in self._refusals.items() if refusal.until > now
        }
        return self._refusals

    def serves(self, destination: str) -> bool:
        """Whether the feed has confirmed the destination on the present connection."""
        return destination in self._confirmed

    async def subscription(self, destination: str) -> SubscriptionOutcome:
        """Wait until the feed has said what becomes of a wanted destination. DISCONNECTED at once, or as soon as the connection is lost."""
        if destination in self.refusals:
            return SubscriptionOutcome.REFUSED
        if not self.connected:
            return SubscriptionOutcome.DISCONNECTED
        return (
            SubscriptionOutcome.CONFIRMED
            if self.serves(destination)
            else await self._fate(destination)
        )

    async def withdrawal(self, destination: str) -> None:
        """Wait until a destination that is no longer wanted is withdrawn from the feed."""
        while self.connected and destination in self._feed.subscribed:
            await self._fate(destination)

    async def reconnect(self) -> None:
        """Leave the connection, if there is one, and make another at once. FeedUnavailable when that fails; the link itself goes on trying."""
        attempt: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._attempts.append(attempt)
        self._reconnect_asked.set()
        reason = await attempt
        if reason is not None:
            raise FeedUnavailable(reason)

    async def run(self) -> None:
        """Connect, serve, and after every loss connect again."""
        while True:
            try:
                await self._feed.connect()
            except FeedUnavailable as fault:
                self._note_attempt(str(fault))
                await self._pause(str(fault))
            else:
                self._note_attempt(None)
                await self._pause(await self._serve())

    async def _serve(self) -> str:
        """Serve the connection that stands until it is lost; the reason of the loss."""
        opened_at = _now()
        reason = ""
        self._note_connected(connected=True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_subscribed())
                group.create_task(self._leave_when_asked())
                async for event in self._feed.events():
                    self._take(event)
                    if self._writer.crowded:
                        await self._writer.wait_for_room()
        except* FeedUnavailable as lost:
            reason = str(lost.exceptions[0])
        finally:
            await self._feed.close()
            self._suspect()
            self._note_connected(connected=False)
        # A loss at the very moment of being cancelled wins over the cancellation inside the group; it must not be forgotten.
        raise_if_cancelled()
        if _now() - opened_at >= STABLE_AFTER_S:
            self._backoff.reset()
        return reason

    async def _leave_when_asked(self) -> None:
        # Whoever asked before this connection stood has got it.
        self._reconnect_asked.clear()
        await self._reconnect_asked.wait()
        raise FeedUnavailable("a reconnect was asked for")

    async def _pause(self, reason: str) -> None:
        """Wait before the next attempt, unless a reconnect is asked for."""
        self.why_disconnected = reason[:REASON_LENGTH_MAX]
        self._note_change()
        wait_s = 0.0 if self._reconnect_asked.is_set() else self._backoff.next_wait_s()
        log.warning("feed_unavailable", reason=reason, retry_in_s=round(wait_s, 3))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._reconnect_asked.wait()
        self._reconnect_asked.clear()

    def _note_attempt(self, reason: str | None) -> None:
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            # Whoever waited may have been cancelled.
            if not attempt.done():
                attempt.set_result(reason)

    def _note_connected(self, *, connected: bool) -> None:
        self.connected = connected
        self.connections_total += connected
        if connected:
            self.why_disconnected = None
        self._confirmed.clear()
        self._unanswered.clear()
        for destination in list(self._fates):
            self._decide(destination, SubscriptionOutcome.DISCONNECTED)
        log.info(
            "feed_connected" if connected else "feed_closed",
            connections_total=self.connections_total,
        )
        self._note_change()

    def _take(self, event: FeedEvent) -> None:
        match event:
            case TradeMessage():
                tick = self._intake.take(event.destination, event.body)
                if tick is not None:
                    self._writer.offer(tick)
            case SubscriptionConfirmed():
                self._confirmed.add(event.destination)
                self._strikes.pop(event.destination, None)
                self._decide(event.destination, SubscriptionOutcome.CONFIRMED)
                self._note_change()
            case SubscriptionUnconfirmed():
                log.warning("subscription_unconfirmed", destination=event.destination)
                self._decide(event.destination, SubscriptionOutcome.UNCONFIRMED)
            case SubscriptionRefused():
                self._refuse(event.destination, event.reason)

    def _refuse(self, destination: str, reason: str) -> None:
        log.warning("subscription_refused", destination=destination, reason=reason)
        self._refusals[destination] = Refusal(reason[:REASON_LENGTH_MAX], _now() + REFUSED_PAUSE_S)
        self._decide(destination, SubscriptionOutcome.REFUSED)

    def _suspect(self) -> None:
        """The connection is lost, perhaps for the sake of a destination that has no answer. From now on those are asked for one by one; and if it is
        lost again for one alone, though others were confirmed, that one is refused rather than cost all of them the market for ever."""
        if self._reconnect_asked.is_set():
            return
        for suspect in self._unanswered:
            self._strikes[suspect] = self._strikes.get(suspect, 0) + 1
        match tuple(self._unanswered):
            case (alone,) if self._strikes[alone] >= STRIKES_MAX and self._confirmed:
                self._refuse(alone, "the connection was lost each time it was asked for")

    async def _fate(self, destination: str) -> SubscriptionOutcome:
        """Wait for the next thing that becomes of a destination."""
        future = self._fates.get(destination)
        if future is None:
            future = self._fates[destination] = asyncio.get_running_loop().create_future()
        # Others may wait for the same, so that one who is cancelled must not take it with him.
        return await asyncio.shield(future)

    def _decide(self, destination: str, fate: SubscriptionOutcome) -> None:
        self._unanswered.discard(destination)
        future = self._fates.pop(destination, None)
        if future is not None:
            future.set_result(fate)

    async def _keep_subscribed(self) -> None:
        """Bring the feed's subscriptions to what is wanted, at each change and once a second, for what was not confirmed."""
        while True:
            self._watch.changed.clear()
            wanted = self._watch.wanted - self.refusals.keys()
            excess = self._feed.subscribed - wanted
            if excess:
                await self._feed.unsubscribe(sorted(excess))
                for destination in excess:
                    self._intake.forget(destination)
                    self._strikes.pop(destination, None)
                    self._decide(destination, SubscriptionOutcome.WITHDRAWN)
                self._confirmed -= excess
                self._note_change()
            await self._ask(wanted - self._feed.subscribed)
            with suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_PERIOD_S):
                    await self._watch.changed.wait()

    async def _ask(self, missing: frozenset[str]) -> None:
        """First all that are trusted together; then, once nothing is without an answer, each suspect alone."""
        trusted = sorted(missing - self._strikes.keys())
        if trusted:
            self._unanswered.update(trusted)
            await self._feed.subscribe(trusted)
        for suspect in sorted(
            missing & self._strikes.keys(), key=lambda each: (self._strikes[each], each)
        ):
            if self._unanswered:
                return
            self._unanswered.add(suspect)
            await self._feed.subscribe([suspect])
            if suspect in self._unanswered:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RECONCILE_PERIOD_S):
                        await self._fate(suspect)


def _now() -> float:
    return asyncio.get_running_loop().time()
