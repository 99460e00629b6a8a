"""One pub/sub connection to Redis, shared by all clients.

A channel is subscribed with its first listener and left with its last. Whether it serves is known from Redis's own confirmation, so that a listener
can wait for that before it reads what was there before. The connection is asked for a sign of life when it is quiet, and made anew when it is lost.
"""

import asyncio
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

Listener = TypeVar("Listener")

REDIS_TIMEOUT_S = 5.0
QUIET_S = 3.0
RETRY_S = 0.3
_COMMAND_CHANNELS_MAX = 500


class _ConnectionLost(Exception):
    """The connection is of no use any more, though the library may not say so."""


@dataclass(slots=True, eq=False)
class _Channel(Generic[Listener]):
    """``asked`` says what the last command for it was, ``unanswered`` how many commands Redis has not confirmed yet."""

    listeners: set[Listener] = field(default_factory=set)
    is_permanent: bool = False
    asked: bool = False
    unanswered: int = 0

    @property
    def wanted(self) -> bool:
        return self.is_permanent or bool(self.listeners)

    @property
    def serves(self) -> bool:
        return self.asked and not self.unanswered


class SharedChannels(Generic[Listener]):
    """Hands each message to ``receive`` with the channel's listeners, who are given to ``confirmed`` when it begins to serve. ``lost`` and ``found``
    are called when the connection goes, and when it is there with every channel subscribed. None of the four may wait or raise. ``permanent``
    channels are subscribed with listeners and without.
    """

    def __init__(
        self,
        redis: "Redis",
        permanent: Iterable[str],
        receive: Callable[[str, str, Set[Listener]], None],
        *,
        confirmed: Callable[[Set[Listener]], None],
        lost: Callable[[], None],
        found: Callable[[], None],
    ) -> None:
        self.live = False
        self._redis = redis
        self._receive = receive
        self._confirmed = confirmed
        self._lost = lost
        self._found = found
        self._channels: dict[str, _Channel[Listener]] = {
            name: _Channel(is_permanent=True) for name in permanent
        }
        self._due: set[str] = set()
        self._wake = asyncio.Event()

    def listen(self, names: Iterable[str], listener: Listener) -> None:
        for name in names:
            channel = self._channels.setdefault(name, _Channel())
            channel.listeners.add(listener)
            self._change(name, channel)

    def leave(self, names: Iterable[str], listener: Listener) -> None:
        for name in names:
            channel = self._channels.get(name)
            if channel is not None:
                channel.listeners.discard(listener)
                self._change(name, channel)

    def serve(self, names: Iterable[str]) -> bool:
        """Whether whatever is published on these channels, which are listened to, is received."""
        return self.live and all(self._channels[name].serves for name in names)

    async def run(self) -> None:
        """Receive for ever."""
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    async with asyncio.timeout(REDIS_TIMEOUT_S):
                        await self._begin(pubsub)
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._send(pubsub))
                        group.create_task(self._read(pubsub))
            except* (RedisError, OSError, _ConnectionLost) as faults:
                self._note_lost(type(faults.exceptions[0]).__name__)
            await asyncio.sleep(RETRY_S)

    def _change(self, name: str, channel: _Channel[Listener]) -> None:
        if channel.wanted is not channel.asked:
            self._due.add(name)
            self._wake.set()
        elif not (channel.wanted or channel.unanswered):
            del self._channels[name]

    async def _begin(self, pubsub: PubSub) -> None:
        """Subscribe to everything on a new connection. The answer to the ping comes behind all confirmations."""
        self._channels = {
            name: channel for name, channel in self._channels.items() if channel.wanted
        }
        for channel in self._channels.values():
            channel.asked, channel.unanswered = False, 0
        self._due = set(self._channels)
        await self._send_changes(pubsub)
        await pubsub.ping()

    async def _send(self, pubsub: PubSub) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._send_changes(pubsub)

    async def _send_changes(self, pubsub: PubSub) -> None:
        due, self._due = self._due, set()
        changes: dict[bool, list[str]] = {True: [], False: []}
        for name in due:
            channel = self._channels.get(name)
            if channel is not None and channel.wanted is not channel.asked:
                channel.asked = channel.wanted
                channel.unanswered += 1
                changes[channel.asked].append(name)
        for asked, names in changes.items():
            for start in range(0, len(names), _COMMAND_CHANNELS_MAX):
                part = names[start : start + _COMMAND_CHANNELS_MAX]
                await (pubsub.subscribe(*part) if asked else pubsub.unsubscribe(*part))

    async def _read(self, pubsub: PubSub) -> None:
        asked = False
        while True:
            message = await pubsub.get_message(timeout=QUIET_S)
            if message is not None:
                asked = False
                self._take(message)
            elif asked:
                raise _ConnectionLost
            else:
                asked = True
                await pubsub.ping()

    def _take(self, message: dict[str, Any]) -> None:
        kind, name = message["type"], message["channel"]
        if kind == "message":
            channel = self._channels.get(name)
            if channel is not None:
                self._receive(name, message["data"], channel.listeners)
        elif kind in {"subscribe", "unsubscribe"}:
            self._note_confirmed(name)
        elif kind == "pong" and not self.live:
            self.live = True
            log.info("redis_connected", channels=len(self._channels))
            self._found()

    def _note_confirmed(self, name: str) -> None:
        channel = self._channels.get(name)
        if channel is None or channel.unanswered == 0:
            # The library has connected anew by itself. What was published meanwhile is lost, and that must not go unnoticed.
            raise _ConnectionLost
        channel.unanswered -= 1
        if channel.unanswered:
            return
        if channel.asked:
            self._confirmed(channel.listeners)
        elif not channel.wanted:
            del self._channels[name]

    def _note_lost(self, reason: str) -> None:
        if self.live:
            self.live = False
            log.warning("redis_connection_lost", reason=reason)
            self._lost()
