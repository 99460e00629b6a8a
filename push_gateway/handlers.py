"""aiohttp handlers of the SSE and WebSocket endpoints."""

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
    change_from_message,
    stream_request_from_http,
    stream_request_from_message,
)
from push_gateway.hub import ClientHub
from push_gateway.problems import problem_of
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
from trading.requests import refuse_unknown_parameters

log = structlog.get_logger(__name__)

FIRST_MESSAGE_S = 5.0
_FIRST_CATCH_UP_S = 10.0
_CLOSE_TIMEOUT_S = 2.0
# Seconds between two messages of one client; faster messages wait in the client's socket.
_MESSAGE_PAUSE_S = 0.05

# WebSocket close codes (RFC 6455, 7.4). Codes from 4000 are ours, after the HTTP status.
CLOSE_GOING_AWAY = 1001
CLOSE_POLICY_VIOLATION = 1008
CLOSE_TRY_AGAIN_LATER = 1013
CLOSE_UNAUTHORIZED = 4401
CLOSE_FIRST_MESSAGE_TIMEOUT = 4408
CLOSE_TOO_MANY = 4429
_CLOSE_CODES = {
    "unauthorized": CLOSE_UNAUTHORIZED,
    "rate-limited": CLOSE_TOO_MANY,
    "stream-limit-reached": CLOSE_TOO_MANY,
    "upstream-unavailable": CLOSE_TRY_AGAIN_LATER,
}
_CLOSE_CODES_BY_END = {
    "expired": CLOSE_UNAUTHORIZED,
    "signed-out": CLOSE_UNAUTHORIZED,
    "closing": CLOSE_GOING_AWAY,
}


class _FirstMessageTimeout(Exception):
    """The client sent no first message in time."""


class StreamHandlers:
    """Request handlers. Each runs until its client leaves or is disconnected."""

    def __init__(
        self, hub: ClientHub, limiter: ConnectionLimiter, tokens: Tokens, origins: Origins
    ) -> None:
        self._hub = hub
        self._limiter = limiter
        self._tokens = tokens
        self._origins = origins

    async def event_stream(self, request: web.Request) -> web.StreamResponse:
        """GET …/stream: server-sent events.

        Raises DomainError and MarketUnavailable before answering.
        """
        self._origins.check(request)
        stream_request = stream_request_from_http(request, self._tokens)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # Otherwise nginx buffers events.
            }
        )
        make = partial(EventStreamClient, response=response)
        with self._hub.slot():
            async with self._register(make, stream_request, request) as client:
                await response.prepare(request)
                with suppress(Stalled, OSError):
                    await response.write(SSE_PREAMBLE)
                    await client.run()
                    await response.write_eof()
                # Nothing more is sent, and a client that was cut off must not be waited for.
                response.force_close()
        return response

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """GET /ws: the same over a WebSocket. Once it is open, failures are sent as messages."""
        self._origins.check(request)
        with self._hub.slot():
            websocket = web.WebSocketResponse(
                heartbeat=KEEP_ALIVE_S,
                max_msg_size=MESSAGE_BYTES_MAX,
                compress=False,
                timeout=_CLOSE_TIMEOUT_S,
            )
            await websocket.prepare(request)
            with suppress(OSError):
                await _close(websocket, request, await self._serve(websocket, request))
        return websocket

    async def _serve(self, websocket: web.WebSocketResponse, request: web.Request) -> int:
        """Serve until the end; return the close code."""
        try:
            stream_request = await self._authenticate(websocket, request)
            async with self._register(WebSocketClient, stream_request, request) as client:
                return await self._run_connection(websocket, client)
        except _FirstMessageTimeout:
            return CLOSE_FIRST_MESSAGE_TIMEOUT
        except Stalled:
            return CLOSE_TRY_AGAIN_LATER
        except (DomainError, MarketUnavailable) as refusal:
            members = problem_of(refusal, request)
            log.info("request_refused", code=members["code"])
            with suppress(OSError):
                await websocket.send_frame(
                    PushMessage("error", to_json(members)).text, WSMsgType.TEXT
                )
            return _CLOSE_CODES.get(members["code"], CLOSE_POLICY_VIOLATION)

    async def _authenticate(
        self, websocket: web.WebSocketResponse, request: web.Request
    ) -> StreamRequest:
        """Read the token from the handshake's header, or from the first message.

        Browsers cannot set the header.
        """
        if "Authorization" in request.headers:
            return stream_request_from_http(request, self._tokens)
        try:
            with self._limiter.waiting(request):
                async with asyncio.timeout(FIRST_MESSAGE_S):
                    message = await websocket.receive()
        except TimeoutError:
            raise _FirstMessageTimeout from None
        if message.type is not WSMsgType.TEXT:
            raise Unauthorized
        stream_request = stream_request_from_message(message.data, self._tokens)
        # The message carries what the query of an authenticated handshake may carry.
        refuse_unknown_parameters(request.query, known=())
        return stream_request

    @asynccontextmanager
    async def _register(
        self,
        make: Callable[[PushSession, ClientDependencies, asyncio.Transport], Client],
        stream_request: StreamRequest,
        request: web.Request,
    ) -> AsyncIterator[Client]:
        """Yield a registered client with its initial state.

        Raises DomainError and MarketUnavailable.
        """
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._limiter.count(stream_request.bearer.user_id)
        dependencies = self._hub.dependencies
        if not dependencies.channels.live:
            raise MarketUnavailable
        client = make(stream_request.open_session(dependencies.clock), dependencies, transport)
        bind_contextvars(user_id=str(client.session.bearer.user_id))
        with self._hub.registered(client):
            try:
                async with asyncio.timeout(_FIRST_CATCH_UP_S):
                    await client.first_catch_up()
            except (TimeoutError, RedisError, OSError) as fault:
                raise MarketUnavailable from fault
            if client.session.end in (EXPIRED, SIGNED_OUT):
                raise Unauthorized
            yield client

    async def _run_connection(self, websocket: web.WebSocketResponse, client: Client) -> int:
        """Write and read until one of the two ends; return the close code."""
        writing = asyncio.create_task(client.run())
        listening = asyncio.create_task(self._read_messages(websocket, client))
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
        end = client.session.end
        return CLOSE_TRY_AGAIN_LATER if end is None else _CLOSE_CODES_BY_END[end.kind]

    async def _read_messages(self, websocket: web.WebSocketResponse, client: Client) -> None:
        """Apply the client's messages until it closes. Raises ValidationFailed."""
        async for message in websocket:
            if message.type is not WSMsgType.TEXT:
                raise ValidationFailed(field="message")
            change = change_from_message(message.data)
            if change.follow:
                self._hub.follow(client, change.codes)
            else:
                self._hub.unfollow(client, change.codes)
            await asyncio.sleep(_MESSAGE_PAUSE_S)


async def _close(websocket: web.WebSocketResponse, request: web.Request, code: int) -> None:
    """Close a WebSocket whose client may not respond."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await websocket.close(code=code)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
