"""Stand-in for Toss on one port: guest tokens over HTTP, and the feed as STOMP over WebSocket.

It behaves as Toss is known to: no `destination` in a MESSAGE, heart-beats of exactly one line feed,
no snapshot on subscription. Elsewhere it follows the STOMP specification. `faults` sets what goes
wrong.
"""

import asyncio
import json
import secrets
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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
from sandbox.distortions import Distorter
from sandbox.faults import REPLAYED_MAX, Break, ConnectionEnd, Faults, Moment
from sandbox.sockets import reset, write_frames
from sandbox.trade import Trade
from trading.marketdata.topics import trade_topic

TOKEN_PATH = "/api/v1/refresh-utk"  # noqa: S105 - a path, no secret
HEALTH_PATH = "/healthz"
FEED_PATH = "/ws"
SUBPROTOCOL = Subprotocol("v12.stomp")
HEART_BEAT_MS = 5_000
MESSAGE_OCTETS_MAX = 1024 * 1024
TOKENS_MAX = 1_000
# Number of messages that may wait for a slow client before it is disconnected.
BACKLOG_MAX = 10_000
WAIT_S = 0.25


class TossServer:
    """Tokens, clients and subscriptions. `faults` may be replaced or changed at any time."""

    def __init__(self, *, heart_beat_ms: int = HEART_BEAT_MS) -> None:
        self.faults = Faults()
        self.connections_total = 0
        self.connections_at_once_max = 0
        self.tokens_total = 0
        self._heart_beat = HeartBeat(send_ms=heart_beat_ms, want_ms=heart_beat_ms)
        self._distorter = Distorter()
        self._sent: dict[str, deque[bytes]] = defaultdict(lambda: deque(maxlen=REPLAYED_MAX))
        self._tokens: deque[str] = deque(maxlen=TOKENS_MAX)
        self._clients: set[_Client] = set()
        self._listeners: dict[str, dict[_Client, str]] = defaultdict(dict)
        self._first_listener: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @asynccontextmanager
    async def listen(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve until the context ends. Yield the port, chosen by the system for 0. Raise OSError
        if in use.
        """
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
            try:
                yield _port(server)
            finally:
                # The server waits until its close frame is written, which may never happen.
                for client in self._clients:
                    client.release()

    def publish(self, trade: Trade) -> None:
        """Send a trade to all subscribers of its stock."""
        destination = trade_topic(trade.code)
        if self.faults.replayed:
            self._sent[destination].append(trade.body())
        if self._listeners.get(destination):
            for body in self._distorter.bodies(trade, self.faults):
                self.publish_body(destination, body)

    def publish_body(self, destination: str, body: bytes) -> None:
        """Send raw bytes to all subscribers of a destination."""
        for client, subscription in list(self._listeners.get(destination, {}).items()):
            client.offer(subscription, body)

    def replayed(self, destination: str) -> list[bytes]:
        """Return the last trades that a new subscriber receives, oldest first; none without this
        fault.
        """
        return (
            list(self._sent[destination])[-self.faults.replayed :] if self.faults.replayed else []
        )

    async def wait_for_listener(self, destination: str) -> None:
        """Wait for the first subscription to the destination."""
        await self._first_listener[destination].wait()

    def destinations(self) -> set[str]:
        """Return all destinations with a subscriber."""
        return {destination for destination, listeners in self._listeners.items() if listeners}

    def expire_tokens(self) -> None:
        """Invalidate all tokens: the next CONNECT with one of them is refused."""
        self._tokens.clear()

    def drop_connections(self) -> None:
        """Abort all connections without a close frame."""
        for client in list(self._clients):
            client.abort()

    def knows_token(self, token: str | None) -> bool:
        """Return True if the token was issued here and is valid."""
        return token in self._tokens

    def promised_heart_beat(self) -> HeartBeat:
        """Return the heart-beat interval for new connections."""
        if self.faults.heart_beat_ms is None:
            return self._heart_beat
        send_ms, want_ms = self.faults.heart_beat_ms
        return HeartBeat(send_ms=send_ms, want_ms=want_ms)

    def add_listener(self, client: "_Client", destination: str, subscription: str) -> None:
        self._listeners[destination][client] = subscription
        self._first_listener[destination].set()

    def remove_listener(self, client: "_Client", destination: str) -> None:
        self._listeners[destination].pop(client, None)

    async def _serve_client(self, socket: ServerConnection) -> None:
        client = _Client(self, socket)
        self._clients.add(client)
        self.connections_total += 1
        self.connections_at_once_max = max(self.connections_at_once_max, len(self._clients))
        try:
            await client.run()
        finally:
            self._clients.discard(client)
            for listeners in self._listeners.values():
                listeners.pop(client, None)

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == FEED_PATH:
            return None
        if path == HEALTH_PATH:
            return _json(connection, HTTPStatus.OK, {"status": "ok", "clients": len(self._clients)})
        if path == TOKEN_PATH:
            return await self._issue_token(connection)
        return _json(connection, HTTPStatus.NOT_FOUND, {"error": {"code": "not-found"}})

    async def _issue_token(self, connection: ServerConnection) -> Response:
        await asyncio.sleep(self.faults.token_delay_ms / 1000)
        status = HTTPStatus(self.faults.token_status)
        if status is not HTTPStatus.OK:
            return _json(connection, status, {"error": {"code": "no-token"}})
        token = secrets.token_urlsafe(24)
        self._tokens.append(token)
        self.tokens_total += 1
        response = _json(connection, HTTPStatus.OK, {"result": token})
        response.headers["Set-Cookie"] = f"UTK={token}; Path=/; HttpOnly; SameSite=Lax"
        return response


class _Client:
    """One connection: a STOMP session with its socket and the market's trades."""

    def __init__(self, server: TossServer, socket: ServerConnection) -> None:
        self._server = server
        self._socket = socket
        self._session = ServerSession(heart_beat=server.promised_heart_beat(), now=_now())
        self._token = ""
        self._ending: Break | None = None
        self._outgoing: list[bytes] = []
        self._backlog = 0
        self._offered = asyncio.Event()
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Serve until the client disconnects, sends an error or is silent, or a fault ends the
        connection.
        """
        sender = asyncio.create_task(self._send_offered())
        try:
            while not self._session.closed:
                await self._receive_some()
                for event in self._session.events():
                    # Frames before a client's error in the same message are lost with the session.
                    if not self._session.closed and self._ending is None:
                        self._handle(event)
                await self._flush()
        except ConnectionClosed:
            pass
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        await self._socket.close()

    def offer(self, subscription: str, body: bytes) -> None:
        """Queue a message. Disconnect a client with 10,000 waiting messages."""
        if self._ending is not None or self._session.state is not State.CONNECTED:
            return
        self._backlog += 1
        if self._backlog > BACKLOG_MAX:
            self.abort()
            return
        if not self._break_off(Moment.MESSAGE):
            self._session.message(subscription, body, now=_now())
        self._offered.set()

    def abort(self) -> None:
        """End the connection at once, without a close frame."""
        self._socket.transport.abort()

    def release(self) -> None:
        """End a connection that accepts no data, or that a fault keeps open."""
        if self._sending.locked():
            self.abort()

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
                self._connect(event, now)
            case SubscribeRequested():
                self._subscribe(event, now)
            case UnsubscribeRequested():
                self._server.remove_listener(self, event.destination)
                self._confirm(event.receipt)
            case DisconnectRequested():
                self._session.acknowledge_disconnect(
                    event.receipt if self._server.faults.receipts else None, now=now
                )
            case Failed():
                pass

    def _connect(self, event: ConnectRequested, now: float) -> None:
        self._token = event.authorization or ""
        if self._break_off(Moment.CONNECT):
            return
        if self._server.knows_token(self._token):
            self._session.accept(now=now)
        else:
            self._session.refuse("authorization is missing or unknown", now=now)

    def _subscribe(self, event: SubscribeRequested, now: float) -> None:
        if self._break_off(Moment.SUBSCRIBE, event.receipt):
            return
        if event.destination in self._server.faults.refused_destinations:
            self._session.refuse("the destination is unknown", now=now, receipt=event.receipt)
            return
        self._server.add_listener(self, event.destination, event.subscription)
        self._confirm(event.receipt)
        for body in self._server.replayed(event.destination):
            self.offer(event.subscription, body)

    def _confirm(self, receipt: str | None) -> None:
        faults = self._server.faults
        if faults.receipts and faults.receipt_delay_ms:
            asyncio.get_running_loop().call_later(
                faults.receipt_delay_ms / 1000, self._confirm_late, receipt
            )
        elif faults.receipts:
            self._session.acknowledge(receipt, now=_now())

    def _confirm_late(self, receipt: str | None) -> None:
        if self._session.state is State.CONNECTED:
            self._session.acknowledge(receipt, now=_now())
            self._offered.set()

    def _break_off(self, moment: Moment, receipt: str | None = None) -> bool:
        """Return True if the connection breaks off here, after queueing the fault's output."""
        broken = self._server.faults.breaks
        if broken is None or broken.at is not moment:
            return False
        self._queue_frames()
        writes = broken.writes.replace("{token}", self._token).replace("{receipt}", receipt or "")
        if writes:
            self._outgoing.append(writes.encode())
        if broken.ending is not ConnectionEnd.NONE:
            self._ending = broken
        return True

    def _queue_frames(self) -> None:
        if self._ending is None:
            self._outgoing.extend(self._session.data_to_send())

    async def _send_offered(self) -> None:
        while True:
            await self._offered.wait()
            self._offered.clear()
            await self._flush()

    async def _flush(self) -> None:
        # One sender at a time keeps messages in order.
        async with self._sending:
            faults = self._server.faults
            self._queue_frames()
            outgoing, self._outgoing = self._outgoing, []
            for data in write_frames(outgoing, faults):
                await self._socket.send(data, text=not faults.binary)
            self._backlog = 0
            if self._ending is not None:
                await self._end(self._ending)

    async def _end(self, broken: Break) -> None:
        match broken.ending:
            case ConnectionEnd.CLOSE:
                await self._socket.close(broken.close_code)
            case ConnectionEnd.ABORT:
                self.abort()
            case ConnectionEnd.RESET:
                reset(self._socket.transport)
            case ConnectionEnd.STALL:
                self._socket.transport.pause_reading()
                await self._socket.wait_closed()


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Select STOMP 1.2 if offered. A client without a subprotocol is accepted, as by older Toss
    servers.
    """
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _json(connection: ServerConnection, status: HTTPStatus, content: object) -> Response:
    response = connection.respond(status, json.dumps(content))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


def _port(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


def _now() -> float:
    """Return the event loop's clock in seconds."""
    return asyncio.get_running_loop().time()
