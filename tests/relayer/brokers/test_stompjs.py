"""npm's @stomp/stompjs against our server's side of a session, in the sandbox: a client that nobody here wrote understands it."""

import asyncio

import pytest

from tests.relayer.brokers.node import Script, missing
from tests.relayer.brokers.visits import TOPIC
from tests.relayer.harness import toss, until


def test_a_foreign_client_is_served() -> None:
    """Connect, beats over an idle second, a subscription whose id needs escapes, a message, withdrawal and farewell with receipts."""
    reason = missing("@stomp/stompjs") or missing("ws")
    if reason:
        pytest.skip(reason)

    async def serve() -> list[dict[str, object]]:
        said: list[dict[str, object]] = []

        def heard(event: str) -> bool:
            said.extend(client.so_far())
            return event in [line["event"] for line in said]

        async with toss() as stand_in:
            addresses = (f"http://127.0.0.1:{stand_in.port}", f"ws://127.0.0.1:{stand_in.port}/ws")
            with Script("stompjs_client.cjs", *addresses, TOPIC) as client:
                await until(
                    lambda: heard("subscribed"),
                    what="the client is subscribed",
                )
                assert stand_in.server.destinations() == {TOPIC}
                stand_in.server.publish_body(TOPIC, '{"이름": "삼성\\n"}'.encode())
                await until(lambda: heard("closed"), what="the client has left")
                assert stand_in.server.destinations() == set()
        return said

    assert asyncio.run(serve()) == [
        {"event": "connected", "version": "1.2", "heartBeat": "200,200"},
        {"event": "subscribed"},
        {"event": "message", "body": '{"이름": "삼성\\n"}', "subscription": "한:1", "id": "1"},
        {"event": "withdrawn"},
        {"event": "disconnected"},
        {"event": "closed"},
    ]
