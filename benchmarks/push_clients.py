"""Clients of the push gateway for a benchmark: half SSE, half WebSocket, on bare sockets.

They run in their own process and cost little, so that the gateway is measured: messages are cut out
of the bytes, and one in ten is parsed for its time.
"""

import asyncio
import base64
import json
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection

from launcher.ports import LOOPBACK
from push_gateway.server import STREAM_PATH, WEBSOCKET_PATH

_CONNECTING_AT_ONCE = 50
_READ_ONE_IN = 10
_PATIENCE_S = 60.0
_TICK = b'{"stock_code":"'
_PING, _PONG = 0x9, b"\x8a\x80\0\0\0\0"


@dataclass(frozen=True, slots=True)
class Reader:
    """One client: a user's token, its stocks, and its transport."""

    token: str
    codes: tuple[str, ...]
    by_websocket: bool


@dataclass(slots=True)
class Outcome:
    """What a process's clients received: the last tick of each stock as JSON, event ids in order,
    latencies.
    """

    last_ticks: list[dict[str, bytes]] = field(default_factory=list)
    event_ids: list[list[int]] = field(default_factory=list)
    messages: int = 0
    lost: int = 0
    latencies_ms: list[float] = field(default_factory=list)


class _Client(asyncio.Protocol):
    """Message handling of both kinds of client."""

    def __init__(self, reader: Reader, outcome: Outcome) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self.last: dict[str, bytes] = {}
        self.ids: list[int] = []
        self._reader = reader
        self._outcome = outcome
        self._received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        query = "&".join(f"stock_codes={code}" for code in self._reader.codes)
        path = WEBSOCKET_PATH if self._reader.by_websocket else STREAM_PATH
        upgrade = (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n"
        )
        transport.write(
            f"GET {path}?{query} HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Bearer "
            f"{self._reader.token}\r\n"
            f"{upgrade if self._reader.by_websocket else ''}\r\n".encode()
        )

    def connection_lost(self, _first_error: Exception | None) -> None:
        self._outcome.lost += 1
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(self._received[:200]))

    def take(self, kind: bytes, data: bytes) -> None:
        """Process a message with its type and its JSON data."""
        self._outcome.messages += 1
        if kind == b"tick":
            self.last[data[len(_TICK) : len(_TICK) + 7].decode()] = data
            if self._outcome.messages % _READ_ONE_IN == 0:
                traded_at = datetime.fromisoformat(json.loads(data)["traded_at"]).timestamp()
                self._outcome.latencies_ms.append((time.time() - traded_at) * 1_000)
        elif kind == b"fill":
            self.ids.append(json.loads(data)["id"])
        elif kind == b"ready" and not self.ready.done():
            self.ready.set_result(None)
        elif kind == b"error" and not self.ready.done():
            self.ready.set_exception(ConnectionError(data.decode()))


class _EventStream(_Client):
    def data_received(self, data: bytes) -> None:
        *blocks, self._received = (self._received + data).split(b"\n\n")
        for block in blocks:
            # The chunk header's lines before the event are skipped.
            _, found, event = block.partition(b"event: ")
            if found:
                kind, _, rest = event.partition(b"\n")
                self.take(kind, rest.partition(b"data: ")[2])


class _WebSocket(_Client):
    def __init__(self, reader: Reader, outcome: Outcome) -> None:
        super().__init__(reader, outcome)
        self._open = False

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._open:
            _, found, rest = self._received.partition(b"\r\n\r\n")
            if not found:
                return
            self._open, self._received = True, rest
        while len(self._received) >= 2:
            size, start = self._received[1], 2
            if size == 126:
                if len(self._received) < 4:
                    return
                size, start = int.from_bytes(self._received[2:4]), 4
            if len(self._received) < start + size:
                return
            code, body = self._received[0] & 0xF, self._received[start : start + size]
            self._received = self._received[start + size :]
            if code == _PING and self.transport is not None:
                self.transport.write(_PONG)
            elif code == 1:
                # {"type":"tick","data":{…}} or {"type":"fill","id":7,"data":{…}}
                head, _, rest = body.partition(b'"data":')
                self.take(head[9 : head.index(b'"', 9)], rest[:-1])


def follow(readers: Sequence[Reader], port: int, control: Connection) -> None:
    """Connect all clients, report it, and follow their streams.

    Each `"begin"` deletes the latencies, each `"report"` sends the Outcome, and `"end"` ends it.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_follow(readers, port, control))


async def _follow(readers: Sequence[Reader], port: int, control: Connection) -> None:
    outcome, turn, loop = (
        Outcome(),
        asyncio.Semaphore(_CONNECTING_AT_ONCE),
        asyncio.get_running_loop(),
    )

    async def connect(reader: Reader) -> _Client:
        kind = _WebSocket if reader.by_websocket else _EventStream
        async with turn, asyncio.timeout(_PATIENCE_S):
            _, client = await loop.create_connection(lambda: kind(reader, outcome), LOOPBACK, port)
            await client.ready
            return client

    clients = await asyncio.gather(*[connect(reader) for reader in readers])
    control.send("connected")
    while (order := await loop.run_in_executor(None, control.recv)) != "end":
        if order == "begin":
            outcome.latencies_ms, outcome.messages = [], 0
        else:
            outcome.last_ticks = [client.last for client in clients]
            outcome.event_ids = [client.ids for client in clients]
            control.send(outcome)
    for client in clients:
        if client.transport is not None:
            client.transport.abort()
