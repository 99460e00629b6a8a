"""The stand-in's behaviour on the wire matches Toss's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.relayer.harness import BEAT_MS, SAMSUNG, Toss, toss, until
from tests.support.deadlines import DEADLINE_S
from trading.marketdata.topics import trade_topic

TOPIC = trade_topic(SAMSUNG)


def get(port: int, path: str) -> tuple[HTTPResponse, bytes]:
    """Return the answer to a plain HTTP request and its body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


async def fetch_token(stand_in: Toss) -> str:
    _, body = await asyncio.to_thread(get, stand_in.port, "/api/v1/refresh-utk")
    return str(json.loads(body)["result"])


@asynccontextmanager
async def socket_to(stand_in: Toss) -> AsyncIterator[ClientConnection]:
    async with connect(
        f"ws://127.0.0.1:{stand_in.port}/ws",
        subprotocols=[Subprotocol("v12.stomp")],
        ping_interval=None,
    ) as socket:
        yield socket


async def connect_as(socket: ClientConnection, token: str, *, heart_beat: str = "0,0") -> str:
    """Send CONNECT, with a line feed after NUL like some clients. Return the first answer."""
    await socket.send(
        f"CONNECT\naccept-version:1.2,1.1,1.0\nheart-beat:{heart_beat}\nauthorization:{token}\n\n\0\n"
    )
    return str(await socket.recv())


async def test_token_endpoint_answers_like_toss() -> None:
    async with toss() as stand_in:
        response, body = await asyncio.to_thread(get, stand_in.port, "/api/v1/refresh-utk")
        token = json.loads(body)["result"]
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Set-Cookie"].startswith(f"UTK={token};")
        health, _ = await asyncio.to_thread(get, stand_in.port, "/healthz?deep=1")
        missing, _ = await asyncio.to_thread(get, stand_in.port, "/api/v1/orders")
        assert (health.status, missing.status) == (200, 404)


async def test_subscription_is_confirmed_and_served_without_a_destination() -> None:
    async with toss() as stand_in, socket_to(stand_in) as socket:
        assert socket.subprotocol == "v12.stomp"
        connected = await connect_as(socket, await fetch_token(stand_in))
        assert connected == "CONNECTED\nversion:1.2\nheart-beat:5000,5000\n\n\0"
        await socket.send(f"SUBSCRIBE\nid:s7\ndestination:{TOPIC}\nreceipt:r7\n\n\0".encode())
        assert await socket.recv() == "RECEIPT\nreceipt-id:r7\n\n\0"
        stand_in.trade(5)
        head, _, body = str(await socket.recv()).partition("\n\n")
        lines = head.split("\n")
        assert lines[0] == "MESSAGE"
        assert [line.partition(":")[0] for line in lines[1:]] == [
            "subscription",
            "message-id",
            "content-type",
            "content-length",
        ]
        assert json.loads(body.removesuffix("\0"))["cumulativeVolume"] == 5
        await socket.send("UNSUBSCRIBE\nid:s7\nreceipt:u7\n\n\0")
        assert await socket.recv() == "RECEIPT\nreceipt-id:u7\n\n\0"
        stand_in.trade(6)
        await socket.send("DISCONNECT\nreceipt:bye\n\n\0")
        assert await socket.recv() == "RECEIPT\nreceipt-id:bye\n\n\0"
        await socket.wait_closed()
        assert socket.close_code == 1000
        assert stand_in.server.destinations() == set()


@pytest.mark.parametrize("authorization", ["", "authorization:made up\n"])
async def test_unknown_token_is_refused(authorization: str) -> None:
    async with toss() as stand_in, socket_to(stand_in) as socket:
        await socket.send(f"CONNECT\naccept-version:1.2\n{authorization}\n\0")
        assert str(await socket.recv()).startswith(
            "ERROR\nmessage:authorization is missing or unknown\n"
        )
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_expired_token_is_refused() -> None:
    async with toss() as stand_in, socket_to(stand_in) as socket:
        token = await fetch_token(stand_in)
        stand_in.server.expire_tokens()
        assert (await connect_as(socket, token)).startswith("ERROR\n")


async def test_heart_beats_are_one_line_feed_and_a_silent_client_is_disconnected() -> None:
    async with toss(heart_beat_ms=BEAT_MS) as stand_in, socket_to(stand_in) as socket:
        await connect_as(socket, await fetch_token(stand_in), heart_beat="200,200")
        assert await socket.recv() == "\n"
        heard = [str(message) async for message in socket]
        assert heard[-1] == "ERROR\nmessage:no heart-beat came in time\n\n\0"


async def test_client_error_is_answered_and_ends_the_connection() -> None:
    """Valid frames before the error in the same message are lost."""

    async with toss() as stand_in, socket_to(stand_in) as socket:
        await connect_as(socket, await fetch_token(stand_in))
        await socket.send(f"SUBSCRIBE\nid:1\ndestination:{TOPIC}\nreceipt:r\n\n\0NONSENSE\n\n\0")
        assert await socket.recv() == "ERROR\nmessage:the command is unknown\n\n\0"
        await socket.wait_closed()


async def test_client_without_a_subprotocol_is_served() -> None:
    """Toss's older clients requested none."""

    async with (
        toss() as stand_in,
        connect(f"ws://127.0.0.1:{stand_in.port}/ws", ping_interval=None) as socket,
    ):
        assert socket.subprotocol is None
        assert (await connect_as(socket, await fetch_token(stand_in))).startswith("CONNECTED\n")


async def test_client_that_reads_nothing_is_disconnected() -> None:
    """A slow client must not fill the stand-in's memory."""

    async with toss() as stand_in, socket_to(stand_in) as socket:
        await connect_as(socket, await fetch_token(stand_in))
        await socket.send(f"SUBSCRIBE\nid:1\ndestination:{TOPIC}\n\n\0")
        await until(stand_in.server.destinations, what="the subscription")
        for volume in range(1, 10_100):
            stand_in.trade(volume)
        await until(lambda: not stand_in.server.destinations(), what="the client is gone")


async def test_stop_does_not_wait_for_a_client_that_reads_nothing() -> None:
    async def visit() -> None:
        async with toss() as stand_in:
            socket = await connect(f"ws://127.0.0.1:{stand_in.port}/ws", ping_interval=None)
            await connect_as(socket, await fetch_token(stand_in))
            await socket.send(f"SUBSCRIBE\nid:1\ndestination:{TOPIC}\n\n\0")
            await until(stand_in.server.destinations, what="the subscription")
            socket.transport.pause_reading()
            for _ in range(100):
                stand_in.server.publish_body(TOPIC, b"x" * 250_000)
            (client,) = stand_in.server._clients
            await until(client._sending.locked, what="a message is stuck")
        socket.transport.abort()

    await asyncio.wait_for(visit(), timeout=DEADLINE_S)
