"""Toss's web feed: STOMP over a WebSocket, with a guest token. Its liveness is STOMP's heart-beats, never WebSocket pings."""

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
from relayer.feed.stomp_connection import SILENCE_S, StompLink
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
    """The feed as ``relayer.feed.interface.Feed``. Subscription ids keep their meaning over all connections of one object."""

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
        self._spell = destination_formatter(destination_style)
        self._device = f"WTS-{uuid.uuid4().hex}"
        self._ids = SubscriptionIds()
        self._token = ""
        self._link: StompLink | None = None

    @property
    def subscribed(self) -> frozenset[str]:
        """Destinations asked for on the present connection."""
        return frozenset() if self._link is None else self._link.session.subscribed

    async def connect(self) -> None:
        """A new token, a new socket, a new session. FeedUnavailable when one of them can't be had."""
        try:
            self._token = await fetch_guest_token(self._api_url)
        except TokenUnavailable as fault:
            raise FeedUnavailable(str(fault)) from None
        socket = await self._open_socket()
        session = ClientSession(
            self._ids,
            heart_beat=self._heart_beat,
            receipt_timeout_s=self._receipt_timeout_s,
            spell=self._spell,
        )
        self._link = StompLink(socket, session, silence_s=self._silence_s)
        try:
            await self._open_session(self._link)
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

    async def _open_session(self, link: StompLink) -> None:
        if link.socket.subprotocol != SUBPROTOCOL:
            raise FeedUnavailable("the server does not speak STOMP 1.2")
        headers = (
            ("authorization", self._token),
            ("device-id", self._device),
            ("connection-id", str(uuid.uuid4())),
            ("platform", "Web/wts"),
        )
        link.session.connect(host=self._host, headers=headers, now=_now())
        await link.flush()
        while True:
            for event in await link.next_events():
                match event:
                    case Connected():
                        return
                    case ErrorReceived():
                        raise FeedUnavailable(f"CONNECT was refused: {self._summary(event)}")
                    case Failed(error):
                        raise FeedUnavailable(f"CONNECT failed: {error}")

    async def subscribe(self, destinations: Sequence[str]) -> None:
        """Ask for destinations in batches of 20, 0.4 s apart. FeedUnavailable when the connection is lost meanwhile."""
        for start in range(0, len(destinations), BATCH_DESTINATIONS):
            if start:
                await asyncio.sleep(BATCH_PAUSE_S)
            link = self._standing_link()
            for destination in destinations[start : start + BATCH_DESTINATIONS]:
                link.session.subscribe(destination, now=_now())
            await link.flush()

    async def unsubscribe(self, destinations: Sequence[str]) -> None:
        """Withdraw destinations. FeedUnavailable when the connection is lost meanwhile."""
        link = self._standing_link()
        for destination in destinations:
            link.session.unsubscribe(destination, now=_now())
        await link.flush()

    async def events(self) -> AsyncIterator[FeedEvent]:
        """What the server sends, until the connection is lost and FeedUnavailable is raised."""
        link = self._standing_link()
        while True:
            for event in await link.next_events():
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
        """Unsubscribe, disconnect, wait a second for the receipt, close the socket."""
        if self._link is None:
            return
        link, self._link = self._link, None
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if link.session.state is State.CONNECTED:
                    await _say_farewell(link)
                await link.close()
        except (FeedUnavailable, TimeoutError):
            link.abort()

    def abort(self) -> None:
        """Drop the connection at once and without a word."""
        if self._link is not None:
            self._link.abort()
            self._link = None

    def _summary(self, error: ErrorReceived) -> str:
        """The beginning of the server's own words. Servers like to repeat what they refuse; not even a part of the token may reach the log."""
        return error.summary.replace(self._token, "(token)")[:SUMMARY_CHARACTERS_MAX]

    def _standing_link(self) -> StompLink:
        if self._link is None or self._link.session.state is not State.CONNECTED:
            raise FeedUnavailable("the connection is lost")
        return self._link


async def _say_farewell(link: StompLink) -> None:
    for destination in sorted(link.session.subscribed):
        link.session.unsubscribe(destination, now=_now())
    link.session.disconnect(now=_now())
    await link.flush()
    with suppress(FeedUnavailable):
        while not any(isinstance(event, Disconnected) for event in await link.next_events()):
            pass


def _now() -> float:
    """The event loop's clock in seconds: steady, and the one that its timeouts count by."""
    return asyncio.get_running_loop().time()
