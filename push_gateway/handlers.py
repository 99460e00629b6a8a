"""How clients come in: a stream of server-sent events, or a WebSocket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
from aiohttp import WSMsgType, web
from redis.exceptions import RedisError
from structlog.contextvars import bind_contextvars

from push_gateway.client import (
    Client,
    ClientDependencies,
    EventStreamClient,
    Stalled,
    WebSocketClient,
)
from push_gateway.connection_limits import ConnectionLimiter
from push_gateway.cors import Origins
from push_gateway.handshake import (
    MESSAGE_BYTES_MAX,
    StreamRequest,
    asking_of_message,
    asking_of_request,
    change_of_message,
)
from push_gateway.hub import ClientHub
from push_gateway.problems import members_of
from push_gateway.tokens import Tokens
from trading.account_events.push_messages import (
    EXPIRED,
    SIGNED_OUT,
    SSE_PREAMBLE,
    PushMessage,
    to_json,
)
from trading.account_events.push_session import KEEP_ALIVE_S, PushSession
from trading.errors import DomainError, Unauthorized, ValidationFailed
from trading.marketdata.quotes import MarketUnavailable

log = structlog.get_logger(__name__)

FIRST_MESSAGE_S = 5.0
_FIRST_LOOK_S = 10.0
_FAREWELL_S = 2.0
# Time between two messages of one client: what comes faster waits in its own socket.
_MESSAGE_PAUSE_S = 0.05

# Close codes of the WebSocket (RFC 6455, 7.4): 4000 and above are ours, after the HTTP status of the same meaning.
CLOSE_GOING_AWAY = 1001
CLOSE_POLICY_VIOLATION = 1008
CLOSE_TRY_AGAIN_LATER = 1013
CLOSE_UNAUTHORIZED = 4401
CLOSE_FIRST_MESSAGE_LATE = 4408
CLOSE_TOO_MANY = 4429
_CLOSE_CODES = {
    "unauthorized": CLOSE_UNAUTHORIZED,
    "rate-limited": CLOSE_TOO_MANY,
    "stream-limit-reached": CLOSE_TOO_MANY,
    "upstream-unavailable": CLOSE_TRY_AGAIN_LATER,
}
_CLOSE_CODES_OF_ENDS = {
    "expired": CLOSE_UNAUTHORIZED,
    "signed-out": CLOSE_UNAUTHORIZED,
    "closing": CLOSE_GOING_AWAY,
}


class _FirstMessageLate(Exception):
    """Nothing came in time."""


class StreamHandlers:
    """The handlers. Each answers until its client goes or is cut."""

    def __init__(
        self, audience: ClientHub, attempts: ConnectionLimiter, tokens: Tokens, origins: Origins
    ) -> None:
        self._audience = audience
        self._attempts = attempts
        self._tokens = tokens
        self._origins = origins

    async def event_stream(self, request: web.Request) -> web.StreamResponse:
        """GET …/stream: server-sent events. Raises DomainError and MarketUnavailable before it answers."""
        self._origins.check(request)
        asking = asking_of_request(request, self._tokens)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would hold events back
            }
        )
        make = partial(EventStreamClient, response=response)
        with self._audience.place():
            async with self._admitted(make, asking, request) as client:
                await response.prepare(request)
                with suppress(Stalled, OSError):
                    await response.write(SSE_PREAMBLE)
                    await client.run()
                    await response.write_eof()
                # Nothing is left to be said on this connection, and a client that was cut must not be waited for.
                response.force_close()
        return response

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """GET /ws: the same over a WebSocket. Once it is open, failures are told as messages."""
        self._origins.check(request)
        with self._audience.place():
            websocket = web.WebSocketResponse(
                heartbeat=KEEP_ALIVE_S,
                max_msg_size=MESSAGE_BYTES_MAX,
                compress=False,
                timeout=_FAREWELL_S,
            )
            await websocket.prepare(request)
            with suppress(OSError):
                await _close(websocket, request, await self._serve(websocket, request))
        return websocket

    async def _serve(self, websocket: web.WebSocketResponse, request: web.Request) -> int:
        """Serve until the end; the close code for it."""
        try:
            asking = await self._asking(websocket, request)
            async with self._admitted(WebSocketClient, asking, request) as client:
                return await self._converse(websocket, client)
        except _FirstMessageLate:
            return CLOSE_FIRST_MESSAGE_LATE
        except Stalled:
            return CLOSE_TRY_AGAIN_LATER
        except (DomainError, MarketUnavailable) as refusal:
            members = members_of(refusal, request)
            log.info("request_refused", code=members["code"])
            with suppress(OSError):
                await websocket.send_frame(
                    PushMessage("error", to_json(members)).text, WSMsgType.TEXT
                )
            return _CLOSE_CODES.get(members["code"], CLOSE_POLICY_VIOLATION)

    async def _asking(
        self, websocket: web.WebSocketResponse, request: web.Request
    ) -> StreamRequest:
        """By the header of the handshake, which a browser can't set; else by the first message."""
        if "Authorization" in request.headers:
            return asking_of_request(request, self._tokens)
        try:
            with self._attempts.waiting(request):
                async with asyncio.timeout(FIRST_MESSAGE_S):
                    message = await websocket.receive()
        except TimeoutError:
            raise _FirstMessageLate from None
        if message.type is not WSMsgType.TEXT:
            raise Unauthorized
        return asking_of_message(message.data, self._tokens)

    @asynccontextmanager
    async def _admitted(
        self,
        make: Callable[[PushSession, ClientDependencies, asyncio.Transport], Client],
        asking: StreamRequest,
        request: web.Request,
    ) -> AsyncIterator[Client]:
        """A client that receives what is for it, and knows what there was. Raises DomainError and MarketUnavailable."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._attempts.count(asking.bearer.user_id)
        means = self._audience.means
        if not means.channels.live:
            raise MarketUnavailable
        client = make(asking.feed(means.clock), means, transport)
        bind_contextvars(user_id=str(client.feed.bearer.user_id))
        with self._audience.seated(client):
            try:
                async with asyncio.timeout(_FIRST_LOOK_S):
                    await client.first_look()
            except (TimeoutError, RedisError, OSError) as fault:
                raise MarketUnavailable from fault
            if client.feed.end in (EXPIRED, SIGNED_OUT):
                raise Unauthorized
            yield client

    async def _converse(self, websocket: web.WebSocketResponse, client: Client) -> int:
        """Write and listen until one of the two ends; the close code for it."""
        writing = asyncio.create_task(client.run())
        listening = asyncio.create_task(self._listen(websocket, client))
        try:
            await asyncio.wait({writing, listening}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                await listening
                return CLOSE_GOING_AWAY
            await writing
        finally:
            writing.cancel()
            listening.cancel()
            await asyncio.gather(writing, listening, return_exceptions=True)
        end = client.feed.end
        return CLOSE_TRY_AGAIN_LATER if end is None else _CLOSE_CODES_OF_ENDS[end.kind]

    async def _listen(self, websocket: web.WebSocketResponse, client: Client) -> None:
        """Do what the client's messages ask for until it closes. Raises ValidationFailed."""
        async for message in websocket:
            if message.type is not WSMsgType.TEXT:
                raise ValidationFailed(field="message")
            change = change_of_message(message.data)
            if change.follow:
                self._audience.follow(client, change.codes)
            else:
                self._audience.unfollow(client, change.codes)
            await asyncio.sleep(_MESSAGE_PAUSE_S)


async def _close(websocket: web.WebSocketResponse, request: web.Request, code: int) -> None:
    """Say good-bye to a client that may not be listening."""
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await websocket.close(code=code)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
