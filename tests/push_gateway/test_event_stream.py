"""Server-sent events of the gateway."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from tests.push_gateway.harness import HYNIX, SAMSUNG, Server, Stream, User, gateway
from tests.relayer.harness import until
from trading.problems import MIMETYPE
from trading.redis import keys


async def next_ids(stream: Stream, count: int) -> list[int | None]:
    """Return the ids of the next events."""
    return [(await stream.next()).id for _ in range(count)]


async def test_stream_starts_with_last_ticks_then_sends_live_ticks_and_own_events(
    valkey_url: str,
) -> None:
    async with gateway(valkey_url) as server:
        alice, bob = User(), User()
        server.market.tick(70_000)
        server.market.events(alice, [1, 2])
        async with server.stream(alice, "005930", HYNIX) as stream:
            assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert stream.response.headers["Cache-Control"] == "no-store"
            ready = await stream.next()
            assert (ready.type, ready.id, ready.data) == ("ready", 2, {"last_event_id": 2})
            snapshot = await stream.next()
            assert (snapshot.type, snapshot.id) == ("tick", None)
            assert (snapshot.data["stock_code"], snapshot.data["price"]) == (SAMSUNG, 70_000)

            server.market.tick(200_000, HYNIX)
            live = await stream.next()
            assert (live.data["stock_code"], live.data["price"]) == (HYNIX, 200_000)

            server.market.events(bob, [1])
            server.market.events(alice, [3])
            event = await stream.next()
            assert (event.type, event.id, event.data["data"]) == ("fill", 3, {"no": 3})


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_returning_client_receives_the_events_it_missed(
    valkey_url: str, by_header: bool
) -> None:
    async with gateway(valkey_url) as server:
        alice = User()
        server.market.events(alice, range(1, 251))
        headers = {"Last-Event-ID": "3"} if by_header else {}
        async with server.stream(
            alice, query={} if by_header else {"last_event_id": "3"}, **headers
        ) as stream:
            assert await next_ids(stream, 248) == list(range(3, 251))
            server.market.events(alice, [251])
            assert await next_ids(stream, 1) == [251]


async def test_unknown_query_parameter_is_refused(valkey_url: str) -> None:
    """By name; the health check ignores what a load balancer adds."""
    async with gateway(valkey_url) as server:
        query = {"stock_code": SAMSUNG}
        async with server.stream(User(), HYNIX, status=422, query=query) as refused:
            body = await refused.response.json(content_type=MIMETYPE)
            assert body["code"] == "unknown-query-parameter"
            assert (body["parameters"], body["known"]) == (
                ["stock_code"],
                ["stock_codes", "last_event_id"],
            )
        async with server.http.get(f"http://127.0.0.1:{server.port}/healthz?probe=1") as answer:
            assert answer.status == 200


async def test_events_no_longer_in_redis_require_a_resync(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        alice = User()
        server.market.events(alice, range(1, 3 + keys.ACCOUNT_STREAM_MAXLEN))
        async with server.stream(alice, **{"Last-Event-ID": "1"}) as stream:
            assert (await stream.next()).data == {"last_event_id": 1}
            resync = await stream.next()
            assert (resync.type, resync.id, resync.data) == ("resync", None, {"after": 1})
            server.market.events(alice, [3 + keys.ACCOUNT_STREAM_MAXLEN])
            assert await next_ids(stream, 1) == [3 + keys.ACCOUNT_STREAM_MAXLEN]


async def test_events_published_while_clients_connect_arrive_exactly_once(valkey_url: str) -> None:
    """Covers the time between subscribing and reading: fifty clients, two hundred events."""

    async def follow(server: Server, user: User) -> None:
        async with server.stream(user) as stream:
            first = (await stream.next()).id
            assert first is not None
            assert await next_ids(stream, 200 - first) == list(range(first + 1, 201))

    async with gateway(valkey_url, GATEWAY_CLIENTS_PER_USER="50") as server:
        alice = User()
        following = [asyncio.create_task(follow(server, alice)) for _ in range(50)]
        for number in range(1, 201):
            await asyncio.to_thread(server.market.events, alice, [number])
        await asyncio.gather(*following)


async def test_an_expired_token_ends_the_stream(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        soon = datetime.now(UTC) + timedelta(seconds=3)
        async with server.stream(User(), claims={"exp": soon}) as stream:
            assert [(await stream.next()).type for _ in range(2)] == ["ready", "expired"]
            assert datetime.now(UTC) >= soon - timedelta(seconds=1)
            assert await stream.ended()


async def test_signing_out_ends_only_the_streams_of_that_session(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        phone = User()
        laptop = User(id=phone.id)
        async with server.stream(phone) as ended, server.stream(laptop) as spared:
            assert [(await stream.next()).type for stream in (ended, spared)] == [
                "ready",
                "ready",
            ]
            server.market.sign_out(phone)
            assert (await ended.next()).type == "signed-out"
            assert await ended.ended()

            server.market.events(laptop, [1])
            assert await next_ids(spared, 1) == [1]
        async with server.stream(phone, status=401) as refused:
            assert (await refused.response.json())["code"] == "unauthorized"


async def test_a_disconnected_client_frees_its_slot_and_channels(valkey_url: str) -> None:

    async with gateway(valkey_url) as server:
        async with server.stream(User(), SAMSUNG) as stream:
            await stream.next()
            await server.until(what="the client counts", clients=1)
            assert len(server.market.redis.pubsub_channels("*")) == 3
        await server.until(what="the client is gone", clients=0)
        await until(
            lambda: server.market.redis.pubsub_channels("*") == [keys.REVOCATIONS],
            what="the channels are unsubscribed",
        )


async def test_shutdown_asks_every_client_to_reconnect(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        answers = [asyncio.create_task(read_all(server, User())) for _ in range(3)]
        await server.until(what="all are connected", clients=3)
    texts = await asyncio.gather(*answers)
    for text in texts:
        *_, last = text.strip().split("\n\n")
        retry, kind, _ = last.split("\n")
        assert kind == "event: closing"
        assert 2_000 <= int(retry.removeprefix("retry: ")) < 7_000


async def read_all(server: Server, user: User) -> str:
    """Return what a client reads until the server ends the stream."""
    headers = {"Authorization": f"Bearer {user.token()}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(server.stream_url, headers=headers) as response,
    ):
        return await response.text()
