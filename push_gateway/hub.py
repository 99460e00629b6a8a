"""All clients of the gateway: limits, and routing of Redis messages to clients."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from datetime import datetime
from random import Random
from uuid import UUID

import structlog
from redis.asyncio import Redis

from push_gateway.channels import SharedChannels
from push_gateway.client import Client, ClientDependencies
from trading.account_events import push_messages as messages
from trading.account_events.push_session import parse_event, parse_tick
from trading.config.settings import Settings
from trading.errors import StreamLimitReached, TooManyStreams
from trading.redis import keys

log = structlog.get_logger(__name__)

TIMER_PERIOD_S = 1.0
# After a restart of Redis or the gateway many clients connect at once; their reads take turns on a
# few connections.
_CATCH_UPS_MAX = 16
# Clients of a stopping gateway reconnect elsewhere, spread over this time.
_RETRY_SPREAD_MS = 5_000


class ClientHub:
    """Registers clients, routes messages to them and runs their timers."""

    def __init__(
        self, settings: Settings, redis: "Redis", *, clock: Callable[[], datetime], random: Random
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random
        self._slots = 0
        self._clients_per_user: Counter[UUID] = Counter()
        self._clients_by_session: defaultdict[UUID, set[Client]] = defaultdict(set)
        self._clients: set[Client] = set()
        self._with_ticks: set[Client] = set()
        self._closing = False
        self.channels: SharedChannels[Client] = SharedChannels(
            redis,
            [keys.REVOCATIONS],
            self._on_message,
            on_confirmed=_wake,
            on_lost=self._mark_lost,
            on_restored=self._mark_restored,
        )
        self.dependencies = ClientDependencies(
            redis,
            self.channels,
            settings.stream_stall_s,
            clock,
            asyncio.Semaphore(_CATCH_UPS_MAX),
        )

    @property
    def size(self) -> int:
        """Number of clients."""
        return len(self._clients)

    @property
    def slots_taken(self) -> int:
        """Number of connections, including those not authenticated yet."""
        return self._slots

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Occupy a connection slot while the block runs. Raises TooManyStreams if none is free."""
        if self._closing or self._slots >= self._settings.gateway_clients_max:
            raise TooManyStreams(limit=self._settings.gateway_clients_max)
        self._slots += 1
        try:
            yield
        finally:
            self._slots -= 1

    @contextmanager
    def registered(self, client: Client) -> Iterator[None]:
        """Register the client for its messages while the block runs.

        Raises StreamLimitReached if its user has too many streams.
        """
        bearer = client.session.bearer
        if self._clients_per_user[bearer.user_id] >= self._settings.gateway_clients_per_user:
            raise StreamLimitReached(limit=self._settings.gateway_clients_per_user)
        self._clients_per_user[bearer.user_id] += 1
        self._clients_by_session[bearer.session_id].add(client)
        self._clients.add(client)
        self.channels.add_listener(client.session.channels, client)
        try:
            yield
        finally:
            self.channels.remove_listener(client.session.channels, client)
            self._clients.discard(client)
            self._clients_by_session[bearer.session_id].discard(client)
            if not self._clients_by_session[bearer.session_id]:
                del self._clients_by_session[bearer.session_id]
            self._clients_per_user[bearer.user_id] -= 1
            if not self._clients_per_user[bearer.user_id]:
                del self._clients_per_user[bearer.user_id]

    def follow(self, client: Client, codes: Iterable[str]) -> None:
        """Add stocks to the client. Raises ValidationFailed if there are too many."""
        client.session.follow(codes)
        self.channels.add_listener(client.session.channels, client)
        client.wake()

    def unfollow(self, client: Client, codes: Iterable[str]) -> None:
        client.session.unfollow(codes)
        self.channels.remove_listener([keys.tick_channel(code) for code in codes], client)

    async def run(self) -> None:
        """Run the clients' timers until cancelled."""
        while True:
            await asyncio.sleep(TIMER_PERIOD_S)
            now = self._clock()
            _wake([client for client in self._clients if client.session.on_timer(now)])

    def close(self) -> None:
        """End all clients' sessions and accept no new ones."""
        self._closing = True
        for client in self._clients:
            client.session.finish(
                messages.closing(messages.RETRY_MS + self._random.randrange(_RETRY_SPREAD_MS))
            )
            client.wake()

    def _on_message(self, channel: str, text: str, listeners: Set[Client]) -> None:
        if channel == keys.REVOCATIONS:
            self._sign_out(text)
        elif keys.code_of_tick_channel(channel) is not None:
            self._push_tick(text, listeners)
        else:
            self._push_event(channel, text, listeners)

    def _push_tick(self, text: str, listeners: Set[Client]) -> None:
        tick = parse_tick(text)
        if tick is None:
            log.warning("tick_malformed")
            return
        message = messages.tick_message(tick)
        for client in listeners:
            client.session.offer_tick(tick.code, tick.position, message)
        if not self._with_ticks:
            # Run after everything else that arrived with this tick: the later the push, the more
            # ticks are conflated.
            asyncio.get_running_loop().call_soon(self._push)
        self._with_ticks |= listeners

    def _push(self) -> None:
        due, self._with_ticks = self._with_ticks, set()
        for client in due & self._clients:
            client.push()

    def _push_event(self, channel: str, text: str, listeners: Set[Client]) -> None:
        user_id = keys.user_of_account_channel(channel)
        event = None if user_id is None else parse_event(user_id, text)
        if event is None:
            log.warning("account_event_malformed")
            return
        message = messages.event_message(event)
        for client in listeners:
            client.session.offer_event(event.id, message)
            client.wake()

    def _sign_out(self, text: str) -> None:
        try:
            session_id = UUID(text)
        except ValueError:
            log.warning("revocation_malformed")
            return
        for client in self._clients_by_session.get(session_id, ()):
            client.session.finish(messages.SIGNED_OUT)
            client.wake()

    def _mark_lost(self) -> None:
        for client in self._clients:
            client.session.mark_disconnected()
        _wake(self._clients)

    def _mark_restored(self) -> None:
        for client in self._clients:
            client.session.mark_reconnected()
        _wake(self._clients)


def _wake(clients: Iterable[Client]) -> None:
    for client in clients:
        client.wake()
