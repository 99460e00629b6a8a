"""All clients of the gateway: how many there may be, and which of them a message from Redis is for."""

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

BEAT_S = 1.0
# After a restart of Redis, or of the gateway itself, a crowd comes at once; its reads take their turns on a few connections.
_LOOKS_AT_ONCE_MAX = 16
# A gateway that stops sends its clients to the next one, spread over a while.
_RETRY_SPREAD_MS = 5_000


class ClientHub:
    """Keeps the clients, gives each what comes for it, and lets time pass for all of them."""

    def __init__(
        self, settings: Settings, redis: "Redis", *, clock: Callable[[], datetime], draw: Random
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._draw = draw
        self._places = 0
        self._of_user: Counter[UUID] = Counter()
        self._of_session: defaultdict[UUID, set[Client]] = defaultdict(set)
        self._clients: set[Client] = set()
        self._due: set[Client] = set()
        self._closing = False
        self.channels: SharedChannels[Client] = SharedChannels(
            redis,
            [keys.REVOCATIONS],
            self._receive,
            confirmed=_wake,
            lost=self._lose,
            found=self._resume,
        )
        self.means = ClientDependencies(
            redis,
            self.channels,
            settings.stream_stall_s,
            clock,
            asyncio.Semaphore(_LOOKS_AT_ONCE_MAX),
        )

    @property
    def size(self) -> int:
        """How many clients there are."""
        return len(self._clients)

    @property
    def places_taken(self) -> int:
        """How many connections there are, those that are not signed in yet among them."""
        return self._places

    @contextmanager
    def place(self) -> Iterator[None]:
        """A connection's place while the block runs. Raises TooManyStreams when none is free."""
        if self._closing or self._places >= self._settings.gateway_clients_max:
            raise TooManyStreams(limit=self._settings.gateway_clients_max)
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    @contextmanager
    def seated(self, client: Client) -> Iterator[None]:
        """Let the client receive what is for it while the block runs. Raises StreamLimitReached when its user has too many."""
        bearer = client.feed.bearer
        if self._of_user[bearer.user_id] >= self._settings.gateway_clients_per_user:
            raise StreamLimitReached(limit=self._settings.gateway_clients_per_user)
        self._of_user[bearer.user_id] += 1
        self._of_session[bearer.session_id].add(client)
        self._clients.add(client)
        self.channels.listen(client.feed.channels, client)
        try:
            yield
        finally:
            self.channels.leave(client.feed.channels, client)
            self._clients.discard(client)
            self._of_session[bearer.session_id].discard(client)
            if not self._of_session[bearer.session_id]:
                del self._of_session[bearer.session_id]
            self._of_user[bearer.user_id] -= 1
            if not self._of_user[bearer.user_id]:
                del self._of_user[bearer.user_id]

    def follow(self, client: Client, codes: Iterable[str]) -> None:
        """Let the client follow these stocks too. Raises ValidationFailed when they become too many."""
        client.feed.follow(codes)
        self.channels.listen(client.feed.channels, client)
        client.wake()

    def unfollow(self, client: Client, codes: Iterable[str]) -> None:
        client.feed.unfollow(codes)
        self.channels.leave([keys.tick_channel(code) for code in codes], client)

    async def run(self) -> None:
        """Let time pass for ever."""
        while True:
            await asyncio.sleep(BEAT_S)
            now = self._clock()
            _wake([client for client in self._clients if client.feed.on_timer(now)])

    def close(self) -> None:
        """Take leave of everybody; nobody is let in any more."""
        self._closing = True
        for client in self._clients:
            client.feed.finish(
                messages.closing(messages.RETRY_MS + self._draw.randrange(_RETRY_SPREAD_MS))
            )
            client.wake()

    def _receive(self, channel: str, text: str, listeners: Set[Client]) -> None:
        if channel == keys.REVOCATIONS:
            self._sign_out(text)
        elif keys.code_of_tick_channel(channel) is not None:
            self._tell_tick(text, listeners)
        else:
            self._tell_event(channel, text, listeners)

    def _tell_tick(self, text: str, listeners: Set[Client]) -> None:
        tick = parse_tick(text)
        if tick is None:
            log.warning("tick_malformed")
            return
        message = messages.tick_message(tick)
        for client in listeners:
            client.feed.offer_tick(tick.code, tick.position, message)
        if not self._due:
            # Behind whatever else has come with this tick: the later the gateway is, the more conflates before it is written.
            asyncio.get_running_loop().call_soon(self._push)
        self._due |= listeners

    def _push(self) -> None:
        due, self._due = self._due, set()
        for client in due & self._clients:
            client.push()

    def _tell_event(self, channel: str, text: str, listeners: Set[Client]) -> None:
        user_id = keys.user_of_account_channel(channel)
        event = None if user_id is None else parse_event(user_id, text)
        if event is None:
            log.warning("account_event_malformed")
            return
        message = messages.event_message(event)
        for client in listeners:
            client.feed.offer_event(event.id, message)
            client.wake()

    def _sign_out(self, text: str) -> None:
        try:
            session_id = UUID(text)
        except ValueError:
            log.warning("revocation_malformed")
            return
        for client in self._of_session.get(session_id, ()):
            client.feed.finish(messages.SIGNED_OUT)
            client.wake()

    def _lose(self) -> None:
        for client in self._clients:
            client.feed.mark_disconnected()
        _wake(self._clients)

    def _resume(self) -> None:
        for client in self._clients:
            client.feed.mark_reconnected()
        _wake(self._clients)


def _wake(clients: Iterable[Client]) -> None:
    for client in clients:
        client.wake()
