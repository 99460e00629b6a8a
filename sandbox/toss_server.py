"""A stand-in for Toss on one port: the guest token over HTTP, and the market's feed as STOMP over a WebSocket.

It behaves as the real one is known to: no ``destination`` in a MESSAGE, beats of exactly one line feed, no snapshot on subscribing.
Where the real one's behaviour is unknown it follows the STOMP specification.
"""

import asyncio
import json
import secrets
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from relayer.stomp import (
    ConnectRequested,
    DisconnectRequested,
    Failed,
    HeartBeat,
    ServerSession,
    State,
    SubscribeRequested,
    UnsubscribeRequested,
)
from relayer.stomp.server_session import Event
from sandbox.trade import Trade
from trading.market.topics import trade_topic

TOKEN_PATH = "/api/v1/refresh-utk"  # noqa: S105 - a path, no secret
HEALTH_PATH = "/healthz"
FEED_PATH = "/ws"
SUBPROTOCOL = Subprotocol("v12.stomp")
HEART_BEAT_MS = 5_000
MESSAGE_OCTETS_MAX = 1024 * 1024
TOKENS_MAX = 1_000
# Messages that may wait for one slow client before it is cut off.
BACKLOG_MAX = 10_000
WAIT_S = 0.25


@dataclass(slots=True, kw_only=True)
class Faults:
    """What the stand-in does wrong on purpose, changeable at any time."""

    silent: bool = False
    refuse_connect: bool = False
    refused_destinations: set[str] = field(default_factory=set)


class TossServer:
    """Tokens, clients and who listens to what."""

    def __init__(self, *, heart_beat_ms: int = HEART_BEAT_MS) -> None:
        self.faults = Faults()
        self.connections_total = 0
        self.tokens_total = 0
        self.heart_beat = HeartBeat(send_ms=heart_beat_ms, want_ms=heart_beat_ms)
        self._tokens: deque[str] = deque(maxlen=TOKENS_MAX)
        self._clients: set[_Client] = set()
        self._listeners: dict[str, dict[_Client, str]] = defaultdict(dict)
        self._first_listener: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @asynccontextmanager
    async def listen(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve until the context ends; gives the port, which the system chooses for 0. OSError when it is taken."""
        async with serve(
            self._serve_client,
            host,
            port,
            process_request=self._answer,
            select_subprotocol=_select_subprotocol,
            ping_interval=None,
            compression=None,
            max_size=MESSAGE_OCTETS_MAX,
            close_timeout=1,
        ) as server:
            yield _port(server)

    def publish(self, trade: Trade) -> None:
        """Give a trade to everyone who listens to its stock."""
        listeners = self._listeners.get(trade_topic(trade.code))
        if listeners:
            body = trade.body()
            for client, subscription in list(listeners.items()):
                client.offer(subscription, body)

    def publish_body(self, destination: str, body: bytes) -> None:
        """Give any octets to everyone who listens to a destination."""
        for client, subscription in list(self._listeners.get(destination, {}).items()):
            client.offer(subscription, body)

    async def wait_for_listener(self, destination: str) -> None:
        """Wait until someone has subscribed to the destination for the first time."""
        await self._first_listener[destination].wait()

    def destinations(self) -> set[str]:
        """Every destination that someone listens to now."""
        return {destination for destination, listeners in self._listeners.items() if listeners}

    def expire_tokens(self) -> None:
        """Forget every token: the next CONNECT with one of them is refused."""
        self._tokens.clear()

    def drop_connections(self) -> None:
        """Cut every client's connection without a word, as a network does."""
        for client in list(self._clients):
            client.abort()

    def knows_token(self, token: str | None) -> bool:
        """Whether the token came from here and has not expired."""
        return token is not None and not self.faults.refuse_connect and token in self._tokens

    def add_listener(self, client: "_Client", destination: str, subscription: str) -> None:
        self._listeners[destination][client] = subscription
        self._first_listener[destination].set()

    def remove_listener(self, client: "_Client", destination: str) -> None:
        self._listeners[destination].pop(client, None)

    async def _serve_client(self, socket: ServerConnection) -> None:
        client = _Client(self, socket)
        self._clients.add(client)
        self.connections_total += 1
        try:
            await client.run()
        finally:
            self._clients.discard(client)
            for listeners in self._listeners.values():
                listeners.pop(client, None)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == FEED_PATH:
            return None
        if path == HEALTH_PATH:
            return _json(connection, HTTPStatus.OK, {"status": "ok", "clients": len(self._clients)})
        if path == TOKEN_PATH:
            return self._issue_token(connection)
        return _json(connection, HTTPStatus.NOT_FOUND, {"error": {"code": "not-found"}})

    def _issue_token(self, connection: ServerConnection) -> Response:
        token = secrets.token_urlsafe(24)
        self._tokens.append(token)
        self.tokens_total += 1
        response = _json(connection, HTTPStatus.OK, {"result": token})
        response.headers["Set-Cookie"] = f"UTK={token}; Path=/; HttpOnly; SameSite=Lax"
        return response


class _Client:
    """One connection: a STOMP session, fed from the socket and by the market."""

    def __init__(self, server: TossServer, socket: ServerConnection) -> None:
        self._server = server
        self._socket = socket
        self._session = ServerSession(heart_beat=server.heart_beat, now=_now())
        self._backlog = 0
        self._offered = asyncio.Event()
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Serve until the client leaves, errs or falls silent."""
        sender = asyncio.create_task(self._send_offered())
        try:
            while not self._session.closed:
                await self._receive_some()
                for event in self._session.events():
                    # What came before a client's fault in the same message died with the session.
                    if not self._session.closed:
                        self._handle(event)
                await self._flush()
        except ConnectionClosed:
            pass
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        await self._socket.close()

    def offer(self, subscription: str, body: bytes) -> None:
        """Queue a message. A client that takes nothing for 10,000 messages is cut off."""
        if self._server.faults.silent or self._session.state is not State.CONNECTED:
            return
        self._backlog += 1
        if self._backlog > BACKLOG_MAX:
            self.abort()
            return
        self._session.message(subscription, body, now=_now())
        self._offered.set()

    def abort(self) -> None:
        self._socket.transport.abort()

    async def _receive_some(self) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                data = await self._socket.recv(decode=False)
        except TimeoutError:
            self._session.tick(_now())
        else:
            self._session.receive(data, _now())
            self._session.tick(_now())

    def _handle(self, event: Event | Failed) -> None:
        now = _now()
        match event:
            case ConnectRequested():
                if self._server.knows_token(event.authorization):
                    self._session.accept(now=now)
                else:
                    self._session.refuse("authorization is missing or unknown", now=now)
            case SubscribeRequested():
                self._subscribe(event, now)
            case UnsubscribeRequested():
                self._server.remove_listener(self, event.destination)
                self._session.acknowledge(event.receipt, now=now)
            case DisconnectRequested():
                self._session.take_leave(event.receipt, now=now)
            case Failed():
                pass

    def _subscribe(self, event: SubscribeRequested, now: float) -> None:
        if event.destination in self._server.faults.refused_destinations:
            self._session.refuse("the destination is unknown", now=now, receipt=event.receipt)
            return
        self._server.add_listener(self, event.destination, event.subscription)
        self._session.acknowledge(event.receipt, now=now)

    async def _send_offered(self) -> None:
        while True:
            await self._offered.wait()
            self._offered.clear()
            await self._flush()

    async def _flush(self) -> None:
        if self._server.faults.silent:
            return
        # One at a time: two that take turns on the socket would put messages out of order.
        async with self._sending:
            for data in self._session.data_to_send():
                await self._socket.send(data, text=True)
            self._backlog = 0


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """STOMP 1.2 where the client offers it; a client that offers nothing is served all the same, as Toss's older ones were."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _json(connection: ServerConnection, status: HTTPStatus, content: object) -> Response:
    response = connection.respond(status, json.dumps(content))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


def _port(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


def _now() -> float:
    """The event loop's clock in seconds."""
    return asyncio.get_running_loop().time()
