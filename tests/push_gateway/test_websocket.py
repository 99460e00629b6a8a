"""The gateway's WebSocket."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from push_gateway import handlers
from tests.push_gateway.harness import HYNIX, SAMSUNG, User, gateway
from tests.relayer.harness import until
from trading.account_events.push_session import CODES_MAX


async def test_a_client_authenticates_with_its_first_message(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        alice = User()
        server.market.tick(70_000)
        server.market.events(alice, [1, 2, 3])
        async with server.authenticated(alice, SAMSUNG, last_event_id=1) as websocket:
            got = [await websocket.next() for _ in range(4)]
            assert [(each.type, each.id) for each in got] == [
                ("ready", 1),
                ("fill", 2),
                ("fill", 3),
                ("tick", None),
            ]
            server.market.events(alice, [4])
            assert (await websocket.next()).id == 4


async def test_a_client_authenticates_with_the_header(valkey_url: str) -> None:
    async with (
        gateway(valkey_url) as server,
        server.websocket(Authorization=f"Bearer {User().token()}") as websocket,
    ):
        assert (await websocket.next()).type == "ready"


@pytest.mark.parametrize("by_header", [True, False])
async def test_unknown_query_parameter_closes_the_connection(
    valkey_url: str, by_header: bool
) -> None:
    """A client that signs in by a message sends everything in it, so its query has none."""
    headers = {"Authorization": f"Bearer {User().token()}"} if by_header else {}
    async with (
        gateway(valkey_url) as server,
        server.websocket(query="?stock_code=A005930", **headers) as websocket,
    ):
        if not by_header:
            await websocket.send(type="auth", token=User().token())
        refusal = await websocket.next()
        assert (refusal.type, refusal.data["code"]) == ("error", "unknown-query-parameter")
        assert refusal.data["parameters"] == ["stock_code"]
        assert refusal.data["known"] == (["stock_codes", "last_event_id"] if by_header else [])
        assert await websocket.closed() == 1008


async def test_messages_of_every_size_arrive_whole(valkey_url: str) -> None:
    """A frame encodes its length in one of three ways."""

    async with gateway(valkey_url) as server:
        alice = User()
        async with server.authenticated(alice) as websocket:
            assert (await websocket.next()).type == "ready"
            for number, size in enumerate(
                (1, 100, 125, 126, 65_000, 65_535, 65_536, 200_000), start=1
            ):
                server.market.events(alice, [number], data={"text": "x" * size})
                assert (await websocket.next()).data["data"] == {"text": "x" * size}


async def test_stocks_can_be_subscribed_and_unsubscribed(valkey_url: str) -> None:
    """A new stock starts with its last tick; a removed one sends nothing more."""

    async with gateway(valkey_url) as server, server.authenticated(User(), SAMSUNG) as websocket:
        assert (await websocket.next()).type == "ready"
        server.market.tick(200_000, HYNIX)
        await websocket.send(type="subscribe", stock_codes=["000660"])
        assert (await websocket.next()).data["price"] == 200_000

        await websocket.send(type="unsubscribe", stock_codes=[SAMSUNG])
        channel = f"stock_updates:{SAMSUNG}"
        await until(
            lambda: not dict(server.market.redis.pubsub_numsub(channel))[channel],
            what="the channel is unsubscribed",
        )
        server.market.tick(70_000)
        server.market.tick(200_500, HYNIX)
        assert (await websocket.next()).data["price"] == 200_500


@pytest.mark.parametrize(
    ("message", "code", "close"),
    [
        pytest.param("{", "validation-failed", 1008, id="not JSON"),
        pytest.param("[" * 5_000, "validation-failed", 1008, id="deep"),
        pytest.param("[]", "validation-failed", 1008, id="no object"),
        pytest.param("{}", "unauthorized", 4401, id="no type"),
        pytest.param('{"type": "auth"}', "unauthorized", 4401, id="no token"),
        pytest.param('{"type": "auth", "token": 1}', "unauthorized", 4401, id="a number"),
        pytest.param('{"type": "auth", "token": "a.b.c"}', "unauthorized", 4401, id="no JWT"),
        pytest.param(
            '{"type": "subscribe", "stock_codes": []}', "unauthorized", 4401, id="not signed in"
        ),
        pytest.param(
            '{"type": "auth", "token": "\\ud800"}', "unauthorized", 4401, id="half a character"
        ),
    ],
)
async def test_an_unauthorized_first_message_closes_the_connection(
    valkey_url: str, message: str, code: str, close: int
) -> None:
    async with gateway(valkey_url) as server, server.websocket() as websocket:
        await websocket.websocket.send_str(message)
        refusal = await websocket.next()
        assert (refusal.type, refusal.data["code"]) == ("error", code)
        assert refusal.data["title"]
        assert await websocket.closed() == close


@pytest.mark.parametrize(
    "change",
    [
        {"stock_codes": "A005930"},
        {"stock_codes": ["Samsung"]},
        {"stock_codes": [f"{number:06}" for number in range(CODES_MAX + 1)]},
        {"last_event_id": -1},
        {"last_event_id": "x"},
        {"last_event_id": 10**15},
        {"last_event_id": True},
    ],
)
async def test_invalid_parameters_in_the_first_message_close_the_connection(
    valkey_url: str, change: dict[str, Any]
) -> None:
    async with gateway(valkey_url) as server, server.websocket() as websocket:
        await websocket.send(type="auth", token=User().token(), **change)
        refusal = await websocket.next()
        assert (refusal.type, refusal.data["code"]) == ("error", "validation-failed")
        assert refusal.data["field"] == next(iter(change))
        assert await websocket.closed() == 1008


@pytest.mark.parametrize(
    "message",
    [
        "",
        "null",
        '{"type": "auth", "token": "again"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "stock_codes": [null]}',
        '{"type": ["subscribe"], "stock_codes": []}',
    ],
)
async def test_an_invalid_later_message_closes_the_connection(
    valkey_url: str, message: str
) -> None:
    async with gateway(valkey_url) as server, server.authenticated(User()) as websocket:
        assert (await websocket.next()).type == "ready"
        await websocket.websocket.send_str(message)
        assert (await websocket.next()).data["code"] == "validation-failed"
        assert await websocket.closed() == 1008
        await server.until(what="nothing is left", clients=0)


async def test_at_most_two_hundred_stocks_can_be_followed(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        codes = [f"A{number:06}" for number in range(CODES_MAX)]
        async with server.authenticated(User(), *codes) as websocket:
            assert (await websocket.next()).type == "ready"
            await websocket.send(type="subscribe", stock_codes=[SAMSUNG])
            assert (await websocket.next()).data["limit"] == CODES_MAX
            assert await websocket.closed() == 1008


async def test_binary_and_oversized_messages_are_refused(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        async with server.websocket() as websocket:
            await websocket.websocket.send_bytes(b"\xff")
            assert (await websocket.next()).data["code"] == "unauthorized"
            assert await websocket.closed() == 4401
        async with server.authenticated(User()) as websocket:
            assert (await websocket.next()).type == "ready"
            await websocket.websocket.send_str("x" * 20_000)
            assert await websocket.closed() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_client_without_a_first_message_times_out(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "FIRST_MESSAGE_S", 0.2)

    async with gateway(valkey_url) as server, server.websocket() as websocket:
        assert await websocket.closed() == 4408


async def test_expiry_and_sign_out_are_reported_before_closing(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        soon = datetime.now(UTC) + timedelta(seconds=2)
        alice, bob = User(), User()
        async with server.websocket() as expiring, server.authenticated(bob) as leaving:
            await expiring.send(type="auth", token=alice.token(exp=soon))
            assert [(await expiring.next()).type for _ in range(2)] == ["ready", "expired"]
            assert await expiring.closed() == 4401

            assert (await leaving.next()).type == "ready"
            server.market.sign_out(bob)
            assert (await leaving.next()).type == "signed-out"
            assert await leaving.closed() == 4401
        async with server.authenticated(bob) as refused:
            assert (await refused.next()).data["code"] == "unauthorized"
            assert await refused.closed() == 4401


async def test_shutdown_closes_with_going_away(valkey_url: str) -> None:
    async def stay(url: str, ready: asyncio.Event) -> list[Any]:
        """Return what a client receives, beginning with its authentication."""
        async with aiohttp.ClientSession() as http, http.ws_connect(url) as websocket:
            await websocket.send_json({"type": "auth", "token": User().token()})
            first = (await websocket.receive_json())["type"]
            ready.set()
            second = (await websocket.receive_json())["type"]
            await websocket.receive()
            return [first, second, websocket.close_code]

    ready = asyncio.Event()
    async with gateway(valkey_url) as server:
        staying = asyncio.create_task(stay(f"ws://127.0.0.1:{server.port}/ws", ready))
        await ready.wait()
    assert await staying == ["ready", "closing", 1001]
