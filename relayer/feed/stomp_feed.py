"""Toss's web feed: STOMP over a WebSocket with a guest token.

Liveness is checked with STOMP heart-beats, never with WebSocket pings.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin, Subprotocol

from relayer.feed.destinations import DestinationStyle, destination_formatter
from relayer.feed.guest_token import (
    USER_AGENT,
    WEB_ORIGIN,
    TokenUnavailable,
    fetch_guest_token,
)
from relayer.feed.interface import (
    FeedEvent,
    FeedUnavailable,
    SubscriptionConfirmed,
    SubscriptionRefused,
    SubscriptionUnconfirmed,
    TradeMessage,
)
from relayer.feed.stomp_connection import SILENCE_S, StompConnection
from relayer.stomp import (
    ClientSession,
    Confirmed,
    Connected,
    Disconnected,
    ErrorReceived,
    Failed,
    HeartBeat,
    Message,
    State,
    SubscriptionIds,
    Unconfirmed,
)
from relayer.stomp.limits import RECEIPT_TIMEOUT_S
from trading.config.settings import LOOPBACK_HOSTS

SUBPROTOCOL = Subprotocol("v12.stomp")
MESSAGE_OCTETS_MAX = 1024 * 1024
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.5
SUMMARY_CHARACTERS_MAX = 200

# The pace of Toss's own web page.
BATCH_DESTINATIONS = 20
BATCH_PAUSE_S = 0.4


class StompFeed:
    """The STOMP implementation of ``relayer.feed.interface.Feed``.

    Subscription ids stay valid across all connections of one object.
    """

    def __init__(
        self,
        *,
        api_url: str,
        websocket_url: str,
        heart_beat_ms: int,
        receipt_timeout_s: float = RECEIPT_TIMEOUT_S,
        destination_style: DestinationStyle = "slashes",
        silence_s: float = SILENCE_S,
    ) -> None:
        self._api_url = api_url
        self._websocket_url = websocket_url
        self._host = urlsplit(websocket_url).hostname or ""
        self._heart_beat = HeartBeat(send_ms=heart_beat_ms, want_ms=heart_beat_ms)
        self._receipt_timeout_s = receipt_timeout_s
        self._silence_s = silence_s
        self._format_destination = destination_formatter(destination_style)
        self._device_id = f"WTS-{uuid.uuid4().hex}"
        self._subscription_ids = SubscriptionIds()
        self._token = ""
        self._connection: StompConnection | None = None

    @property
    def subscribed(self) -> frozenset[str]:
        """Destinations requested on the current connection."""
        return frozenset() if self._connection is None else self._connection.session.subscribed

    async def connect(self) -> None:
        """Fetch a token, open a socket and a session.

        Raises FeedUnavailable if one of them fails.
        """
        try:
            self._token = await fetch_guest_token(self._api_url)
        except TokenUnavailable as fault:
            raise FeedUnavailable(str(fault)) from None
        socket = await self._open_socket()
        session = ClientSession(
            self._subscription_ids,
            heart_beat=self._heart_beat,
            receipt_timeout_s=self._receipt_timeout_s,
            format_destination=self._format_destination,
        )
        self._connection = StompConnection(socket, session, silence_s=self._silence_s)
        try:
            await self._open_session(self._connection)
        except BaseException:
            await self.close()
            raise

    async def _open_socket(self) -> ClientConnection:
        try:
            return await connect(
                self._websocket_url,
                subprotocols=[SUBPROTOCOL],
                origin=Origin(WEB_ORIGIN),
                user_agent_header=USER_AGENT,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=None,
                compression=None,
                max_size=MESSAGE_OCTETS_MAX,
                proxy=None if self._host in LOOPBACK_HOSTS else True,
            )
        except (OSError, TimeoutError, WebSocketException) as fault:
            raise FeedUnavailable(f"the socket can't be opened: {type(fault).__name__}") from None

    async def _open_session(self, connection: StompConnection) -> None:
        if connection.socket.subprotocol != SUBPROTOCOL:
            raise FeedUnavailable("the server does not support STOMP 1.2")
        headers = (
            ("authorization", self._token),
            ("device-id", self._device_id),
            ("connection-id", str(uuid.uuid4())),
            ("platform", "Web/wts"),
        )
        connection.session.connect(host=self._host, headers=headers, now=_now())
        await connection.flush()
        while True:
            for event in await connection.next_events():
                match event:
                    case Connected():
                        return
                    case ErrorReceived():
                        raise FeedUnavailable(f"CONNECT was refused: {self._summary(event)}")
                    case Failed(error):
                        raise FeedUnavailable(f"CONNECT failed: {error}")

    async def subscribe(self, destinations: Sequence[str]) -> None:
        """Subscribe in batches of 20, 0.4 s apart.

        Raises FeedUnavailable if the connection is lost.
        """
        for start in range(0, len(destinations), BATCH_DESTINATIONS):
            if start:
                await asyncio.sleep(BATCH_PAUSE_S)
            connection = self._connected()
            for destination in destinations[start : start + BATCH_DESTINATIONS]:
                connection.session.subscribe(destination, now=_now())
            await connection.flush()

    async def unsubscribe(self, destinations: Sequence[str]) -> None:
        """Unsubscribe. Raises FeedUnavailable if the connection is lost."""
        connection = self._connected()
        for destination in destinations:
            connection.session.unsubscribe(destination, now=_now())
        await connection.flush()

    async def events(self) -> AsyncIterator[FeedEvent]:
        """Yield the server's events until the connection is lost, then raise FeedUnavailable."""
        connection = self._connected()
        while True:
            for event in await connection.next_events():
                match event:
                    case Message():
                        yield TradeMessage(destination=event.destination, body=event.body)
                    case Confirmed():
                        yield SubscriptionConfirmed(destination=event.destination)
                    case Unconfirmed():
                        yield SubscriptionUnconfirmed(destination=event.destination)
                    case ErrorReceived():
                        if event.destination is not None:
                            yield SubscriptionRefused(
                                destination=event.destination, reason=self._summary(event)
                            )
                        raise FeedUnavailable(f"the server sent ERROR: {self._summary(event)}")
                    case Failed(error):
                        raise FeedUnavailable(str(error))

    async def close(self) -> None:
        """Unsubscribe, send DISCONNECT, wait a second for its receipt, close the socket."""
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if connection.session.state is State.CONNECTED:
                    await _disconnect(connection)
                await connection.close()
        except (FeedUnavailable, TimeoutError):
            connection.abort()

    def abort(self) -> None:
        """Drop the connection at once, without a DISCONNECT."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def _summary(self, error: ErrorReceived) -> str:
        """Return the start of the server's error text with the token masked.

        Servers often repeat what they refuse, and the token must not reach the log.
        """
        return error.summary.replace(self._token, "(token)")[:SUMMARY_CHARACTERS_MAX]

    def _connected(self) -> StompConnection:
        if self._connection is None or self._connection.session.state is not State.CONNECTED:
            raise FeedUnavailable("the connection is lost")
        return self._connection


async def _disconnect(connection: StompConnection) -> None:
    for destination in sorted(connection.session.subscribed):
        connection.session.unsubscribe(destination, now=_now())
    connection.session.disconnect(now=_now())
    await connection.flush()
    with suppress(FeedUnavailable):
        while not any(isinstance(event, Disconnected) for event in await connection.next_events()):
            pass


def _now() -> float:
    """Return the event loop's monotonic clock in seconds, as its timeouts use it."""
    return asyncio.get_running_loop().time()
