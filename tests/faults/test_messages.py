"""Duplicated, reordered, late and lost messages, and wrong clocks, while clients trade."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis

from launcher.valkey import Valkey, url_of
from tests.faults.blackhole import Blackhole, blackhole_before
from tests.faults.message_duplicator import duplicating
from tests.faults.scenario import FaultTestbed, hold_fault, running_testbed
from tests.support.servers import clock_off_by, wait_until
from tests.system.stack import Stack

# Longer than a worker's Redis timeout (5 s) and than a lease (4 s).
BLACKHOLE_S = 6.0
DUPLICATING_S = 3.0
BACKLOG = 10
WORKERS = ("worker-1", "worker-2")
# Longer than the visibility timeout of ten minutes.
CLOCK_OFFSET_S = 660
EXTRA_TASKS = 15
# Delivery time that the test gives to messages (seconds since 1970).
TIMED_OUT_AT = 1.0


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("messages-valkey")) as valkey:
        yield valkey


@pytest.fixture(scope="module")
def blackholes(valkey: Valkey) -> Iterator[dict[str, Blackhole]]:
    """Blackholes between Redis and one worker, and between Redis and the relayer."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(blackhole_before(valkey.port))
            for name in ("worker-1", "relayer")
        }


@pytest.fixture(scope="module")
def module_testbed(
    server_uri: str,
    valkey: Valkey,
    blackholes: dict[str, Blackhole],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FaultTestbed]:
    through_them = {
        name: {"REDIS_URL": url_of(blackhole.port)} for name, blackhole in blackholes.items()
    }
    folder = tmp_path_factory.mktemp("messages")
    with running_testbed(
        server_uri, folder, valkey=valkey, process_settings=through_them
    ) as testbed:
        yield testbed


def completed_tasks(stack: Stack, name: str) -> int:
    """Return how many tasks a worker has completed, according to its log."""
    return stack.log(name).count('"event": "task_done"')


@pytest.mark.full
def test_worker_and_relayer_survive_a_network_outage_to_redis(
    testbed: FaultTestbed, blackholes: dict[str, Blackhole]
) -> None:
    """Both reconnect without a restart."""
    stack = testbed.stack
    with testbed.scenario(
        f"network: an outage of {BLACKHOLE_S:g} s between Redis and a worker, and the relayer"
    ) as scenario:
        for blackhole in blackholes.values():
            blackhole.open()
        hold_fault(BLACKHOLE_S)
        for blackhole in blackholes.values():
            blackhole.close()
        done = completed_tasks(stack, "worker-1")
        scenario.wait_until_recovered(also=lambda: completed_tasks(stack, "worker-1") > done)


def test_duplicated_and_reordered_messages_change_nothing(testbed: FaultTestbed) -> None:
    """Queued messages are duplicated and shuffled, and every stage is dispatched repeatedly for any
    rows: due, done, or not yet at that stage.
    """
    with testbed.scenario("messages: duplicated, reordered and redispatched") as scenario:
        for name in WORKERS:
            testbed.stack.pause(name)
        testbed.load.wait_for_orders(BACKLOG)
        with duplicating(testbed.harness) as duplicator:
            wait_until(lambda: duplicator.duplicated >= BACKLOG, what="messages that wait")
            for name in WORKERS:
                testbed.stack.resume(name)
            hold_fault(DUPLICATING_S)
        scenario.notes.append(
            f"{duplicator.duplicated} duplicated, {duplicator.redispatched} redispatched"
        )
        scenario.wait_until_recovered()


def test_messages_of_a_frozen_worker_are_redelivered(testbed: FaultTestbed) -> None:
    """A worker is frozen beyond the visibility timeout. Another worker gets its messages, and then
    the first one continues with them too.
    """
    stack = testbed.stack
    with testbed.scenario("messages: a worker frozen beyond the visibility timeout") as scenario:
        broker = testbed.harness.core.redis
        wait_until(
            lambda: pause_during_work(stack, broker),
            what="a worker that holds a message",
        )
        stack.kill("worker-2")
        # Make the visibility timeout of ten minutes pass, and the lock of a worker that was stopped
        # while it restored messages. No worker runs, so the index does not change meanwhile.
        held = [str(tag) for tag in broker.zrange("unacked_index", 0, -1)]
        broker.zadd("unacked_index", dict.fromkeys(held, TIMED_OUT_AT))
        broker.delete("unacked_mutex")
        stack.start("worker-2")
        # A message that was delivered again is in the index with the time of its delivery.
        wait_until(
            lambda: TIMED_OUT_AT not in [broker.zscore("unacked_index", tag) for tag in held],
            what="redelivery",
        )
        stack.resume("worker-1")
        scenario.notes.append(f"{len(held)} redelivered")
        scenario.wait_until_recovered()


def pause_during_work(stack: Stack, broker: "redis.Redis") -> bool:
    """Freeze the first worker. Return True if it held a message; otherwise resume it."""
    stack.pause("worker-1")
    if broker.zcard("unacked_index"):
        return True
    stack.resume("worker-1")
    return False


@pytest.mark.full
def test_two_beats_send_every_task_twice_without_harm(testbed: FaultTestbed) -> None:
    """The second beat is Celery's own, which takes no lock."""
    stack = testbed.stack
    schedule = str(stack.logs / "second-schedule")
    # Celery logs sent tasks at this level only.
    stack.process_settings["beat-2"] = {"LOG_LEVEL": "DEBUG"}
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
    stack.commands["beat-2"] = ("-m", "celery", "-A", "workers", *plain)
    with testbed.scenario("beat: two that send") as scenario:
        stack.start("beat-2")
        wait_until(
            lambda: stack.log("beat-2").count("Sending due task") > EXTRA_TASKS,
            what="it sends",
        )
        scenario.wait_until_recovered()
    stack.kill("beat-2")


@pytest.mark.parametrize(
    "offset_s",
    [pytest.param(-CLOCK_OFFSET_S, marks=pytest.mark.full), CLOCK_OFFSET_S],
    ids=["behind", "ahead"],
)
def test_worker_with_a_wrong_clock_changes_nothing(testbed: FaultTestbed, offset_s: int) -> None:
    """The offset exceeds the visibility timeout: a worker ahead takes the messages of others for
    abandoned, and others take those of a worker behind for abandoned.
    """
    stack, way = testbed.stack, "ahead" if offset_s > 0 else "behind"
    with testbed.scenario(f"clock: a worker's {abs(offset_s) // 60} minutes {way}") as scenario:
        done = completed_tasks(stack, "worker-2")
        restart(stack, "worker-2", **clock_off_by(offset_s))
        wait_until(lambda: completed_tasks(stack, "worker-2") > done + EXTRA_TASKS, what="it works")
        scenario.wait_until_recovered()
    assert "clock_skew" in stack.log("worker-2")
    restart(stack, "worker-2")


def restart(stack: Stack, name: str, **variables: str) -> None:
    """Kill a process and start it with its own variables."""
    stack.kill(name)
    stack.process_settings[name] = variables
    stack.start(name)
