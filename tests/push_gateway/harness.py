"""A gateway in the test's event loop, its clients, and writers to Redis."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import jwt
import redis
from prometheus_client.parser import text_string_to_metric_families

from launcher.ports import free_port
from push_gateway.server import HEALTH_PATH, STREAM_PATH, WEBSOCKET_PATH, Gateway
from tests.relayer.harness import HYNIX, SAMSUNG
from tests.support.deadlines import DEADLINE_S
from trading.access_tokens import ALGORITHM
from trading.account_events.stream import AccountEvent, AccountStreams, EventKind
from trading.accounts.revocations import Revocations
from trading.config.settings import Settings, load
from trading.marketdata.ticks import Position, Tick
from trading.observability.metrics import exposition
from trading.redis import keys
from trading.redis.client import connect

__all__ = ["HYNIX", "SAMSUNG", "Server", "Stream", "User", "WebSocketClient", "gateway", "token"]

SECRET = "a secret of the tests that is long enough for HS256 and for HS512 as well"


@dataclass(frozen=True)
class User:
    """A signed-in user."""

    id: UUID = field(default_factory=uuid4)
    session_id: UUID = field(default_factory=uuid4)

    def token(self, **changed: Any) -> str:
        """Return an access token as Flask-JWT-Extended writes it; None removes a claim."""
        now = datetime.now(UTC)
        claims = {
            "fresh": False,
            "iat": now,
            "jti": str(uuid4()),
            "type": "access",
            "sub": str(self.id),
            "nbf": now,
            "exp": now + timedelta(minutes=15),
            "iss": "stocking",
            "sid": self.session_id.hex,
            **changed,
        }
        return token({name: value for name, value in claims.items() if value is not None})


def token(
    claims: dict[str, Any], *, secret: str | None = SECRET, algorithm: str = ALGORITHM
) -> str:
    return jwt.encode(claims, secret, algorithm=algorithm)


class Market:
    """Writes to Redis what the relayer, the workers and the API write."""

    def __init__(self, url: str) -> None:
        self.redis = connect(url, timeout_s=5)
        self.streams = AccountStreams(self.redis)
        self.revocations = Revocations(self.redis)
        self._ticks = 0

    def next_tick(self, price: int, code: str = SAMSUNG) -> Tick:
        """Return a tick of now that is not published yet."""
        self._ticks += 1
        now = datetime.now(UTC)
        return Tick(
            code=code,
            price=price,
            volume=1,
            traded_at=now,
            received_at=now,
            position=Position(int(now.timestamp() * 1_000), self._ticks % 1_000_000),
        )

    def tick(self, price: int, code: str = SAMSUNG) -> Tick:
        """Publish a tick as the relayer does."""
        tick = self.next_tick(price, code)
        with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.set(keys.last_tick(code), tick.to_json(), ex=keys.TICK_TTL_S)
            pipeline.publish(keys.tick_channel(code), tick.to_json())
            pipeline.execute()
        return tick

    def events(self, user: User, ids: Iterable[int], *, data: dict[str, Any] | None = None) -> None:
        """Append events of a user; ``data`` defaults to the event's number."""
        self.streams.append(
            [
                AccountEvent(
                    user_id=user.id,
                    id=number,
                    kind=EventKind.FILL,
                    occurred_at=datetime.now(UTC),
                    data=data or {"no": number},
                )
                for number in ids
            ]
        )

    def sign_out(self, user: User) -> None:
        self.revocations.announce([user.session_id], remember_s=900)


@dataclass
class Event:
    """A message as parsed by a client. ``data`` is None for a comment."""

    type: str
    data: Any
    id: int | None = None


@dataclass
class Stream:
    """A client of server-sent events."""

    response: aiohttp.ClientResponse

    async def next(self) -> Event:
        """Return the next event, skipping comments and ``retry``.

        Raises StopAsyncIteration at the end.
        """
        async with asyncio.timeout(DEADLINE_S):
            while True:
                fields: dict[str, str] = {}
                while line := (await self.response.content.readline()).decode():
                    if line == "\n":
                        break
                    name, _, value = line.rstrip("\n").partition(": ")
                    fields[name] = value
                else:
                    raise StopAsyncIteration
                if "event" in fields:
                    number = int(fields["id"]) if "id" in fields else None
                    return Event(fields["event"], json.loads(fields["data"]), number)

    async def ended(self) -> bool:
        """Return True if the server ends the stream without another event."""
        try:
            await self.next()
        except (StopAsyncIteration, aiohttp.ClientPayloadError):
            return True
        return False


@dataclass
class WebSocketClient:
    """A WebSocket client."""

    websocket: aiohttp.ClientWebSocketResponse

    async def next(self) -> Event:
        async with asyncio.timeout(DEADLINE_S):
            message = json.loads(await self.websocket.receive_str())
        return Event(message["type"], message["data"], message.get("id"))

    async def send(self, **message: Any) -> None:
        await self.websocket.send_str(json.dumps(message))

    async def closed(self) -> int | None:
        """Return the server's close code; nothing may come before it."""
        async with asyncio.timeout(DEADLINE_S):
            message = await self.websocket.receive()
        assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}, message
        return self.websocket.close_code


@dataclass
class Server:
    """A running gateway, an HTTP client for it, and the market behind it."""

    port: int
    http: aiohttp.ClientSession
    market: Market

    @property
    def stream_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{STREAM_PATH}"

    @asynccontextmanager
    async def stream(
        self,
        user: User,
        *codes: str,
        status: int = 200,
        query: dict[str, str] | None = None,
        claims: dict[str, Any] | None = None,
        **headers: str,
    ) -> AsyncIterator[Stream]:
        """Yield an open event stream of these stocks and the user's account events."""
        bearer = {"Authorization": f"Bearer {user.token(**(claims or {}))}"}
        params = [*[("stock_codes", code) for code in codes], *(query or {}).items()]
        async with self.http.get(
            self.stream_url, params=params, headers={**bearer, **headers}
        ) as response:
            assert response.status == status, await response.text()
            yield Stream(response)

    @asynccontextmanager
    async def websocket(self, *, query: str = "", **headers: str) -> AsyncIterator[WebSocketClient]:
        """Yield an open WebSocket."""
        url = f"ws://127.0.0.1:{self.port}{WEBSOCKET_PATH}{query}"
        async with self.http.ws_connect(url, headers=headers) as websocket:
            yield WebSocketClient(websocket)

    @asynccontextmanager
    async def authenticated(
        self, user: User, *codes: str, last_event_id: int | None = None
    ) -> AsyncIterator[WebSocketClient]:
        async with self.websocket() as websocket:
            await websocket.send(
                type="auth", token=user.token(), stock_codes=codes, last_event_id=last_event_id
            )
            yield websocket

    async def health(self) -> dict[str, Any]:
        async with self.http.get(f"http://127.0.0.1:{self.port}{HEALTH_PATH}") as response:
            assert response.status == 200
            message: dict[str, Any] = await response.json()
            return message

    async def metrics(self) -> dict[str, float]:
        """Return the scraped samples by name; those of problems by code."""
        async with self.http.get(f"http://127.0.0.1:{self.port}{exposition.PATH}") as response:
            assert (response.status, response.headers["Content-Type"]) == (
                200,
                exposition.CONTENT_TYPE,
            )
            text = await response.text()
        return {
            sample.labels.get("code", sample.name.removeprefix("stocking_")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def until(self, *, what: str, **expected: Any) -> None:
        """Wait until the health check reports ``expected``."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not expected.items() <= (await self.health()).items():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not in time: {what}") from None


def settings(redis_url: str, port: int, **more: str) -> Settings:
    return load(
        {"REDIS_URL": redis_url, "GATEWAY_PORT": str(port), "JWT_SECRET_KEY": SECRET, **more}
    )


@asynccontextmanager
async def gateway(
    redis_url: str, *, live: bool = True, port: int | None = None, **more: str
) -> AsyncIterator[Server]:
    """Run a gateway until the context ends; then it must stop before the deadline."""
    stop, port = asyncio.Event(), port or free_port()
    running = asyncio.create_task(Gateway(settings(redis_url, port, **more)).run(stop))
    market = Market(redis_url)
    try:
        # By default aiohttp limits a client to a hundred connections.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            server = Server(port, http, market)
            async with asyncio.timeout(DEADLINE_S):
                while not await _answers(server):
                    assert not running.done(), running.exception()
                    await asyncio.sleep(0.02)
            if live:
                await server.until(what="the gateway is connected to Redis", redis=True)
            yield server
    finally:
        stop.set()
        market.redis.close()
        async with asyncio.timeout(DEADLINE_S):
            await running


async def _answers(server: Server) -> bool:
    try:
        await server.health()
    except aiohttp.ClientConnectionError:
        return False
    return True


def flush(redis_url: str) -> None:
    """Delete all data in Redis."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
