"""Redis stops, freezes, returns empty or cuts the connection: clients stay and miss nothing."""

import asyncio

from launcher.ports import free_port
from tests.push_gateway.harness import SAMSUNG, Stream, User, flush, gateway
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey
from trading.problems import MIMETYPE


async def until_live(stream: Stream) -> list[str]:
    """Return the kinds of events until the gateway reports that Redis is back."""
    kinds = []
    while True:
        event = await stream.next()
        kinds.append(event.type)
        if event.type == "status" and event.data["live"]:
            return kinds


async def test_a_redis_restart_loses_no_event(valkey_url: str, valkey_server: Valkey) -> None:
    """Redis returns empty and is filled again; clients must resync, as more may be missing."""

    async with gateway(valkey_url) as server:
        alice = User()
        server.market.events(alice, [1, 2])
        server.market.tick(70_000)
        async with server.stream(alice, SAMSUNG) as stream:
            assert [(await stream.next()).type for _ in range(2)] == ["ready", "tick"]
            valkey_server.stop()
            try:
                lost = await stream.next()
                assert (lost.type, lost.data) == ("status", {"live": False})
                async with server.http.get(
                    server.stream_url, headers={"Authorization": f"Bearer {User().token()}"}
                ) as refused:
                    assert (refused.status, refused.content_type) == (503, MIMETYPE)
                    assert (await refused.json(content_type=MIMETYPE))[
                        "code"
                    ] == "upstream-unavailable"
            finally:
                # In this thread: the process ends with the thread that started it.
                valkey_server.start()
            assert await until_live(stream) == ["status"]
            resync = await stream.next()
            assert (resync.type, resync.data) == ("resync", {"after": 2})
            server.market.events(alice, [3])
            server.market.tick(71_000)
            assert {(await stream.next()).type for _ in range(2)} == {"fill", "tick"}


async def test_a_cut_connection_loses_nothing(valkey_url: str) -> None:
    """Missed events are read from the stream, and the last ticks again."""

    async with gateway(valkey_url) as server:
        alice = User()
        server.market.events(alice, [1])
        async with server.stream(alice, SAMSUNG) as stream:
            assert (await stream.next()).type == "ready"
            server.market.redis.client_kill_filter(_type="pubsub")
            server.market.events(alice, range(2, 160))
            server.market.tick(70_000)
            got = [await stream.next() for _ in range(161)]
            kinds = [event.type for event in got]
            assert kinds.count("status") == 2
            assert [event.id for event in got if event.type == "fill"] == list(range(2, 160))
            assert kinds.count("tick") == 1


async def test_a_frozen_redis_is_detected_and_so_is_its_return(
    valkey_url: str, valkey_server: Valkey
) -> None:
    async with gateway(valkey_url) as server:
        alice = User()
        server.market.events(alice, [1])
        async with server.stream(alice) as stream:
            assert (await stream.next()).type == "ready"
            valkey_server.pause()
            try:
                assert (await stream.next()).data == {"live": False}
            finally:
                valkey_server.resume()
            assert await until_live(stream) == ["status"]
            server.market.events(alice, [2])
            assert (await stream.next()).id == 2


async def test_a_session_ended_during_an_outage_ends_after_it(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        alice = User()
        async with server.stream(alice) as stream:
            assert (await stream.next()).type == "ready"
            server.market.redis.client_kill_filter(_type="pubsub")
            server.market.sign_out(alice)
            async with asyncio.timeout(DEADLINE_S):
                while (await stream.next()).type != "signed-out":
                    pass
            assert await stream.ended()


async def test_an_emptied_redis_that_stays_connected_causes_a_resync(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        alice = User()
        server.market.events(alice, [1, 2, 3])
        async with server.stream(alice) as stream:
            assert (await stream.next()).id == 3
            await asyncio.to_thread(flush, valkey_url)
            server.market.events(alice, [5])
            resync = await stream.next()
            assert (resync.type, resync.data) == ("resync", {"after": 3})
            server.market.events(alice, [6])
            assert (await stream.next()).id == 6


async def test_foreign_messages_are_ignored(valkey_url: str) -> None:
    async with gateway(valkey_url) as server:
        alice = User()
        async with server.stream(alice, SAMSUNG) as stream:
            assert (await stream.next()).type == "ready"
            for channel in server.market.redis.pubsub_channels("*"):
                for text in (
                    b"",
                    b"\xff\xfe",
                    b"{}",
                    b"[" * 3_000,
                    b"null",
                    b'{"id": 1e999}',
                    b"\x00",
                ):
                    server.market.redis.publish(channel, text)
            server.market.events(alice, [1])
            assert (await stream.next()).id == 1
            server.market.tick(70_000)
            assert (await stream.next()).data["price"] == 70_000


async def test_a_gateway_without_redis_answers_and_waits_for_it() -> None:
    async with gateway(f"redis://127.0.0.1:{free_port()}/0", live=False) as server:
        assert (await server.health())["redis"] is False
        headers = {"Authorization": f"Bearer {User().token()}"}
        async with server.http.get(server.stream_url, headers=headers) as refused:
            assert refused.status == 503
