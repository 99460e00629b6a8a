"""Redis stopped, wiped, killed, frozen and full while clients trade.

Answers are 201 or 503, no request hangs, no process exits, and everything completes afterwards.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic

import pytest
import redis

from tests.faults.load import Client
from tests.faults.scenario import FaultTestbed, Scenario, hold_fault, running_testbed
from tests.support.servers import Valkey, wait_until

# Longer than the longest Redis timeout, which is a worker's 5 s.
FROZEN_S = 6.0
AWAY_S = 1.5
FULL_S = 2.0
BACKLOG = 20
WORKERS = ("worker-1", "worker-2")
MARKET = {"stock_code": "A005930", "order_type": "MARKET", "quantity": 1}


@pytest.fixture(scope="module")
def module_testbed(
    server_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultTestbed]:
    folder = tmp_path_factory.mktemp("redis")
    with (
        Valkey(folder / "valkey", durable=True) as valkey,
        running_testbed(server_uri, folder, valkey=valkey, supervised=True) as testbed,
    ):
        yield testbed


@contextmanager
def redis_fault(testbed: FaultTestbed, name: str) -> Iterator[Scenario]:
    """Run a scenario in which no process may exit."""
    before = process_exits(testbed)
    with testbed.scenario(f"Redis: {name}") as scenario:
        yield scenario
    assert process_exits(testbed) == before


def process_exits(testbed: FaultTestbed) -> dict[str, int]:
    """Return how often each process has exited, according to its supervisor's log."""
    return {
        name: testbed.stack.log(name).count("supervisor: Ended")
        for name in testbed.stack.product_processes
    }


@contextmanager
def client_of(server: Valkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        yield client


def test_system_recovers_from_a_redis_restart(testbed: FaultTestbed) -> None:
    with redis_fault(testbed, "stopped, and started with its file") as scenario:
        testbed.stack.valkey.stop()
        check_answers_without_redis(testbed.probe)
        hold_fault(AWAY_S)
        testbed.stack.valkey.start()
        scenario.wait_until_recovered()


def test_recovery_sweep_completes_orders_after_redis_lost_its_data(testbed: FaultTestbed) -> None:
    """Queues, ticks, streams, locks and the lease start empty.

    Workers are paused before the loss, and nothing is ordered or resting after it that could
    dispatch an older order. So every completed order was found by the recovery sweep.
    """
    stack, valkey = testbed.stack, testbed.stack.valkey
    with redis_fault(testbed, "stopped, and started empty") as scenario:
        testbed.load.rest()
        for client in testbed.load.clients:
            client.request("DELETE", "/trading/orders")
        for name in WORKERS:
            stack.pause(name)
        assert all(testbed.probe.place(MARKET | {"side": "BUY"}) for _ in range(BACKLOG))
        now = datetime.now(UTC)
        assert (scenario.due(now) or 0) >= BACKLOG
        valkey.stop()
        for file in (valkey.folder / "appendonlydir").iterdir():
            file.unlink()
        valkey.start()
        over = monotonic()
        for name in WORKERS:
            stack.resume(name)
        wait_until(lambda: scenario.due(now) == 0, what="the recovery sweep completed the orders")
        scenario.wait_until_recovered(since=over)


def check_answers_without_redis(user: Client) -> None:
    """Check that a sale is accepted, a buy is refused for lack of a price, and assets are valued at
    recorded prices.
    """
    answers = [
        user.request("POST", "/trading/orders", MARKET | {"side": side}) for side in ("SELL", "BUY")
    ]
    assert answers[0].status_code == 201
    assert (answers[1].status_code, answers[1].json()["code"]) == (503, "no-live-price")
    assert user.get("/balance")["total_assets"] > 0


@pytest.mark.full
def test_system_recovers_from_a_killed_redis(testbed: FaultTestbed) -> None:
    """At most the last second of its append-only file is lost."""
    valkey = testbed.stack.valkey
    with redis_fault(testbed, "kill -9, and started with its file") as scenario:
        valkey.kill()
        valkey.start()
        scenario.wait_until_recovered()


def test_system_recovers_from_a_frozen_redis(testbed: FaultTestbed) -> None:
    """Redis accepts connections and answers nothing, for longer than any client's timeout."""
    with redis_fault(testbed, f"frozen for {FROZEN_S:g} s") as scenario:
        testbed.stack.valkey.pause()
        check_answers_without_redis(testbed.probe)
        hold_fault(FROZEN_S)
        testbed.stack.valkey.resume()
        scenario.wait_until_recovered()


@pytest.mark.full
def test_system_recovers_when_redis_is_out_of_memory(testbed: FaultTestbed) -> None:
    """Redis refuses writes that need memory (OOM) and answers all other commands."""
    with (
        redis_fault(testbed, f"out of memory for {FULL_S:g} s") as scenario,
        client_of(testbed.stack.valkey) as client,
    ):
        client.config_set("maxmemory", "1mb")
        hold_fault(FULL_S)
        client.config_set("maxmemory", "0")
        scenario.wait_until_recovered()
        assert int(client.info("errorstats")["errorstat_OOM"]["count"]) > 0


@pytest.mark.full
def test_system_recovers_from_a_full_redis_disk(testbed: FaultTestbed) -> None:
    """Redis cannot extend its file, so it refuses writes (MISCONF) until it can."""
    valkey = testbed.stack.valkey
    with (
        redis_fault(testbed, f"its disk full for {FULL_S:g} s") as scenario,
        client_of(valkey) as client,
    ):
        with file_size_limited(valkey):
            wait_until(
                lambda: "errorstat_MISCONF" in client.info("errorstats"),
                what="a write is refused",
            )
            hold_fault(FULL_S)
        scenario.wait_until_recovered()


@contextmanager
def file_size_limited(valkey: Valkey) -> Iterator[None]:
    """Limit the size of the server's files to their present size.

    The kernel then fails writes with EFBIG. Valkey treats it like ENOSPC, and a full disk would
    need root.
    """
    assert valkey.pid is not None
    largest = max(file.stat().st_size for file in (valkey.folder / "appendonlydir").iterdir())
    before = resource.prlimit(valkey.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(valkey.pid, resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.prlimit(valkey.pid, resource.RLIMIT_FSIZE, before)
