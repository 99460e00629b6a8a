"""Toss refuses, disconnects or falls silent: the relayer reconnects with a new token."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
import redis

from relayer.feed.interface import FeedUnavailable
from relayer.feed.stomp_feed import StompFeed
from sandbox.faults import Break, ConnectionEnd, Faults, Moment
from tests.relayer.harness import BEAT_MS, SAMSUNG, Toss, toss, until
from tests.relayer.scenario import ordeal
from trading.marketdata.topics import trade_topic

CLOSED = "the server closed the connection: "
CUT = f"{CLOSED}without a close frame"
SILENT = "no heart-beat came in time"


def breaks(
    at: Moment, ending: ConnectionEnd, writes: str = "", close_code: int = 1000
) -> dict[str, Any]:
    """Return a scenario's settings for one kind of break; fast heart-beats for a silent one."""
    knobs = {"breaks": Break(at=at, ending=ending, writes=writes, close_code=close_code)}
    return {**knobs, "beat_ms": BEAT_MS} if ending is ConnectionEnd.STALL else knobs


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_refused_token_request_is_retried(
    status: int, valkey_url: str, client: "redis.Redis"
) -> None:
    """Without a token no connection is attempted."""

    async with ordeal(client, valkey_url, token_status=status) as scene:
        await scene.lose()
        assert set(scene.reasons()) == {f"the token endpoint answered {status}"}
        assert scene.server.connections_total == 0


async def test_a_slow_token_response_is_awaited(valkey_url: str, client: "redis.Redis") -> None:
    async with ordeal(client, valkey_url, token_delay_ms=1_000) as scene:
        await until(scene.all_served, what="everything is subscribed")
        assert scene.reasons() == []


async def test_a_token_request_without_a_response_is_retried(
    valkey_url: str, client: "redis.Redis"
) -> None:
    async with ordeal(client, valkey_url, token_delay_ms=4_000) as scene:
        await scene.lose(times=1)
        assert scene.reasons() == ["the token endpoint can't be reached: ReadTimeout"]


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        pytest.param(
            breaks(Moment.CONNECT, ConnectionEnd.CLOSE, "ERROR\nmessage:expired {token}\n\n\0"),
            "CONNECT was refused: expired (token)",
            id="ERROR",
        ),
        pytest.param(
            breaks(Moment.CONNECT, ConnectionEnd.CLOSE, "ERROR\n\n만료: {token}\0"),
            "CONNECT was refused: 만료: (token)",
            id="ERROR with a body only",
        ),
        pytest.param(
            breaks(
                Moment.CONNECT, ConnectionEnd.CLOSE, f"ERROR\n\n{'x' * 190}{{token}}{'y' * 190}\0"
            ),
            f"CONNECT was refused: {'x' * 190}(token)yyy",
            id="ERROR with a long body",
        ),
        pytest.param(
            breaks(Moment.CONNECT, ConnectionEnd.CLOSE), f"{CLOSED}code 1000", id="close only"
        ),
        pytest.param(
            breaks(Moment.CONNECT, ConnectionEnd.CLOSE, close_code=1008),
            f"{CLOSED}code 1008",
            id="policy",
        ),
        pytest.param(breaks(Moment.CONNECT, ConnectionEnd.ABORT), CUT, id="abrupt end"),
        pytest.param(breaks(Moment.CONNECT, ConnectionEnd.RESET), CUT, id="reset"),
        pytest.param(
            breaks(Moment.CONNECT, ConnectionEnd.RESET, "CONNEC"), CUT, id="reset in a frame"
        ),
    ],
)
async def test_each_connection_uses_a_new_token(
    knobs: dict[str, Any], reason: str, valkey_url: str, client: "redis.Redis"
) -> None:
    """A refused token, e.g. an expired one, is not reused."""

    async with ordeal(client, valkey_url, **knobs) as scene:
        await scene.lose()
        assert set(scene.reasons()) == {reason}
    assert scene.server.tokens_total == scene.server.connections_total >= 3


async def test_connect_without_an_answer_times_out(valkey_url: str, client: "redis.Redis") -> None:
    async with ordeal(client, valkey_url, **breaks(Moment.CONNECT, ConnectionEnd.STALL)) as scene:
        await scene.lose(times=1)
        assert scene.reasons() == ["CONNECT failed: no answer to CONNECT came in time"]


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        pytest.param(
            breaks(Moment.SUBSCRIBE, ConnectionEnd.CLOSE, "ERROR\nmessage:maintenance\n\n\0"),
            "the server sent ERROR: maintenance",
            id="ERROR",
        ),
        pytest.param(
            breaks(Moment.SUBSCRIBE, ConnectionEnd.CLOSE, "ERROR\n\n점검 {token}\0"),
            "the server sent ERROR: 점검 (token)",
            id="ERROR with a body only",
        ),
        pytest.param(
            breaks(Moment.SUBSCRIBE, ConnectionEnd.CLOSE, close_code=1011),
            f"{CLOSED}code 1011",
            id="close",
        ),
        pytest.param(breaks(Moment.SUBSCRIBE, ConnectionEnd.ABORT), CUT, id="abrupt end"),
        pytest.param(breaks(Moment.SUBSCRIBE, ConnectionEnd.RESET), CUT, id="reset"),
        pytest.param(
            breaks(Moment.SUBSCRIBE, ConnectionEnd.RESET, "RECEIPT\nreceipt-"),
            CUT,
            id="reset in a frame",
        ),
        pytest.param(breaks(Moment.SUBSCRIBE, ConnectionEnd.STALL), SILENT, id="half-open"),
        pytest.param(
            breaks(
                Moment.MESSAGE,
                ConnectionEnd.CLOSE,
                "ERROR\nmessage:no more for {token}\nreceipt-id:77\n\n\0",
            ),
            "the server sent ERROR: no more for (token)",
            id="ERROR in mid-stream",
        ),
        *(
            pytest.param(
                breaks(Moment.MESSAGE, ConnectionEnd.CLOSE, close_code=code),
                f"{CLOSED}code {code}",
                id=str(code),
            )
            for code in (1000, 1001, 1008, 1011, 1012, 4000, 4999)
        ),
        pytest.param(breaks(Moment.MESSAGE, ConnectionEnd.ABORT), CUT, id="1006"),
        pytest.param(breaks(Moment.MESSAGE, ConnectionEnd.RESET), CUT, id="reset in mid-stream"),
        pytest.param(
            breaks(
                Moment.MESSAGE, ConnectionEnd.ABORT, 'MESSAGE\nsubscription:sub-1\n\n{"close":7'
            ),
            CUT,
            id="cut",
        ),
        pytest.param(
            breaks(Moment.MESSAGE, ConnectionEnd.STALL), SILENT, id="half-open in mid-stream"
        ),
    ],
)
async def test_all_subscriptions_return_after_any_kind_of_break(
    knobs: dict[str, Any], reason: str, valkey_url: str, client: "redis.Redis"
) -> None:
    async with ordeal(client, valkey_url, **knobs) as scene:
        await scene.lose()
        assert set(scene.reasons()) == {reason}


async def test_lost_connections_leak_no_resources() -> None:
    """No socket, thread or task remains: a relayer may lose Toss every half minute for weeks."""
    endings = (ConnectionEnd.CLOSE, ConnectionEnd.ABORT, ConnectionEnd.RESET)

    def is_over() -> bool:
        fetching = [thread for thread in threading.enumerate() if thread.name == "guest-token"]
        return not fetching and asyncio.all_tasks() == {asyncio.current_task()}

    async def lose_some(stand_in: Toss, feed: StompFeed) -> int:
        """Lose a dozen connections; return the number of open files and sockets."""
        for ending in endings * 4:
            stand_in.server.faults = Faults(**breaks(Moment.SUBSCRIBE, ending))
            await feed.connect()
            await feed.subscribe([trade_topic(SAMSUNG)])
            with pytest.raises(FeedUnavailable):
                await anext(feed.events())
            await feed.close()
        await until(is_over, what="all tasks and threads are over")
        return len(list(Path("/proc/self/fd").iterdir()))

    async with toss() as stand_in:
        url = f"127.0.0.1:{stand_in.port}"
        feed = StompFeed(
            api_url=f"http://{url}", websocket_url=f"ws://{url}/ws", heart_beat_ms=BEAT_MS
        )
        assert await lose_some(stand_in, feed) == await lose_some(stand_in, feed)
