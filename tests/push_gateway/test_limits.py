"""Requests that the gateway refuses, and isolation from clients that do not read."""

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from tests.push_gateway.harness import HYNIX, SAMSUNG, SECRET, Server, User, gateway, token
from tests.support.deadlines import DEADLINE_S
from trading.problems import MIMETYPE

CLAIMS = {
    "type": "access",
    "sub": str(User().id),
    "sid": User().id.hex,
    "exp": 4_000_000_000,
    "iss": "stocking",
}
APP = "https://app.example.com"


async def problem(
    server: Server, path: str = "", *, method: str = "GET", **more: Any
) -> dict[str, Any]:
    """Return the problem that answers a refused request, after checking its form."""
    url = f"http://127.0.0.1:{server.port}{path}" if path else server.stream_url
    async with server.http.request(method, url, **more) as response:
        assert response.content_type == MIMETYPE, await response.text()
        body: dict[str, Any] = await response.json(content_type=MIMETYPE)
        assert body["status"] == response.status
        assert body["request_id"] == response.headers["X-Request-ID"]
        assert body["title"]
        assert body["detail"]
        assert ("WWW-Authenticate" in response.headers) == (response.status == 401)
        assert ("Retry-After" in response.headers) == (
            response.status == 503 or "retry_after_s" in body
        )
        return body


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("", id="none"),
        pytest.param(token(CLAIMS), id="no scheme"),
        pytest.param("Bearer a.b.c", id="no JWT"),
        pytest.param("Bearer " + "x" * 5_000, id="endless"),
        pytest.param("Bearer " + token(CLAIMS, secret=SECRET + "!"), id="another secret"),
        pytest.param(
            "Bearer " + token(CLAIMS, secret=SECRET, algorithm="HS512"), id="another algorithm"
        ),
        pytest.param("Bearer " + token(CLAIMS, secret=None, algorithm="none"), id="no signature"),
        pytest.param("Bearer " + token({**CLAIMS, "type": "refresh"}), id="a refresh token"),
        pytest.param("Bearer " + token({**CLAIMS, "exp": 1}), id="expired"),
        pytest.param("Bearer " + token({**CLAIMS, "iss": "another"}), id="another issuer"),
        pytest.param("Bearer " + token({**CLAIMS, "sub": "me"}), id="no user"),
        pytest.param("Bearer " + token({**CLAIMS, "sid": None}), id="no session"),
        pytest.param("Bearer " + token({**CLAIMS, "exp": 10**17}), id="beyond all times"),
        pytest.param("Bearer " + token({**CLAIMS, "nbf": 3_900_000_000}), id="not yet valid"),
        pytest.param("Bearer " + token({**CLAIMS, "type": "admin"}), id="another type"),
        pytest.param(
            "Bearer " + token({n: CLAIMS[n] for n in CLAIMS if n != "type"}), id="no type"
        ),
        pytest.param(
            "Bearer " + token({n: CLAIMS[n] for n in CLAIMS if n != "iss"}), id="no issuer"
        ),
        pytest.param(
            "Bearer " + token(CLAIMS).rpartition(".")[0] + ".", id="its signature cut off"
        ),
        pytest.param(f"Bearer {token(CLAIMS)},{token(CLAIMS)}", id="two"),
        pytest.param(
            "Bearer " + token({name: CLAIMS[name] for name in CLAIMS if name != "exp"}),
            id="no expiry",
        ),
    ],
)
async def test_only_a_valid_access_token_is_accepted(valkey_url: str, given: str) -> None:
    async with gateway(valkey_url) as server:
        body = await problem(
            server,
            headers={"Authorization": given} if given else {},
            params={"stock_codes": "x"},
        )
        assert body["code"] == "unauthorized"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ([("stock_codes", "Samsung")], "stock_codes"),
        ([("stock_codes", f"{number:06}") for number in range(201)], "stock_codes"),
        ([("last_event_id", "-1")], "last_event_id"),
        ([("last_event_id", "9" * 16)], "last_event_id"),
    ],
)
async def test_invalid_parameters_are_refused(
    valkey_url: str, params: list[tuple[str, str]], field: str
) -> None:
    async with gateway(valkey_url) as server:
        headers = {"Authorization": f"Bearer {User().token()}"}
        body = await problem(server, params=params, headers=headers)
        assert (body["code"], body["status"], body["field"]) == (
            "validation-failed",
            422,
            field,
        )


async def test_unknown_paths_and_methods_are_problems(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        assert (await problem(server, "/api/v1/trading/orders"))["code"] == "not-found"
        assert (await problem(server, method="POST"))["code"] == "method-not-allowed"
        headers = {"Authorization": f"Bearer {User().token()}"}
        assert (await problem(server, "/ws", headers=headers))["code"] == "malformed-request"


async def test_users_and_the_gateway_have_stream_limits(valkey_url: str) -> None:
    async with gateway(valkey_url, GATEWAY_CLIENTS_MAX="3", GATEWAY_CLIENTS_PER_USER="2") as server:
        alice = User()
        async with server.stream(alice) as one, server.stream(User(id=alice.id)) as two:
            await one.next()
            await two.next()
            bearer = {"Authorization": f"Bearer {alice.token()}"}
            body = await problem(server, headers=bearer)
            assert (body["code"], body["status"], body["limit"]) == (
                "stream-limit-reached",
                429,
                2,
            )
            async with server.authenticated(alice) as websocket:
                assert (await websocket.next()).data["code"] == "stream-limit-reached"
                assert await websocket.closed() == 4429
            await server.until(what="its slot is free again", places=2)
            async with server.stream(User()) as three:
                await three.next()
                body = await problem(server, headers={"Authorization": f"Bearer {User().token()}"})
                assert (body["code"], body["status"], body["limit"]) == (
                    "too-many-streams",
                    503,
                    3,
                )
                with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                    async with server.websocket():
                        pass
        await server.until(what="all are gone", clients=0, places=0)
        async with server.stream(alice) as again:
            await again.next()


async def test_connections_per_user_and_minute_are_limited(valkey_url: str) -> None:
    """For SSE and WebSocket together; other users are not affected."""

    async with gateway(valkey_url, GATEWAY_CONNECTS_PER_MINUTE="2") as server:
        alice = User()
        for _ in range(2):
            async with server.stream(alice) as stream:
                await stream.next()
        body = await problem(server, headers={"Authorization": f"Bearer {alice.token()}"})
        assert (body["code"], body["status"], body["limit"], body["window_s"]) == (
            "rate-limited",
            429,
            2,
            60,
        )
        assert 1 <= body["retry_after_s"] <= 60
        async with server.authenticated(alice) as websocket:
            assert (await websocket.next()).data["code"] == "rate-limited"
            assert await websocket.closed() == 4429
        async with server.stream(User()) as other:
            await other.next()


async def test_unauthenticated_connections_per_address_are_limited(valkey_url: str) -> None:
    """A hundred may wait, the next is refused, and other addresses are accepted.

    A trusted proxy distinguishes clients.
    """

    async with (
        gateway(valkey_url, TRUSTED_PROXIES="127.0.0.1") as server,
        AsyncExitStack() as stack,
    ):
        flood = {"X-Forwarded-For": "198.51.100.7"}
        for _ in range(100):
            await stack.enter_async_context(server.websocket(**flood))
        one_more = await stack.enter_async_context(server.websocket(**flood))
        assert (await one_more.next()).data["code"] == "rate-limited"
        assert await one_more.closed() == 4429
        async with server.websocket(**{"X-Forwarded-For": "198.51.100.8"}) as other:
            await other.send(type="auth", token=User().token())
            assert (await other.next()).type == "ready"


async def test_origins_of_the_api_apply_to_the_gateway_by_default(valkey_url: str) -> None:
    async def check_preflight(listed: bool, **settings: str) -> None:
        async with (
            gateway(valkey_url, **settings) as server,
            server.http.options(server.stream_url, headers={"Origin": APP}) as preflight,
        ):
            assert (preflight.status == 204) == listed

    await check_preflight(True, API_ALLOWED_ORIGINS=APP)
    await check_preflight(
        False, API_ALLOWED_ORIGINS=APP, GATEWAY_ALLOWED_ORIGINS="https://other.example.com"
    )


async def test_only_listed_origins_and_its_own_may_use_it_from_a_browser(valkey_url: str) -> None:
    async with gateway(
        valkey_url, GATEWAY_ALLOWED_ORIGINS=f"{APP}, http://localhost:3000"
    ) as server:
        own = f"http://127.0.0.1:{server.port}"
        async with server.http.options(server.stream_url, headers={"Origin": APP}) as preflight:
            assert preflight.status == 204
            assert preflight.headers["Access-Control-Allow-Origin"] == APP
            assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        async with (
            server.stream(User(), Origin=APP) as listed,
            server.stream(User(), Origin=own) as same,
        ):
            assert listed.response.headers["Access-Control-Allow-Origin"] == APP
            assert "Access-Control-Allow-Origin" not in same.response.headers
        async with server.websocket(Origin=APP), server.websocket(Origin=own):
            pass
        for origin in ("https://evil.example", "null", "http://[", f"{APP}.evil.example"):
            body = await problem(
                server, headers={"Origin": origin, "Authorization": f"Bearer {User().token()}"}
            )
            assert body["code"] == "forbidden"
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                async with server.websocket(Origin=origin):
                    pass


def silent_client(server: Server, user: User, code: str) -> socket.socket:
    """Return a client that sends a request and never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect(("127.0.0.1", server.port))
    path = server.stream_url.partition(str(server.port))[2]
    connection.sendall(
        (
            f"GET {path}?stock_codes={code} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {user.token()}\r\n\r\n"
        ).encode()
    )
    return connection


async def test_a_client_that_never_reads_is_disconnected_without_delaying_others(
    valkey_url: str,
) -> None:
    """Its ticks are conflated, one per stock. It is cut off and counted after a second."""

    async with gateway(valkey_url, STREAM_STALL_S="1") as server:
        with silent_client(server, User(), SAMSUNG):
            await server.until(what="the silent client is connected", clients=1)
            async with server.stream(User(), HYNIX) as stream:
                await stream.next()
                price = 0
                async with asyncio.timeout(DEADLINE_S):
                    while (await server.health())["clients"] == 2:
                        price += 1
                        with server.market.redis.pipeline() as pipeline:
                            tick = server.market.tick(price, HYNIX)
                            for _ in range(10):
                                pipeline.publish(
                                    f"stock_updates:{SAMSUNG}",
                                    server.market.next_tick(1).to_json(),
                                )
                            pipeline.execute()
                        while (await stream.next()).data["position"] != str(tick.position):
                            pass
                assert price > 1
        assert (await server.metrics())["gateway_slow_clients_disconnected_total"] == 1


async def test_unread_account_events_end_the_connection(valkey_url: str) -> None:
    """Long before the stall timeout; the client returns with its last id and misses nothing."""

    async with gateway(valkey_url, STREAM_STALL_S="600") as server:
        dead = User()
        with silent_client(server, dead, SAMSUNG) as connection:
            await server.until(what="the silent client is connected", clients=1)
            number = 0
            async with asyncio.timeout(DEADLINE_S):
                while (await server.health())["clients"]:
                    number += 20
                    server.market.events(
                        dead, range(number - 19, number + 1), data={"text": "x" * 5_000}
                    )
            got = await asyncio.to_thread(read_rest, connection)
        assert (await server.metrics())["gateway_slow_clients_disconnected_total"] == 1
        ids = [
            int(line.removeprefix("id: ")) for line in got.splitlines() if line.startswith("id: ")
        ]
        assert ids == list(range(ids[0], ids[-1] + 1))
        assert ids[-1] < number


def read_rest(connection: socket.socket) -> str:
    """Return what a client received before it was cut off."""
    connection.settimeout(DEADLINE_S)
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts).decode(errors="replace")
