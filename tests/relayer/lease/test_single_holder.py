"""Two relayer processes, one connection, whatever happens to its holder."""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest
import redis

from relayer.lease.record import TTL_S
from relayer.lease.watchdog import PosixKillTimer, kill_timer
from tests.relayer.freezing_proxy import freezing_proxy
from tests.relayer.harness import (
    HYNIX,
    SAMSUNG,
    Toss,
    add_subscriptions,
    confirmed_count,
    toss,
    until,
)
from tests.relayer.test_process import process
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey
from trading.marketdata.topics import trade_topic
from trading.redis import keys

WANTED = {trade_topic(SAMSUNG), trade_topic(HYNIX)}

needs_kill_timer = pytest.mark.skipif(
    not isinstance(kill_timer(), PosixKillTimer),
    reason="this system has no timers that kill a stopped process",
)


class RelayerPair:
    """Two relayers started together, one connected to the stand-in, and their Redis."""

    def __init__(
        self, stand_in: Toss, client: "redis.Redis", processes: list["subprocess.Popen[str]"]
    ) -> None:
        self.stand_in = stand_in
        self.client = client
        self.processes = processes

    @property
    def lease(self) -> str:
        return str(self.client.get(keys.RELAYER_LEASE))

    @property
    def holder(self) -> "subprocess.Popen[str]":
        """The process whose pid is in the lease."""
        found = re.fullmatch(r"[0-9]+ .+:([0-9]+)", self.lease)
        assert found, self.lease
        return next(one for one in self.processes if one.pid == int(found[1]))

    @property
    def standby(self) -> "subprocess.Popen[str]":
        return next(one for one in self.processes if one is not self.holder)

    async def wait_until_served(self, *, connections: int) -> None:
        """Wait until the ``connections``-th connection has all subscriptions."""
        server = self.stand_in.server
        await until(
            lambda: server.connections_total == connections and server.destinations() == WANTED,
            what=f"connection {connections} with all subscriptions",
        )

    async def check_takeover(self, standby: "subprocess.Popen[str]") -> None:
        """Check that the standby took over, and that there were never two connections."""
        await self.wait_until_served(connections=2)
        assert self.holder is standby
        assert self.stand_in.server.connections_at_once_max == 1


@asynccontextmanager
async def relayer_pair(client: "redis.Redis", *urls: str) -> AsyncIterator[RelayerPair]:
    """Start a relayer on each Redis URL; yield when the first connection is served."""
    add_subscriptions(client, SAMSUNG, HYNIX)
    async with toss() as stand_in:
        environments = [
            {
                "REDIS_URL": url,
                "TOSS_API_URL": f"http://127.0.0.1:{stand_in.port}",
                "TOSS_WEBSOCKET_URL": f"ws://127.0.0.1:{stand_in.port}/ws",
            }
            for url in urls
        ]
        with (
            process("-m", "relayer", **environments[0]) as one,
            process("-m", "relayer", **environments[1]) as other,
        ):
            pair = RelayerPair(stand_in, client, [one, other])
            await pair.wait_until_served(connections=1)
            yield pair


async def test_standby_takes_over_from_a_killed_holder(
    valkey_url: str, client: "redis.Redis"
) -> None:
    async with relayer_pair(client, valkey_url, valkey_url) as pair:
        standby = pair.standby
        pair.holder.kill()
        await pair.check_takeover(standby)
        pair.stand_in.trade(1, price=70_100)
        await until(lambda: client.xlen(keys.TICK_STREAM) == 1, what="ticks from the new holder")


@needs_kill_timer
async def test_a_stopped_holder_is_killed_before_another_connects(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """After SIGSTOP it cannot close its connection, so the kernel ends the process in time."""

    async with relayer_pair(client, valkey_url, valkey_url) as pair:
        holder, standby = pair.holder, pair.standby
        holder.send_signal(signal.SIGSTOP)
        await pair.check_takeover(standby)
        assert holder.wait(timeout=DEADLINE_S) == -signal.SIGKILL


async def test_a_partitioned_holder_disconnects_before_another_connects(
    valkey_server: Valkey, valkey_url: str, client: "redis.Redis"
) -> None:
    """It becomes a standby when it reaches Redis again."""

    async with freezing_proxy(valkey_server.port) as proxy:
        through_it = f"redis://127.0.0.1:{proxy.port}/0"
        async with relayer_pair(client, through_it, through_it) as pair:
            # Both used the proxy, as either could be the holder; the rival is a third.
            os.kill(pair.standby.pid, signal.SIGKILL)
            environment = pair.stand_in.settings(valkey_url)
            with process(
                "-m",
                "relayer",
                REDIS_URL=valkey_url,
                TOSS_API_URL=environment.toss_api_url,
                TOSS_WEBSOCKET_URL=environment.toss_websocket_url,
            ) as rival:
                pair.processes.append(rival)
                assert rival.stdout is not None
                is_standby = await asyncio.to_thread(_wait_for_line, rival, "relayer_standby")
                assert is_standby
                holder = pair.holder
                proxy.freeze()
                await pair.check_takeover(rival)
                proxy.thaw()
                assert await asyncio.to_thread(_wait_for_line, holder, "lease_lost")
                assert await asyncio.to_thread(_wait_for_line, holder, "relayer_standby")
                assert (holder.poll(), pair.holder) == (None, rival)
                assert pair.stand_in.server.connections_total == 2


async def test_standby_takes_over_from_a_stopping_holder(
    valkey_url: str, client: "redis.Redis"
) -> None:
    async with relayer_pair(client, valkey_url, valkey_url) as pair:
        holder, standby = pair.holder, pair.standby
        # A standby acquires only after it has reached Redis for the length of a lease.
        watched_until = monotonic() + TTL_S
        await until(lambda: monotonic() > watched_until, what="the standby may acquire")
        holder.send_signal(signal.SIGTERM)
        await pair.check_takeover(standby)
        assert holder.wait(timeout=DEADLINE_S) == 0


async def test_a_redis_outage_drops_no_connection(
    valkey_server: Valkey, valkey_url: str, client: "redis.Redis"
) -> None:
    """Longer than a lease and empty afterwards: same holder, same connection, no trade lost."""

    async with relayer_pair(client, valkey_url, valkey_url) as pair:
        holder = pair.holder
        valkey_server.stop()
        away_until = monotonic() + TTL_S + 1
        await until(lambda: monotonic() > away_until, what="an outage longer than the lease")
        pair.stand_in.trade(1, price=70_100)
        valkey_server.start()
        await until(
            lambda: client.xlen(keys.TICK_STREAM) == 1,
            what="the trade of the outage",
        )
        await until(
            lambda: confirmed_count(client) == len(WANTED),
            what="health reports both subscriptions",
        )
        assert pair.holder is holder
        assert pair.stand_in.server.connections_total == 1


def _wait_for_line(running: "subprocess.Popen[str]", event: str) -> bool:
    """Return True if the process logs this event before its output ends."""
    assert running.stdout is not None
    return any(event in line for line in iter(running.stdout.readline, ""))
