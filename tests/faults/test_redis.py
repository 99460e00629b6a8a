"""Redis stopped, wiped, killed, frozen and full under a crowd's orders: answers stay 201 or 503, nothing hangs, no process of
ours ends, and everything completes afterwards."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic

import pytest
import redis

from tests.faults.load import Client
from tests.faults.scenario import Ordeal, Place, passes, standing
from tests.support.servers import Valkey, wait_until

# Longer than any client of ours waits for an answer: a worker's 5 s are the longest.
FROZEN_S = 6.0
AWAY_S = 1.5
FULL_S = 2.0
BACKLOG = 20
WORKERS = ("worker-1", "worker-2")
MARKET = {"stock_code": "A005930", "order_type": "MARKET", "quantity": 1}


@pytest.fixture(scope="module")
def standing_place(server_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("redis")
    with (
        Valkey(folder / "valkey", durable=True) as valkey,
        standing(server_uri, folder, valkey=valkey, kept=True) as place,
    ):
        yield place


@contextmanager
def outage(place: Place, name: str) -> Iterator[Ordeal]:
    """An ordeal that none of our processes may end in."""
    before = endings(place)
    with place.ordeal(f"Redis: {name}") as ordeal:
        yield ordeal
    assert endings(place) == before


def endings(place: Place) -> dict[str, int]:
    """How often each process has ended so far, by its keeper's word."""
    return {name: place.house.log(name).count("keeper: Ended") for name in place.house.ours}


@contextmanager
def client_of(server: Valkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        yield client


def test_redis_is_stopped_and_started(place: Place) -> None:
    """It comes back with what it had."""
    with outage(place, "stopped, and started with its file") as ordeal:
        place.house.valkey.stop()
        check_answers(place.probe)
        passes(AWAY_S)
        place.house.valkey.start()
        ordeal.recovered()


def test_redis_comes_back_empty(place: Place) -> None:
    """Its file is gone: queues, ticks, streams, locks and the lease begin anew. As no worker works before that, and nothing is ordered or in the book
    after it by which another order would be taken along, whatever is done then was found by the sweep."""
    house, valkey = place.house, place.house.valkey
    with outage(place, "stopped, and started empty") as ordeal:
        place.crowd.rest()
        for member in place.crowd.members:
            member.ask("DELETE", "/trading/orders")
        for name in WORKERS:
            house.pause(name)
        assert all(place.probe.place(MARKET | {"side": "BUY"}) for _ in range(BACKLOG))
        now = datetime.now(UTC)
        assert (ordeal.due(now) or 0) >= BACKLOG
        valkey.stop()
        for file in (valkey.folder / "appendonlydir").iterdir():
            file.unlink()
        valkey.start()
        over = monotonic()
        for name in WORKERS:
            house.resume(name)
        wait_until(lambda: ordeal.due(now) == 0, what="the forgotten orders are done")
        ordeal.recovered(since=over)


def check_answers(user: Client) -> None:
    """A sale needs no price to be taken; a buy does, and is told so; what prices are worth is unknown."""
    answers = [
        user.ask("POST", "/trading/orders", MARKET | {"side": side}) for side in ("SELL", "BUY")
    ]
    assert answers[0].status_code == 201
    assert (answers[1].status_code, answers[1].json()["code"]) == (503, "no-live-price")
    assert user.get("/balance")["total_assets"] is None


@pytest.mark.full
def test_redis_is_killed(place: Place) -> None:
    """At most the last second of its file is lost."""
    valkey = place.house.valkey
    with outage(place, "kill -9, and started with its file") as ordeal:
        valkey.kill()
        valkey.start()
        ordeal.recovered()


def test_redis_is_frozen(place: Place) -> None:
    """It takes connections and answers nothing, for longer than anybody waits for it."""
    with outage(place, f"frozen for {FROZEN_S:g} s") as ordeal:
        place.house.valkey.pause()
        check_answers(place.probe)
        passes(FROZEN_S)
        place.house.valkey.resume()
        ordeal.recovered()


@pytest.mark.full
def test_redis_is_out_of_memory(place: Place) -> None:
    """It refuses whatever would take more of it (OOM), and answers all else."""
    with (
        outage(place, f"out of memory for {FULL_S:g} s") as ordeal,
        client_of(place.house.valkey) as client,
    ):
        client.config_set("maxmemory", "1mb")
        passes(FULL_S)
        client.config_set("maxmemory", "0")
        ordeal.recovered()
        assert int(client.info("errorstats")["errorstat_OOM"]["count"]) > 0


@pytest.mark.full
def test_the_disk_of_redis_is_full(place: Place) -> None:
    """Its file can't grow, so it refuses whatever writes (MISCONF) until it can again."""
    valkey = place.house.valkey
    with outage(place, f"its disk full for {FULL_S:g} s") as ordeal, client_of(valkey) as client:
        with limited(valkey):
            wait_until(
                lambda: "errorstat_MISCONF" in client.info("errorstats"),
                what="a write is refused",
            )
            passes(FULL_S)
        ordeal.recovered()


@contextmanager
def limited(valkey: Valkey) -> Iterator[None]:
    """Nothing that the server writes to may be larger than it is now. The kernel refuses to write on as it does on a full disk (EFBIG for ENOSPC), and
    Valkey minds both alike; to fill a disk of its own would take root."""
    assert valkey.pid is not None
    largest = max(file.stat().st_size for file in (valkey.folder / "appendonlydir").iterdir())
    before = resource.prlimit(valkey.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(valkey.pid, resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.prlimit(valkey.pid, resource.RLIMIT_FSIZE, before)
