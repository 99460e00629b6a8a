"""Processes killed or terminated while clients trade. The launcher's supervisor restarts them."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from uuid import UUID

import pytest
import requests
from sqlalchemy import text

from tests.faults.scenario import FaultTestbed, running_testbed
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until
from tests.system.stack import children_of
from tests.trading.orders.steps import running_statements

IN_FLIGHT = 4
RETRY_S = 0.2
LOCK = "SELECT cash_balance FROM virtual_balances WHERE user_id = :id FOR UPDATE"


@pytest.fixture(scope="module")
def module_testbed(
    server_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultTestbed]:
    with running_testbed(
        server_uri, tmp_path_factory.mktemp("processes"), supervised=True
    ) as testbed:
        yield testbed


def main_process(name: str) -> Callable[[FaultTestbed], list[int]]:
    return lambda testbed: [testbed.stack.pid(name)]


def children(*names: str) -> Callable[[FaultTestbed], list[int]]:
    return lambda testbed: [
        child for name in names for child in children_of(testbed.stack.pid(name))
    ]


def worker_processes(testbed: FaultTestbed) -> list[int]:
    return [testbed.stack.pid("worker-1"), testbed.stack.pid("worker-2")]


def gunicorn_child(testbed: FaultTestbed) -> list[int]:
    return children_of(testbed.stack.pid("api"))[:1]


def listeners(testbed: FaultTestbed) -> int:
    """Return the number of connections to the push gateway so far."""
    return testbed.connections


def beat_starts(testbed: FaultTestbed) -> int:
    """Return how often beat has started to send."""
    return testbed.stack.log("beat").count("beat_active")


@pytest.mark.parametrize(
    ("victim", "find", "reconnected"),
    [
        ("one of the API's two worker processes", gunicorn_child, None),
        pytest.param("the API's master", main_process("api"), None, marks=pytest.mark.full),
        pytest.param(
            "the pool children of both workers",
            children("worker-1", "worker-2"),
            None,
            marks=pytest.mark.full,
        ),
        ("both workers", worker_processes, None),
        pytest.param("beat", main_process("beat"), beat_starts, marks=pytest.mark.full),
        ("the relayer", main_process("relayer"), None),
        ("the gateway", main_process("gateway"), listeners),
    ],
)
def test_killed_process_is_restarted(
    testbed: FaultTestbed,
    victim: str,
    find: Callable[[FaultTestbed], list[int]],
    reconnected: Callable[[FaultTestbed], int] | None,
) -> None:
    """Interrupted work is done once, and disconnected clients reconnect and miss nothing."""
    with testbed.scenario(f"kill -9: {victim}", api_ends="API" in victim) as scenario:
        before = reconnected(testbed) if reconnected else 0
        for pid in find(testbed):
            os.kill(pid, signal.SIGKILL)
        scenario.wait_until_recovered(
            claims_end="API" in victim,
            also=lambda: reconnected is None or reconnected(testbed) > before,
        )


def test_accepted_orders_survive_the_death_of_all_processes(testbed: FaultTestbed) -> None:
    """As in a power cut: the supervisors are killed too, and the next start finds all accepted
    orders.
    """
    with testbed.scenario("kill -9: all of them at once", api_ends=True) as scenario:
        testbed.stack.kill_together(*testbed.stack.product_processes)
        testbed.stack.start(*testbed.stack.product_processes)
        scenario.wait_until_recovered(claims_end=True)


def test_terminated_processes_end_in_order(testbed: FaultTestbed) -> None:
    """SIGTERM to one process after another: each ends, and the API answers the requests in
    progress.
    """
    stack, seconds_to_end = testbed.stack, {}
    with testbed.scenario("SIGTERM: each in turn", api_ends=True) as scenario:
        for name in stack.product_processes:
            end = partial(stack.terminate, name)
            seconds_to_end[name] = (
                terminate_during_requests(testbed, end) if name == "api" else end()
            )
            stack.start(name)
        scenario.wait_until_recovered()
        scenario.notes.append(
            "ended after "
            + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in seconds_to_end.items())
        )


def terminate_during_requests(testbed: FaultTestbed, end: Callable[[], float]) -> float:
    """Call `end` while requests wait for a row lock, and check that all are answered. Return its
    result.

    The lock is released only when the API has received SIGTERM.
    """
    engine, stack, probe = testbed.harness.core.database.engine, testbed.stack, testbed.probe
    waiting = Event()

    def order() -> int:
        """Return the status of an order. Retry one that is refused before it waits for the lock."""
        body = {"stock_code": "A005930", "side": "BUY", "order_type": "MARKET", "quantity": 1}
        headers = {"Authorization": f"Bearer {probe.token}"}
        while True:
            status = requests.post(
                f"{stack.url}/api/v1/trading/orders", json=body, headers=headers, timeout=DEADLINE_S
            ).status_code
            if status == 201 or waiting.wait(RETRY_S):
                return status

    # The front door and the relayer have just been restarted.
    stack.wait_until_up()
    wait_until(testbed.probe_order(), what="a price")
    with ThreadPoolExecutor(IN_FLIGHT + 1) as pool:
        with engine.begin() as connection:
            connection.execute(text(LOCK), {"id": UUID(probe.id).bytes})
            orders = [pool.submit(order) for _ in range(IN_FLIGHT)]
            wait_until(
                lambda: running_statements(testbed.harness) > IN_FLIGHT,
                what="requests wait for the lock",
            )
            waiting.set()
            ending = pool.submit(end)
            wait_until(
                lambda: "Handling signal: term" in stack.log("api"), what="the API received SIGTERM"
            )
        assert [one.result() for one in orders] == [201] * IN_FLIGHT
        return ending.result()
