"""Server-sent events from a thread of the API: one client, one thread, one pub/sub connection. For thousands there is the gateway.

What the client is told is decided in trading.market.push_feed; here it is driven, a second at most at a time, so that the thread soon knows when
its client is gone, when its worker is to end, and when Redis is.
"""

import select
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Self

import structlog
from redis import Redis, RedisError
from redis.client import PubSub

from trading.market import keys
from trading.market import push_messages as messages
from trading.market.push_feed import ClientFeed, event_of, queue_look, tick_of
from trading.market.quote_book import MarketUnavailable

log = structlog.get_logger(__name__)

BEAT_S = 1.0
# So many quiet beats before Redis is asked for a sign of life, and again so many before it counts as lost.
_QUIET_BEATS = 3
_SUBSCRIBED_S = 2.0
# What is handed to the server at once, and what its socket has room for whenever it takes anything.
_PIECE_BYTES = 16 * 1024
_SEND_BUFFER_BYTES = 64 * 1024
_MESSAGES_AT_ONCE_MAX = 1_000


class Peer:
    """The client's socket as far as the server tells of it; without one, what is written is taken to be read."""

    def __init__(self, connection: socket.socket | None, *, stall_s: float) -> None:
        self._connection = connection
        self._stall_s = stall_s
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def is_gone(self) -> bool:
        """Whether the client has closed the connection."""
        return bool(
            self._poll(select.POLLRDHUP, 0) & (select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        )

    def takes_more(self) -> bool:
        """Whether the socket has room for a piece within the span after which a client is cut; it is cut where not."""
        if self._connection is None or self._poll(select.POLLOUT, self._stall_s):
            return True
        self._connection.shutdown(socket.SHUT_RDWR)
        return False

    def _poll(self, events: int, timeout_s: float) -> int:
        if self._connection is None:
            return 0
        poll = select.poll()
        poll.register(self._connection, events)
        return sum(event for _, event in poll.poll(timeout_s * 1_000))


class PushStream:
    """The body of an answer. ``closed`` is called once, however it ends. Raises MarketUnavailable when there is nothing to begin with."""

    def __init__(
        self,
        feed: ClientFeed,
        redis: Redis,
        *,
        clock: Callable[[], datetime],
        peer: Peer,
        serving: Callable[[], bool],
        closed: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._redis = redis
        self._clock = clock
        self._peer = peer
        self._serving = serving
        self._closed: Callable[[], None] | None = closed
        self._pubsub: PubSub | None = None
        self._quiet = 0
        self._pieces: Iterator[bytes] = iter([messages.SSE_PREAMBLE])
        try:
            self._subscribe()
            self._look()
        except (RedisError, OSError) as fault:
            self.close()
            raise MarketUnavailable from fault

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        """The next piece to be written; waits until there is one. StopIteration at the end."""
        while (piece := next(self._pieces, None)) is None:
            if self._peer.is_gone():
                raise StopIteration
            if not self._serving():
                self._feed.finish(messages.closing(messages.RETRY_MS))
            self._feed.beat(self._clock())
            batch = self._feed.take(self._clock())
            if batch:
                self._pieces = _pieces(b"".join([message.sse for message in batch]))
            elif self._feed.ended:
                raise StopIteration
            else:
                self._follow()
        if not self._peer.takes_more():
            raise StopIteration
        return piece

    def close(self) -> None:
        """Free the thread's place and the connection to Redis. The server calls it at the end, and may call it again."""
        if self._closed is not None:
            self._closed()
            self._closed = None
        self._drop()

    def _follow(self) -> None:
        """Whatever is to be done with Redis now; a beat at most."""
        try:
            if self._pubsub is None:
                self._subscribe()
                self._feed.resume()
            elif self._feed.look() is not None:
                self._look()
            else:
                self._receive(self._pubsub)
        except (RedisError, OSError) as fault:
            if self._pubsub is not None:
                log.warning("redis_lost", reason=type(fault).__name__)
                self._drop()
                self._feed.lose()
            else:
                time.sleep(BEAT_S)

    def _subscribe(self) -> None:
        """Subscribe, and wait for every confirmation: only what is published after it is received for sure."""
        pubsub = self._redis.pubsub()
        try:
            channels = [keys.REVOCATIONS, *self._feed.channels]
            pubsub.subscribe(*channels)
            self._await_confirmations(pubsub, len(channels))
        except BaseException:
            pubsub.close()
            raise
        self._pubsub, self._quiet = pubsub, 0

    def _await_confirmations(self, pubsub: PubSub, missing: int) -> None:
        deadline = time.monotonic() + _SUBSCRIBED_S
        while missing:
            message = pubsub.get_message(timeout=max(0.0, deadline - time.monotonic()))
            if message is None:
                raise TimeoutError
            if message["type"] == "subscribe":
                missing -= 1
            else:
                self._take(message)

    def _look(self) -> None:
        look = self._feed.look()
        if look is None:
            return
        with self._redis.pipeline(transaction=False) as pipeline:
            queue_look(pipeline, self._feed.bearer, look)
            self._feed.learn(look, pipeline.execute())

    def _receive(self, pubsub: PubSub) -> None:
        """Wait for a message, and take with it whatever has come."""
        message = pubsub.get_message(timeout=BEAT_S)
        if message is None:
            self._quiet += 1
            if self._quiet == _QUIET_BEATS:
                pubsub.ping()
            if self._quiet > 2 * _QUIET_BEATS:
                raise TimeoutError
            return
        self._quiet = 0
        for _ in range(_MESSAGES_AT_ONCE_MAX):
            if message is None:
                return
            if message["type"] == "subscribe":
                # The library has connected anew by itself, and what was published meanwhile is lost.
                raise ConnectionError
            self._take(message)
            message = pubsub.get_message(timeout=0)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] != "message":
            return
        channel, text = message["channel"], message["data"]
        user_id = keys.user_of_account_channel(channel)
        if channel == keys.REVOCATIONS:
            if text == str(self._feed.bearer.session_id):
                self._feed.finish(messages.SIGNED_OUT)
        elif user_id is not None:
            if (event := event_of(user_id, text)) is not None:
                self._feed.offer_event(event.id, messages.event_message(event))
        elif (tick := tick_of(text)) is not None:
            self._feed.offer_tick(tick.code, tick.position, messages.tick_message(tick))

    def _drop(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            pubsub.close()


def _pieces(body: bytes) -> Iterator[bytes]:
    return (body[start : start + _PIECE_BYTES] for start in range(0, len(body), _PIECE_BYTES))
