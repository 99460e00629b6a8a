"""The lease in a real Redis, and how Redis's faults are classified."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from launcher.ports import free_port
from relayer.daemon import connect
from relayer.lease.holder import LeaseHolder
from relayer.lease.record import (
    GRACE_S,
    RELEASED,
    TTL_S,
    LeaseLost,
    LeaseRecord,
    RedisDown,
    RedisUnreachable,
    number_of,
)
from relayer.lease.watchdog import NoWatchdog
from relayer.ticks.writer import TickScript
from tests.relayer.harness import until
from tests.relayer.ticks.test_writer import tick
from tests.support.servers import Valkey
from trading.redis import keys


class RecordingWatchdog(NoWatchdog):
    """Records when it would have killed the process."""

    def __init__(self) -> None:
        self.kills_at: float | None = None

    def set(self, instant: float) -> None:
        self.kills_at = instant

    def disarm(self) -> None:
        self.kills_at = None


@asynccontextmanager
async def record(url: str, name: str = "here:1") -> AsyncIterator[LeaseRecord]:
    client = connect(url, single_connection=True)
    try:
        yield LeaseRecord(client, name=name)
    finally:
        await client.aclose()


async def test_one_acquires_the_lease_and_others_see_the_holder(valkey_url: str) -> None:
    async with record(valkey_url) as mine, record(valkey_url, "there:2") as theirs:
        assert (await mine.read()).value is None
        lease = await mine.acquire()
        assert lease is not None
        assert lease.endswith(" here:1")
        assert await theirs.acquire() is None
        snapshot = await theirs.read()
        assert (snapshot.value, snapshot.is_held) == (lease, True)
        assert 0 < snapshot.ttl_s <= TTL_S
        assert await mine.renew(lease)
        await mine.release(lease)
        assert (await theirs.read()).value == RELEASED
        assert not (await theirs.read()).is_held
        later = await theirs.acquire()
        assert later is not None
        assert number_of(later) > number_of(lease)
        assert not await mine.renew(lease)
        await mine.release(lease)
        assert (await theirs.read()).value == later


async def test_numbers_rise_even_if_redis_lost_the_last(
    valkey_url: str, client: "redis.Redis"
) -> None:
    async with record(valkey_url) as mine:
        first = await mine.acquire()
        client.flushall()
        second = await mine.acquire()
    assert first is not None
    assert second is not None
    assert number_of(first) <= number_of(second)


async def test_a_holder_restores_a_lost_lease(valkey_url: str, client: "redis.Redis") -> None:
    async with record(valkey_url) as mine:
        lease = await mine.acquire()
        assert lease is not None
        client.flushall()
        assert await mine.renew(lease)
        assert (await mine.read()).value == lease


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_refused_connection_raises_redis_down(host: str) -> None:
    async with record(f"redis://{host}:{free_port()}/0") as mine:
        with pytest.raises(RedisDown):
            await mine.read()


async def test_a_missing_answer_raises_redis_unreachable(
    valkey_server: Valkey, valkey_url: str
) -> None:
    async with record(valkey_url) as mine:
        await mine.read()
        valkey_server.pause()
        try:
            with pytest.raises(RedisUnreachable):
                await mine.read()
        finally:
            valkey_server.resume()


async def test_a_restart_between_two_reads_is_detected(
    valkey_server: Valkey, valkey_url: str
) -> None:
    """A pool would reconnect silently, and a lost lease would look like an expired one."""

    async with record(valkey_url) as mine:
        await mine.read()
        valkey_server.stop()
        valkey_server.start()
        with pytest.raises(RedisUnreachable):
            await mine.read()
        assert (await mine.read()).value is None


async def test_a_holder_holds_until_another_takes_over(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """The watchdog is armed ahead of the lease's end while it is held, and disarmed at the end."""

    watchdog = RecordingWatchdog()
    async with record(valkey_url) as mine:
        holder = LeaseHolder(mine, watchdog, grace_s=0)
        await holder.acquire()
        assert holder.number == number_of(str(client.get(keys.RELAYER_LEASE)))
        assert watchdog.kills_at is not None
        first = watchdog.kills_at
        keeping = asyncio.create_task(holder.hold())
        await until(lambda: watchdog.kills_at != first, what="the lease is renewed")
        client.set(keys.RELAYER_LEASE, "9 there:2")
        with pytest.raises(LeaseLost, match="another"):
            await keeping
        await holder.release()
        assert (watchdog.kills_at, holder.lease) == (None, None)
    assert client.get(keys.RELAYER_LEASE) == "9 there:2"


async def test_a_holder_without_answers_gives_the_lease_up(
    valkey_server: Valkey, valkey_url: str
) -> None:
    async with record(valkey_url) as mine:
        holder = LeaseHolder(mine, NoWatchdog(), grace_s=0)
        await holder.acquire()
        valkey_server.pause()
        try:
            with pytest.raises(LeaseLost, match="in time"):
                await holder.hold()
        finally:
            valkey_server.resume()


async def test_a_candidate_waits_if_the_lease_may_have_been_lost(valkey_url: str) -> None:

    async with record(valkey_url) as mine:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await LeaseHolder(mine, NoWatchdog()).acquire()
        result = loop.time() - began
    assert result >= GRACE_S


def test_only_the_holder_writes(valkey_url: str, client: "redis.Redis") -> None:
    """Fencing: a former holder that has not noticed yet changes nothing in Redis."""
    script = TickScript(client)
    client.set(keys.RELAYER_LEASE, "2 there:2")

    for lease in ("1 here:1", "2 there", "2 there:22"):
        with pytest.raises(ResponseError, match="FENCED"):
            script([tick(1)], lease=lease)
    assert client.keys("stock*") == []

    script([tick(1)], lease="2 there:2")
    assert client.xlen(keys.TICK_STREAM) == 1


async def test_the_lease_client_uses_one_connection(valkey_url: str, client: "redis.Redis") -> None:
    before = {each["id"] for each in client.client_list()}

    async with connect(valkey_url, single_connection=True) as one:
        assert isinstance(one, Redis)
        for _ in range(3):
            await one.ping()
        result = len(
            [
                each
                for each in client.client_list()
                if each["id"] not in before and each["cmd"] == "ping"
            ]
        )
    assert result == 1
