"""One client: its push session, and the loop that writes it as fast as the socket accepts."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from socket import SO_SNDBUF, SOL_SOCKET

from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from push_gateway.channels import REDIS_TIMEOUT_S, SharedChannels
from trading.account_events.push_messages import PushMessage
from trading.account_events.push_session import PushSession, queue_catch_up

# Kernel buffer for a client that does not read. Kept small: ticks conflate only in this process.
SEND_BUFFER_BYTES = 64 * 1024
# Far more than one batch of messages: ``_drained`` watches for stalled clients, since the library
# would wait without a limit.
_WRITE_BUFFER_BYTES = 16 * 1024 * 1024
_DRAIN_POLL_S = 0.05
_RETRY_S = 0.3


class Stalled(Exception):
    """The client's socket accepted no data for too long."""


@dataclass(slots=True)
class DeliveryCounters:
    """Counters of all clients: messages passed to sockets, and clients disconnected as too slow."""

    messages: int = 0
    disconnected: int = 0


@dataclass(frozen=True, slots=True)
class ClientDependencies:
    """Dependencies shared by all clients.

    Clients that accept no data for ``stall_s`` seconds are disconnected. ``catch_up_slots`` bounds
    how many read from Redis at once.
    """

    redis: "Redis"
    channels: "SharedChannels[Client]"
    stall_s: float
    clock: Callable[[], datetime]
    catch_up_slots: asyncio.Semaphore
    counters: DeliveryCounters = field(default_factory=DeliveryCounters)


class Client(ABC):
    """Writes a push session's messages until it ends. Subclasses encode them for the wire."""

    def __init__(
        self, session: PushSession, dependencies: ClientDependencies, transport: asyncio.Transport
    ) -> None:
        self.session = session
        self._dependencies = dependencies
        self._transport = transport
        self._wake = asyncio.Event()
        self._idle = False
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        socket = transport.get_extra_info("socket")
        if socket is not None:
            socket.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES)

    def wake(self) -> None:
        """Signal that there may be something to do."""
        self._wake.set()

    async def first_catch_up(self) -> None:
        """Read the initial state before the client is answered. Raises RedisError if that fails."""
        while not (self._can_catch_up() or self.session.ended):
            self._wake.clear()
            await self._wake.wait()
        await self._catch_up()

    async def run(self) -> None:
        """Write until the session ends. Raises Stalled, and OSError when the client is gone."""
        while True:
            self._wake.clear()
            await self._drain()
            if self._can_catch_up():
                await self._catch_up_or_pause()
            batch = self.session.take(self._dependencies.clock())
            if batch:
                self._write(batch)
            elif self.session.ended:
                self._dependencies.counters.disconnected += self.session.end is None
                return
            elif not self._can_catch_up():
                await self._wait_idle()

    def push(self) -> None:
        """Write at once if ``run`` is idle and the socket has space.

        Waking a task for each tick would take longer than writing it.
        """
        if (
            self._idle
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        ):
            batch = self.session.take(self._dependencies.clock())
            if batch:
                self._write(batch)
        self._wake_if_needed()

    @abstractmethod
    def _encode(self, batch: Sequence[PushMessage]) -> bytes:
        """Return the messages encoded for the wire."""

    def _write(self, batch: Sequence[PushMessage]) -> None:
        """Pass the messages to the transport: the library's writers add several coroutines."""
        if self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(self._encode(batch))
        self._dependencies.counters.messages += len(batch)

    def _wake_if_needed(self) -> None:
        if (
            self._transport.is_closing()
            or self._transport.get_write_buffer_size()
            or not self._idle
        ):
            self._wake.set()

    async def _wait_idle(self) -> None:
        self._idle = True
        try:
            await self._wake.wait()
        finally:
            self._idle = False

    def _can_catch_up(self) -> bool:
        """Return True if there is something to read and everything published later is received."""
        return self.session.next_catch_up() is not None and self._dependencies.channels.are_active(
            self.session.channels
        )

    async def _catch_up(self) -> None:
        request = self.session.next_catch_up()
        if request is None:
            return
        async with (
            self._dependencies.catch_up_slots,
            asyncio.timeout(REDIS_TIMEOUT_S),
            self._dependencies.redis.pipeline(transaction=False) as pipeline,
        ):
            queue_catch_up(pipeline, self.session.bearer, request)
            answers = await pipeline.execute()
        self.session.apply_catch_up(request, answers)

    async def _catch_up_or_pause(self) -> None:
        try:
            await self._catch_up()
        except (RedisError, OSError):
            await asyncio.sleep(_RETRY_S)

    async def _drain(self) -> None:
        """Wait until the socket accepted everything.

        Raises Stalled if it makes no progress within ``stall_s``.
        """
        waiting = self._transport.get_write_buffer_size()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._dependencies.stall_s
        while waiting:
            await asyncio.sleep(_DRAIN_POLL_S)
            left = self._transport.get_write_buffer_size()
            if left < waiting:
                deadline = clock() + self._dependencies.stall_s
            elif clock() > deadline or (self.session.ended and self.session.end is None):
                self._transport.abort()
                self._dependencies.counters.disconnected += 1
                raise Stalled
            waiting = left


class EventStreamClient(Client):
    """Client of server-sent events whose response has started."""

    def __init__(
        self,
        session: PushSession,
        dependencies: ClientDependencies,
        transport: asyncio.Transport,
        response: web.StreamResponse,
    ) -> None:
        super().__init__(session, dependencies, transport)
        self._response = response

    def _encode(self, batch: Sequence[PushMessage]) -> bytes:
        body = b"".join([message.sse for message in batch])
        # Chunked encoding (RFC 9112, 7.1). A response to HTTP/1.0 has no chunks.
        return (
            b"%x\r\n%b\r\n" % (len(body), body)
            if self._response.headers.get("Transfer-Encoding")
            else body
        )


class WebSocketClient(Client):
    """Client of a WebSocket without extensions."""

    def _encode(self, batch: Sequence[PushMessage]) -> bytes:
        return b"".join([_text_frame(message.text) for message in batch])


def _text_frame(text: bytes) -> bytes:
    """Return a complete text message of a server (RFC 6455, 5.2)."""
    size = len(text)
    if size < 126:
        return b"\x81%c%b" % (size, text)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), text)
