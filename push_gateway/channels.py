"""One Redis pub/sub connection, shared by all clients.

A channel is subscribed with its first listener and unsubscribed with its last. Redis's confirmation
shows when a channel is active, so that a listener can wait for that before it reads older data. An
idle connection is probed with PING, and replaced when it is lost.
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
IDLE_S = 3.0
RETRY_S = 0.3
_COMMAND_CHANNELS_MAX = 500


class _ConnectionLost(Exception):
    """The connection is unusable, though the library may not report it."""


@dataclass(slots=True, eq=False)
class _Channel(Generic[Listener]):
    """``requested`` is the last command sent, ``pending`` the number of unconfirmed commands."""

    listeners: set[Listener] = field(default_factory=set)
    is_permanent: bool = False
    requested: bool = False
    pending: int = 0

    @property
    def wanted(self) -> bool:
        return self.is_permanent or bool(self.listeners)

    @property
    def is_active(self) -> bool:
        return self.requested and not self.pending


class SharedChannels(Generic[Listener]):
    """Passes each message to ``receive`` with the channel's listeners.

    ``confirmed`` is called with a channel's listeners when the channel becomes active, ``lost``
    when the connection is lost, and ``found`` when it is back with every channel subscribed. None
    of the four may wait or raise. ``permanent`` channels are subscribed even without listeners.
    """

    def __init__(
        self,
        redis: "Redis",
        permanent: Iterable[str],
        on_message: Callable[[str, str, Set[Listener]], None],
        *,
        on_confirmed: Callable[[Set[Listener]], None],
        on_lost: Callable[[], None],
        on_restored: Callable[[], None],
    ) -> None:
        self.live = False
        self._redis = redis
        self._on_message = on_message
        self._on_confirmed = on_confirmed
        self._on_lost = on_lost
        self._on_restored = on_restored
        self._channels: dict[str, _Channel[Listener]] = {
            name: _Channel(is_permanent=True) for name in permanent
        }
        self._changed: set[str] = set()
        self._wake = asyncio.Event()

    def add_listener(self, names: Iterable[str], listener: Listener) -> None:
        for name in names:
            channel = self._channels.setdefault(name, _Channel())
            channel.listeners.add(listener)
            self._change(name, channel)

    def remove_listener(self, names: Iterable[str], listener: Listener) -> None:
        for name in names:
            channel = self._channels.get(name)
            if channel is not None:
                channel.listeners.discard(listener)
                self._change(name, channel)

    def are_active(self, names: Iterable[str]) -> bool:
        """Return True if everything published on these channels is received.

        The channels must have listeners.
        """
        return self.live and all(self._channels[name].is_active for name in names)

    async def run(self) -> None:
        """Receive until cancelled."""
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    async with asyncio.timeout(REDIS_TIMEOUT_S):
                        await self._subscribe_all(pubsub)
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._send_loop(pubsub))
                        group.create_task(self._read_loop(pubsub))
            except* (RedisError, OSError, _ConnectionLost) as faults:
                self._set_lost(type(faults.exceptions[0]).__name__)
            await asyncio.sleep(RETRY_S)

    def _change(self, name: str, channel: _Channel[Listener]) -> None:
        if channel.wanted is not channel.requested:
            self._changed.add(name)
            self._wake.set()
        elif not (channel.wanted or channel.pending):
            del self._channels[name]

    async def _subscribe_all(self, pubsub: PubSub) -> None:
        """Subscribe to all channels on a new connection.

        The reply to PING follows all confirmations.
        """
        self._channels = {
            name: channel for name, channel in self._channels.items() if channel.wanted
        }
        for channel in self._channels.values():
            channel.requested, channel.pending = False, 0
        self._changed = set(self._channels)
        await self._send_changes(pubsub)
        await pubsub.ping()

    async def _send_loop(self, pubsub: PubSub) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._send_changes(pubsub)

    async def _send_changes(self, pubsub: PubSub) -> None:
        due, self._changed = self._changed, set()
        changes: dict[bool, list[str]] = {True: [], False: []}
        for name in due:
            channel = self._channels.get(name)
            if channel is not None and channel.wanted is not channel.requested:
                channel.requested = channel.wanted
                channel.pending += 1
                changes[channel.requested].append(name)
        for requested, names in changes.items():
            for start in range(0, len(names), _COMMAND_CHANNELS_MAX):
                part = names[start : start + _COMMAND_CHANNELS_MAX]
                await (pubsub.subscribe(*part) if requested else pubsub.unsubscribe(*part))

    async def _read_loop(self, pubsub: PubSub) -> None:
        ping_sent = False
        while True:
            message = await pubsub.get_message(timeout=IDLE_S)
            if message is not None:
                ping_sent = False
                self._handle(message)
            elif ping_sent:
                raise _ConnectionLost
            else:
                ping_sent = True
                await pubsub.ping()

    def _handle(self, message: dict[str, Any]) -> None:
        kind, name = message["type"], message["channel"]
        if kind == "message":
            channel = self._channels.get(name)
            if channel is not None:
                self._on_message(name, message["data"], channel.listeners)
        elif kind in {"subscribe", "unsubscribe"}:
            self._confirm(name)
        elif kind == "pong" and not self.live:
            self.live = True
            log.info("redis_connected", channels=len(self._channels))
            self._on_restored()

    def _confirm(self, name: str) -> None:
        channel = self._channels.get(name)
        if channel is None or channel.pending == 0:
            # The library has reconnected by itself, so messages were lost: start over.
            raise _ConnectionLost
        channel.pending -= 1
        if channel.pending:
            return
        if channel.requested:
            self._on_confirmed(channel.listeners)
        elif not channel.wanted:
            del self._channels[name]

    def _set_lost(self, reason: str) -> None:
        if self.live:
            self.live = False
            log.warning("redis_connection_lost", reason=reason)
            self._on_lost()
