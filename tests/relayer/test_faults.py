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
from tests.relayer.scenario import run_scenario
from trading.marketdata.topics import trade_topic

CLOSED = "the server closed the connection: "
CUT = f"{CLOSED}without a close frame"
SILENT = "no heart-beat came in time"


def break_options(
    at: Moment, ending: ConnectionEnd, writes: str = "", close_code: int = 1000
) -> dict[str, Any]:
    """Return a scenario's settings for one kind of break; fast heart-beats for a silent one."""
    options = {"breaks": Break(at=at, ending=ending, writes=writes, close_code=close_code)}
    return {**options, "beat_ms": BEAT_MS} if ending is ConnectionEnd.STALL else options


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_refused_token_request_is_retried(
    status: int, valkey_url: str, client: "redis.Redis"
) -> None:
    """Without a token no connection is attempted."""

    async with run_scenario(client, valkey_url, token_status=status) as scenario:
        await scenario.wait_for_losses()
        assert set(scenario.reasons()) == {f"the token endpoint answered {status}"}
        assert scenario.server.connections_total == 0


async def test_a_slow_token_response_is_awaited(valkey_url: str, client: "redis.Redis") -> None:
    async with run_scenario(client, valkey_url, token_delay_ms=1_000) as scenario:
        await until(scenario.all_subscribed, what="everything is subscribed")
        assert scenario.reasons() == []


async def test_a_token_request_without_a_response_is_retried(
    valkey_url: str, client: "redis.Redis"
) -> None:
    async with run_scenario(client, valkey_url, token_delay_ms=4_000) as scenario:
        await scenario.wait_for_losses(times=1)
        assert scenario.reasons() == ["the token endpoint can't be reached: ReadTimeout"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(
            break_options(
                Moment.CONNECT, ConnectionEnd.CLOSE, "ERROR\nmessage:expired {token}\n\n\0"
            ),
            "CONNECT was refused: expired (token)",
            id="ERROR",
        ),
        pytest.param(
            break_options(Moment.CONNECT, ConnectionEnd.CLOSE, "ERROR\n\n만료: {token}\0"),
            "CONNECT was refused: 만료: (token)",
            id="ERROR with a body only",
        ),
        pytest.param(
            break_options(
                Moment.CONNECT, ConnectionEnd.CLOSE, f"ERROR\n\n{'x' * 190}{{token}}{'y' * 190}\0"
            ),
            f"CONNECT was refused: {'x' * 190}(token)yyy",
            id="ERROR with a long body",
        ),
        pytest.param(
            break_options(Moment.CONNECT, ConnectionEnd.CLOSE),
            f"{CLOSED}code 1000",
            id="close only",
        ),
        pytest.param(
            break_options(Moment.CONNECT, ConnectionEnd.CLOSE, close_code=1008),
            f"{CLOSED}code 1008",
            id="policy",
        ),
        pytest.param(break_options(Moment.CONNECT, ConnectionEnd.ABORT), CUT, id="abrupt end"),
        pytest.param(break_options(Moment.CONNECT, ConnectionEnd.RESET), CUT, id="reset"),
        pytest.param(
            break_options(Moment.CONNECT, ConnectionEnd.RESET, "CONNEC"), CUT, id="reset in a frame"
        ),
    ],
)
async def test_each_connection_uses_a_new_token(
    options: dict[str, Any], reason: str, valkey_url: str, client: "redis.Redis"
) -> None:
    """A refused token, e.g. an expired one, is not reused."""

    async with run_scenario(client, valkey_url, **options) as scenario:
        await scenario.wait_for_losses()
        assert set(scenario.reasons()) == {reason}
    assert scenario.server.tokens_total == scenario.server.connections_total >= 3


async def test_connect_without_an_answer_times_out(valkey_url: str, client: "redis.Redis") -> None:
    async with run_scenario(
        client, valkey_url, **break_options(Moment.CONNECT, ConnectionEnd.STALL)
    ) as scenario:
        await scenario.wait_for_losses(times=1)
        assert scenario.reasons() == ["CONNECT failed: no answer to CONNECT came in time"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(
            break_options(
                Moment.SUBSCRIBE, ConnectionEnd.CLOSE, "ERROR\nmessage:maintenance\n\n\0"
            ),
            "the server sent ERROR: maintenance",
            id="ERROR",
        ),
        pytest.param(
            break_options(Moment.SUBSCRIBE, ConnectionEnd.CLOSE, "ERROR\n\n점검 {token}\0"),
            "the server sent ERROR: 점검 (token)",
            id="ERROR with a body only",
        ),
        pytest.param(
            break_options(Moment.SUBSCRIBE, ConnectionEnd.CLOSE, close_code=1011),
            f"{CLOSED}code 1011",
            id="close",
        ),
        pytest.param(break_options(Moment.SUBSCRIBE, ConnectionEnd.ABORT), CUT, id="abrupt end"),
        pytest.param(break_options(Moment.SUBSCRIBE, ConnectionEnd.RESET), CUT, id="reset"),
        pytest.param(
            break_options(Moment.SUBSCRIBE, ConnectionEnd.RESET, "RECEIPT\nreceipt-"),
            CUT,
            id="reset in a frame",
        ),
        pytest.param(break_options(Moment.SUBSCRIBE, ConnectionEnd.STALL), SILENT, id="half-open"),
        pytest.param(
            break_options(
                Moment.MESSAGE,
                ConnectionEnd.CLOSE,
                "ERROR\nmessage:no more for {token}\nreceipt-id:77\n\n\0",
            ),
            "the server sent ERROR: no more for (token)",
            id="ERROR in mid-stream",
        ),
        *(
            pytest.param(
                break_options(Moment.MESSAGE, ConnectionEnd.CLOSE, close_code=code),
                f"{CLOSED}code {code}",
                id=str(code),
            )
            for code in (1000, 1001, 1008, 1011, 1012, 4000, 4999)
        ),
        pytest.param(break_options(Moment.MESSAGE, ConnectionEnd.ABORT), CUT, id="1006"),
        pytest.param(
            break_options(Moment.MESSAGE, ConnectionEnd.RESET), CUT, id="reset in mid-stream"
        ),
        pytest.param(
            break_options(
                Moment.MESSAGE, ConnectionEnd.ABORT, 'MESSAGE\nsubscription:sub-1\n\n{"close":7'
            ),
            CUT,
            id="cut",
        ),
        pytest.param(
            break_options(Moment.MESSAGE, ConnectionEnd.STALL), SILENT, id="half-open in mid-stream"
        ),
    ],
)
async def test_all_subscriptions_return_after_any_kind_of_break(
    options: dict[str, Any], reason: str, valkey_url: str, client: "redis.Redis"
) -> None:
    async with run_scenario(client, valkey_url, **options) as scenario:
        await scenario.wait_for_losses()
        assert set(scenario.reasons()) == {reason}


async def test_lost_connections_leak_no_resources() -> None:
    """No socket, thread or task remains: a relayer may lose Toss every half minute for weeks."""
    endings = (ConnectionEnd.CLOSE, ConnectionEnd.ABORT, ConnectionEnd.RESET)

    def is_over() -> bool:
        fetching = [thread for thread in threading.enumerate() if thread.name == "guest-token"]
        return not fetching and asyncio.all_tasks() == {asyncio.current_task()}

    async def lose_connections(stand_in: Toss, feed: StompFeed) -> int:
        """Lose a dozen connections; return the number of open files and sockets."""
        for ending in endings * 4:
            stand_in.server.faults = Faults(**break_options(Moment.SUBSCRIBE, ending))
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
        assert await lose_connections(stand_in, feed) == await lose_connections(stand_in, feed)
