"""One client: its feed, and the loop that writes what the feed has for it as fast as its socket takes it."""

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

# What the kernel may hold for a client that does not read: ticks conflate only where they wait with us.
SEND_BUFFER_BYTES = 64 * 1024
# Far more than one batch of messages: whether a client takes them is watched here, and not by the library, which would wait without an end.
_WRITE_BUFFER_BYTES = 16 * 1024 * 1024
_DRAIN_LOOK_S = 0.05
_RETRY_S = 0.3


class Stalled(Exception):
    """The client's socket took nothing for too long."""


@dataclass(slots=True)
class DeliveryCounters:
    """What all clients together have been through: messages handed to their sockets, and cuts of those that took too little for too long."""

    messages: int = 0
    cuts: int = 0


@dataclass(frozen=True, slots=True)
class ClientDependencies:
    """What every client is served with. A client whose socket takes nothing for ``stall_s`` is cut; ``looks`` bounds how many read at once."""

    redis: "Redis"
    channels: "SharedChannels[Client]"
    stall_s: float
    clock: Callable[[], datetime]
    looks: asyncio.Semaphore
    tally: DeliveryCounters = field(default_factory=DeliveryCounters)


class Client(ABC):
    """``run`` writes until the feed has ended. ``_framed`` says in which form."""

    def __init__(
        self, feed: PushSession, means: ClientDependencies, transport: asyncio.Transport
    ) -> None:
        self.feed = feed
        self._means = means
        self._transport = transport
        self._wake = asyncio.Event()
        self._rests = False
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        socket = transport.get_extra_info("socket")
        if socket is not None:
            socket.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES)

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    async def first_look(self) -> None:
        """Read what must be known before the client is answered at all. RedisError when that can't be had."""
        while not (self._may_look() or self.feed.ended):
            self._wake.clear()
            await self._wake.wait()
        await self._look()

    async def run(self) -> None:
        """Write until the feed has ended. Raises Stalled, and OSError when the client is gone."""
        while True:
            self._wake.clear()
            await self._drained()
            if self._may_look():
                await self._look_or_pause()
            batch = self.feed.take(self._means.clock())
            if batch:
                self._write(batch)
            elif self.feed.ended:
                self._means.tally.cuts += self.feed.end is None
                return
            elif not self._may_look():
                await self._rest()

    def push(self) -> None:
        """Write what there is at once, where ``run`` rests and the socket has room: waking a task for each tick would take longer than writing it."""
        if (
            self._rests
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        ):
            batch = self.feed.take(self._means.clock())
            if batch:
                self._write(batch)
        self._wake_if_needed()

    @abstractmethod
    def _framed(self, batch: Sequence[PushMessage]) -> bytes:
        """The messages as they stand on the wire."""

    def _write(self, batch: Sequence[PushMessage]) -> None:
        """Hand the messages to the transport; the library's own writers would do the same by way of several coroutines."""
        if self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(self._framed(batch))
        self._means.tally.messages += len(batch)

    def _wake_if_needed(self) -> None:
        if (
            self._transport.is_closing()
            or self._transport.get_write_buffer_size()
            or not self._rests
        ):
            self._wake.set()

    async def _rest(self) -> None:
        self._rests = True
        try:
            await self._wake.wait()
        finally:
            self._rests = False

    def _may_look(self) -> bool:
        """Whether there is something to read, and whatever comes after what will be read is received."""
        return self.feed.next_catch_up() is not None and self._means.channels.serve(
            self.feed.channels
        )

    async def _look(self) -> None:
        look = self.feed.next_catch_up()
        if look is None:
            return
        async with (
            self._means.looks,
            asyncio.timeout(REDIS_TIMEOUT_S),
            self._means.redis.pipeline(transaction=False) as pipeline,
        ):
            queue_catch_up(pipeline, self.feed.bearer, look)
            answers = await pipeline.execute()
        self.feed.apply_catch_up(look, answers)

    async def _look_or_pause(self) -> None:
        try:
            await self._look()
        except (RedisError, OSError):
            await asyncio.sleep(_RETRY_S)

    async def _drained(self) -> None:
        """Wait until the socket took everything, as long as it takes something within each span, and no more waits behind it than may."""
        waiting = self._transport.get_write_buffer_size()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._means.stall_s
        while waiting:
            await asyncio.sleep(_DRAIN_LOOK_S)
            left = self._transport.get_write_buffer_size()
            if left < waiting:
                deadline = clock() + self._means.stall_s
            elif clock() > deadline or (self.feed.ended and self.feed.end is None):
                self._transport.abort()
                self._means.tally.cuts += 1
                raise Stalled
            waiting = left


class EventStreamClient(Client):
    """A client of server-sent events, whose answer has begun."""

    def __init__(
        self,
        feed: PushSession,
        means: ClientDependencies,
        transport: asyncio.Transport,
        response: web.StreamResponse,
    ) -> None:
        super().__init__(feed, means, transport)
        self._response = response

    def _framed(self, batch: Sequence[PushMessage]) -> bytes:
        body = b"".join([message.sse for message in batch])
        # RFC 9112, 7.1. An answer to HTTP/1.0 has no chunks.
        return (
            b"%x\r\n%b\r\n" % (len(body), body)
            if self._response.headers.get("Transfer-Encoding")
            else body
        )


class WebSocketClient(Client):
    """A client of a WebSocket without extensions."""

    def _framed(self, batch: Sequence[PushMessage]) -> bytes:
        return b"".join([_text_frame(message.text) for message in batch])


def _text_frame(text: bytes) -> bytes:
    """A whole text message from a server (RFC 6455, 5.2)."""
    size = len(text)
    if size < 126:
        return b"\x81%c%b" % (size, text)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), text)
