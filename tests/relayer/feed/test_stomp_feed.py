"""The feed with misbehaving servers: every loss has a reason and raises only FeedUnavailable."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from launcher.ports import free_port
from relayer.feed.destinations import DestinationStyle
from relayer.feed.interface import (
    FeedEvent,
    FeedUnavailable,
    SubscriptionConfirmed,
    SubscriptionUnconfirmed,
    TradeMessage,
)
from relayer.feed.stomp_feed import StompFeed
from tests.relayer.harness import SAMSUNG, toss
from tests.support.deadlines import DEADLINE_S
from trading.marketdata.topics import trade_topic

TOPIC = trade_topic(SAMSUNG)
CONNECTED = b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0"
Script = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def scripted(
    script: Script,
    subprotocol: str = "v12.stomp",
    destination_style: DestinationStyle = "slashes",
    silence_s: float = DEADLINE_S,
    receipt_timeout_s: float = DEADLINE_S,
) -> AsyncIterator[StompFeed]:
    """Yield a feed with a sandbox token and a socket served by ``script``."""
    async with (
        toss() as stand_in,
        serve(
            script, "127.0.0.1", 0, subprotocols=[Subprotocol(subprotocol)], close_timeout=0.2
        ) as server,
    ):
        port = next(iter(server.sockets)).getsockname()[1]
        feed = StompFeed(
            api_url=f"http://127.0.0.1:{stand_in.port}",
            websocket_url=f"ws://127.0.0.1:{port}/ws",
            heart_beat_ms=5_000,
            receipt_timeout_s=receipt_timeout_s,
            destination_style=destination_style,
            silence_s=silence_s,
        )
        try:
            yield feed
        finally:
            await feed.close()


def _header(frame: str, name: str) -> str:
    return frame.partition(f"\n{name}:")[2].partition("\n")[0]


async def drain(feed: StompFeed) -> tuple[list[FeedEvent], str]:
    """Return all events until the feed is lost, and the reason."""
    found = []
    try:
        async for event in feed.events():
            found.append(event)  # noqa: PERF401 - a comprehension would lose what came before the end
    except FeedUnavailable as lost:
        return found, str(lost)
    raise AssertionError("A feed ended without a reason.")


async def test_a_silent_server_without_heart_beats_is_dropped() -> None:
    """Nothing else shows whether it is alive."""

    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(CONNECTED.decode())
        await socket.wait_closed()

    async with scripted(script, silence_s=0.5) as feed:
        await feed.connect()
        result = await drain(feed)
    assert result == ([], "no data for 0.5 s")


async def connect_and_drain(
    script: Script, *, receipt_timeout_s: float = DEADLINE_S
) -> tuple[list[FeedEvent], str]:
    async with scripted(script, receipt_timeout_s=receipt_timeout_s) as feed:
        await feed.connect()
        await feed.subscribe([TOPIC])
        return await drain(feed)


async def test_frames_may_be_split_joined_and_binary() -> None:
    """One frame in two messages, or two frames and a heart-beat in one, as text or binary."""

    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(CONNECTED.decode())
        await socket.recv()
        await socket.send(
            b"\nRECEIPT\nreceipt-id:sub-1-sub_receipt\n\n\0\nMESSAGE\nsubscription:sub-1\n\n1\0MESS"
        )
        await socket.send("AGE\nsubscription:sub-1\n\n2\0\n")
        await socket.close(1012)

    events, reason = await connect_and_drain(script)

    assert events == [
        SubscriptionConfirmed(destination=TOPIC),
        TradeMessage(destination=TOPIC, body=b"1"),
        TradeMessage(destination=TOPIC, body=b"2"),
    ]
    assert reason == "the server closed the connection: code 1012"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param("NONSENSE\n\n\0", "the command is unknown", id="no STOMP"),
        pytest.param("CONNECTED\n\n\0", "CONNECTED came while CONNECTED", id="CONNECTED again"),
        pytest.param(
            "ERROR\nmessage:maintenance\n\n\0", "the server sent ERROR: maintenance", id="ERROR"
        ),
    ],
)
async def test_a_server_error_ends_the_connection_with_its_reason(frame: str, reason: str) -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(CONNECTED.decode())
        await socket.recv()
        await socket.send(frame)
        await socket.wait_closed()

    assert await connect_and_drain(script) == ([], reason)


async def test_an_abrupt_close_has_a_reason() -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(CONNECTED.decode())
        await socket.recv()
        socket.transport.abort()

    assert await connect_and_drain(script) == (
        [],
        "the server closed the connection: without a close frame",
    )


async def test_a_refused_token_is_not_part_of_the_reason() -> None:
    """Servers often repeat what they refuse, and the reason is logged."""

    async def script(socket: ServerConnection) -> None:
        connect = str(await socket.recv())
        token = connect.partition("authorization:")[2].partition("\n")[0]
        await socket.send(f"ERROR\nmessage:no such token {token}\n\n\0")
        await socket.wait_closed()

    async with scripted(script) as feed:
        with pytest.raises(
            FeedUnavailable, match=r"^CONNECT was refused: no such token \(token\)$"
        ):
            await feed.connect()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(
            "CONNECTED\nversion:9\n\n\0",
            "CONNECT failed: the server uses an unknown version",
            id="version",
        ),
        pytest.param(None, "the server closed the connection: code 1000", id="closed silently"),
    ],
)
async def test_a_failed_connect_has_a_reason(answer: str | None, reason: str) -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        if answer is not None:
            await socket.send(answer)
            await socket.wait_closed()

    async with scripted(script) as feed:
        with pytest.raises(FeedUnavailable, match=f"^{reason}$"):
            await feed.connect()


async def test_another_subprotocol_is_refused() -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with scripted(script, subprotocol="mqtt") as feed:
        with pytest.raises(FeedUnavailable, match="socket can't be opened"):
            await feed.connect()


async def test_an_unreachable_server_has_a_reason() -> None:
    async with toss() as stand_in:
        feed = StompFeed(
            api_url=f"http://127.0.0.1:{stand_in.port}",
            websocket_url=f"ws://127.0.0.1:{free_port()}/ws",
            heart_beat_ms=0,
        )
        with pytest.raises(FeedUnavailable, match="socket can't be opened: ConnectionRefusedError"):
            await feed.connect()


async def test_subscribing_without_a_connection_raises() -> None:
    feed = StompFeed(
        api_url="http://127.0.0.1:1", websocket_url="ws://127.0.0.1:1/ws", heart_beat_ms=0
    )
    await feed.close()
    assert feed.subscribed == frozenset()
    with pytest.raises(FeedUnavailable):
        await feed.subscribe([TOPIC])


async def test_destinations_are_sent_in_the_servers_format() -> None:
    """Events carry the original format."""
    received: list[str] = []

    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(CONNECTED.decode())
        received.append(_header(str(await socket.recv()), "destination"))
        await socket.send(f"MESSAGE\nsubscription:sub-1\ndestination:{received[0]}\n\n1\0")
        await socket.close()

    async with scripted(script, destination_style="dots") as feed:
        await feed.connect()
        await feed.subscribe([TOPIC])
        assert feed.subscribed == {TOPIC}
        events = (await drain(feed))[0]

    assert received == ["/topic/v1.kr.stock.trade.A005930"]
    assert events == [
        SubscriptionConfirmed(destination=TOPIC),
        TradeMessage(destination=TOPIC, body=b"1"),
    ]


async def test_an_unconfirmed_subscription_is_sent_again() -> None:
    """The connection stays, and the destination stays subscribed."""

    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(CONNECTED.decode())
        frames = [str(await socket.recv()) for _ in range(3)]
        assert frames[1].startswith("UNSUBSCRIBE\nid:sub-1\n")
        assert frames[2].startswith("SUBSCRIBE\nid:sub-2\n")
        await socket.close()

    events, _ = await connect_and_drain(script, receipt_timeout_s=0.3)
    assert events == [SubscriptionUnconfirmed(destination=TOPIC)]


async def test_close_sends_unsubscribe_and_disconnect() -> None:
    """The server never answers DISCONNECT; the wait for it is bounded."""
    received: list[str] = []

    async def script(socket: ServerConnection) -> None:
        received.append(str(await socket.recv()))
        await socket.send(CONNECTED.decode())
        async for message in socket:
            received.append(str(message))  # noqa: PERF401 - the other side reads concurrently

    async with scripted(script) as feed:
        await feed.connect()
        await feed.subscribe([TOPIC])
        await feed.close()
    assert [frame.partition("\n")[0] for frame in received] == [
        "CONNECT",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "DISCONNECT",
    ]
