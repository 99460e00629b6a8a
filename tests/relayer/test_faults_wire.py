"""Unusual byte streams: the relayer reads what is valid and leaves a server that is not."""

import asyncio
from typing import Any

import pytest
import redis

from relayer.stomp import DEFAULT_LIMITS
from relayer.stomp.limits import HEART_BEAT_MS_MAX
from sandbox.faults import Break, ConnectionEnd, Moment
from tests.relayer.harness import BEAT_MS, until
from tests.relayer.scenario import run_scenario

SILENT = "no heart-beat came in time"


@pytest.mark.parametrize(
    "options",
    [
        # Thousands of messages keep the shared event loop too busy for heart-beats.
        pytest.param({"message_octets": 1, "heart_beat_ms": (0, 0)}, id="an octet a message"),
        pytest.param(
            {"message_octets": 1, "heart_beat_ms": (0, 0), "binary": True},
            id="an octet a binary message",
        ),
        pytest.param({"message_octets": 50, "crlf": True}, id="cut, with CR LF"),
        pytest.param({"message_octets": 500}, id="cut and joined"),
        pytest.param({"message_octets": 64 * 1024}, id="joined"),
        pytest.param({"binary": True}, id="binary"),
        pytest.param({"crlf": True}, id="CR LF"),
        pytest.param({"receipt_delay_ms": 500}, id="late receipts"),
    ],
)
async def test_any_split_of_the_byte_stream_is_read(
    options: dict[str, Any], valkey_url: str, client: "redis.Redis"
) -> None:
    """No trade is lost or doubled; Korean venue names are split inside characters."""

    async with run_scenario(client, valkey_url, quiet=True, unfamiliar=True, **options) as scenario:
        await until(scenario.all_subscribed, what="everything is subscribed")
        scenario.trade(times=20)
        await scenario.wait_for_trades()
        assert [tick.cumulative_volume for tick in scenario.ticks()] == list(range(1, 22))
    assert scenario.reasons() == []


@pytest.mark.parametrize(
    "heart_beat_ms",
    [(0, 0), (0, 50), (50, 0), (1, 1), (7, 600), (HEART_BEAT_MS_MAX, HEART_BEAT_MS_MAX)],
    ids=str,
)
async def test_any_heart_beat_agreement_is_kept(
    heart_beat_ms: tuple[int, int], valkey_url: str, client: "redis.Redis"
) -> None:
    """Neither side times out without trades, for longer than detection takes."""

    async with run_scenario(
        client, valkey_url, quiet=True, heart_beat_ms=heart_beat_ms, beat_ms=1_000
    ) as scenario:
        await until(scenario.all_subscribed, what="everything is subscribed")
        loop = asyncio.get_running_loop()
        quiet_until = loop.time() + 3
        await until(lambda: loop.time() > quiet_until, what="three quiet seconds")
        assert scenario.all_subscribed()
    assert scenario.reasons() == []


@pytest.mark.parametrize("value", ["5000", "-1,0", "0,99999999999", "1,2,3", "five,five"])
async def test_an_invalid_heart_beat_header_ends_the_connection(
    value: str, valkey_url: str, client: "redis.Redis"
) -> None:
    connected = f"CONNECTED\nversion:1.2\nheart-beat:{value}\n\n\0"

    options = Break(at=Moment.CONNECT, ending=ConnectionEnd.NONE, writes=connected)
    async with run_scenario(client, valkey_url, breaks=options) as scenario:
        await scenario.wait_for_losses(times=1)
        assert (
            scenario.reasons()[0]
            == "CONNECT failed: heart-beat is not two durations of at most a day"
        )


async def test_missing_heart_beats_are_detected_in_a_quiet_market(
    valkey_url: str, client: "redis.Redis"
) -> None:
    async with run_scenario(
        client, valkey_url, quiet=True, beats=False, beat_ms=BEAT_MS
    ) as scenario:
        await scenario.wait_for_losses(times=1)
        assert scenario.reasons() == [SILENT]


async def test_trades_count_as_heart_beats(valkey_url: str, client: "redis.Redis") -> None:

    async with run_scenario(client, valkey_url, beats=False, beat_ms=1_000) as scenario:
        await until(scenario.all_subscribed, what="everything is subscribed")
        far_on = scenario.traded + 400
        await until(lambda: scenario.traded > far_on, what="four seconds of trades")
    assert scenario.reasons() == []


async def test_trades_confirm_a_subscription_like_a_receipt(
    valkey_url: str, client: "redis.Redis"
) -> None:
    async with run_scenario(client, valkey_url, receipts=False) as scenario:
        await until(scenario.all_subscribed, what="everything is subscribed")
    assert scenario.reasons() == []


async def test_missing_receipts_in_a_quiet_market_keep_the_connection(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """Unconfirmed subscriptions are sent again, and the next trade arrives."""

    async with run_scenario(client, valkey_url, quiet=True, receipts=False) as scenario:
        await until(lambda: len(scenario.subscription_ids()) == 2, what="both are asked for")
        first = scenario.subscription_ids()
        await until(
            lambda: (
                [line["event"] for line in scenario.lines].count("subscription_unconfirmed") == 2
            ),
            what="both subscriptions are withdrawn",
        )
        assert not scenario.all_subscribed()
        await until(
            lambda: (
                len(scenario.subscription_ids()) == 2 and not scenario.subscription_ids() & first
            ),
            what="both are asked for again",
        )
        await scenario.wait_for_trades()
    assert scenario.reasons() == []


GARBAGE = {
    "no command": "NONSENSE\n\n\0",
    "a command of clients": "SUBSCRIBE\nid:1\ndestination:x\n\n\0",
    "a second CONNECTED": "CONNECTED\nversion:1.2\n\n\0",
    "a receipt of nothing": "RECEIPT\n\n\0",
    "a header without a colon": "MESSAGE\nsubscription\n\n\0",
    "an escape that is none": "MESSAGE\nsubscription:sub\\t1\n\n\0",
    "a NUL in the head": "MESSAGE\0\n\n\0",
    "a lone CR": "MESSAGE\nsubscription:sub\r1\n\n\0",
    "a length that is none": "MESSAGE\ncontent-length:many\n\n\0",
    "a length beyond all bounds": f"MESSAGE\ncontent-length:{DEFAULT_LIMITS.body_octets + 1}\n\n",
    "a length that is too short": "MESSAGE\nsubscription:sub-1\ncontent-length:1\n\n{}\0",
    "a head without an end": "MESSAGE\n" + "x" * DEFAULT_LIMITS.head_octets,
    "too many headers": "MESSAGE\n" + "a:b\n" * (DEFAULT_LIMITS.header_count + 1) + "\n\0",
}


@pytest.mark.parametrize("writes", GARBAGE.values(), ids=GARBAGE)
async def test_an_invalid_frame_ends_the_connection(
    writes: str, valkey_url: str, client: "redis.Redis"
) -> None:

    garbage = Break(at=Moment.MESSAGE, ending=ConnectionEnd.NONE, writes=writes)
    async with run_scenario(client, valkey_url, breaks=garbage) as scenario:
        await scenario.wait_for_losses(times=1)
        assert not scenario.ticks()
