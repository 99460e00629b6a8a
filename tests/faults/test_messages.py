"""Messages that come twice, in any order, late or not at all, and clocks that are wrong, under a crowd's orders."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis

from launcher.valkey import Valkey, url_of
from tests.faults.blackhole import Hole, hole_before
from tests.faults.scenario import Place, passes, standing
from tests.faults.tcp_proxy import meddling
from tests.support.servers import clock_off_by, wait_until
from tests.system.stack import Stack

# Longer than a worker waits for an answer of Redis (5 s), and than a lease lasts (4 s).
HOLE_S = 6.0
MEDDLED_S = 3.0
BACKLOG = 10
WORKERS = ("worker-1", "worker-2")
# Longer than the visibility timeout of ten minutes.
CLOCK_OFF_S = 660
TASKS = 15


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("messages-valkey")) as valkey:
        yield valkey


@pytest.fixture(scope="module")
def holes(valkey: Valkey) -> Iterator[dict[str, Hole]]:
    """Holes between Redis and one of the workers, and between it and the relayer."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(hole_before(valkey.port)) for name in ("worker-1", "relayer")
        }


@pytest.fixture(scope="module")
def standing_place(
    server_uri: str,
    valkey: Valkey,
    holes: dict[str, Hole],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    through_them = {name: {"REDIS_URL": url_of(hole.port)} for name, hole in holes.items()}
    folder = tmp_path_factory.mktemp("messages")
    with standing(server_uri, folder, valkey=valkey, own=through_them) as place:
        yield place


def tasks_done(house: Stack, name: str) -> int:
    """How many tasks a worker has done by its log."""
    return house.log(name).count('"event": "task_done"')


@pytest.mark.full
def test_packets_vanish(place: Place, holes: dict[str, Hole]) -> None:
    """Between Redis and one worker, and between it and the relayer: both work again without having been started again."""
    house = place.house
    with place.ordeal(
        f"network: a hole of {HOLE_S:g} s between Redis and a worker, and the relayer"
    ) as ordeal:
        for hole in holes.values():
            hole.open()
        passes(HOLE_S)
        for hole in holes.values():
            hole.close()
        done = tasks_done(house, "worker-1")
        ordeal.recovered(also=lambda: tasks_done(house, "worker-1") > done)


def test_messages_come_twice_and_in_any_order(place: Place) -> None:
    """What waits is doubled and mixed up, and every stage is told of any rows again and again, due, done or not its own yet."""
    with place.ordeal("messages: doubled, mixed up, and told again") as ordeal:
        for name in WORKERS:
            place.house.pause(name)
        place.crowd.wait_for_orders(BACKLOG)
        with meddling(place.harness) as middleman:
            wait_until(lambda: middleman.doubled >= BACKLOG, what="messages that wait")
            for name in WORKERS:
                place.house.resume(name)
            passes(MEDDLED_S)
        ordeal.notes.append(f"{middleman.doubled} doubled, {middleman.told_again} told again")
        ordeal.recovered()


def test_messages_are_delivered_again(place: Place) -> None:
    """A worker is frozen for longer than its messages are kept from others; they are given to another one, and then it goes on with its own."""
    house = place.house
    with place.ordeal("messages: a worker frozen beyond the visibility timeout") as ordeal:
        broker = place.harness.core.redis
        wait_until(
            lambda: pauses_amid_work(house, broker),
            what="a worker that holds a message",
        )
        house.kill("worker-2")
        # As if the ten minutes had passed.
        held = broker.zrange("unacked_index", 0, -1)
        broker.zadd("unacked_index", dict.fromkeys(held, 1.0))
        house.start("worker-2")
        wait_until(
            lambda: not set(held) & set(broker.zrange("unacked_index", 0, -1)),
            what="redelivery",
        )
        house.resume("worker-1")
        ordeal.notes.append(f"{len(held)} delivered again")
        ordeal.recovered()


def pauses_amid_work(house: Stack, broker: "redis.Redis") -> bool:
    """Whether the first worker was frozen while it held a message; it goes on otherwise."""
    house.pause("worker-1")
    if broker.zcard("unacked_index"):
        return True
    house.resume("worker-1")
    return False


@pytest.mark.full
def test_two_beats_send(place: Place) -> None:
    """One of them is Celery's own, which minds no lock: every periodic task is sent twice."""
    house = place.house
    schedule = str(house.logs / "second-schedule")
    # Celery logs what it sends at this level only.
    house.own["beat-2"] = {"LOG_LEVEL": "DEBUG"}
    plain = (
        "beat",
        "-S",
        "celery.beat:PersistentScheduler",
        "-s",
        schedule,
        "--pidfile=",
        "-l",
        "INFO",
    )
    house.commands["beat-2"] = ("-m", "celery", "-A", "workers", *plain)
    with place.ordeal("beat: two that send") as ordeal:
        house.start("beat-2")
        wait_until(
            lambda: house.log("beat-2").count("Sending due task") > TASKS,
            what="it sends",
        )
        ordeal.recovered()
    house.kill("beat-2")


@pytest.mark.parametrize(
    "off_s",
    [pytest.param(-CLOCK_OFF_S, marks=pytest.mark.full), CLOCK_OFF_S],
    ids=["behind", "ahead"],
)
def test_the_clock_of_a_worker_is_wrong(place: Place, off_s: int) -> None:
    """By more than messages are kept from others: to a clock that is ahead all others' look abandoned, its own look so to theirs if it is behind."""
    house, way = place.house, "ahead" if off_s > 0 else "behind"
    with place.ordeal(f"clock: a worker's {abs(off_s) // 60} minutes {way}") as ordeal:
        done = tasks_done(house, "worker-2")
        restart(house, "worker-2", **clock_off_by(off_s))
        wait_until(lambda: tasks_done(house, "worker-2") > done + TASKS, what="it works")
        ordeal.recovered()
    assert "clock_skew" in house.log("worker-2")
    restart(house, "worker-2")


def restart(house: Stack, name: str, **variables: str) -> None:
    """Kill a process and start it with these variables of its own."""
    house.kill(name)
    house.own[name] = variables
    house.start(name)
