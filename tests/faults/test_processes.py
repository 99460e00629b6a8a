"""Processes that are killed, or told to end, under a crowd's orders. The launcher's keeper starts again what must be started again."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import pytest
import requests
from sqlalchemy import text

from tests.faults.scenario import Place, standing
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until
from tests.system.stack import children_of
from tests.trading.orders.steps import running_statements

IN_FLIGHT = 4
# A busy machine may take so long to notice that the time is up.
LOCK = "SELECT cash_balance FROM virtual_balances WHERE user_id = :id FOR UPDATE"


@pytest.fixture(scope="module")
def standing_place(server_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with standing(server_uri, tmp_path_factory.mktemp("processes"), kept=True) as place:
        yield place


def leader(name: str) -> Callable[[Place], list[int]]:
    return lambda place: [place.house.pid(name)]


def children(*names: str) -> Callable[[Place], list[int]]:
    return lambda place: [child for name in names for child in children_of(place.house.pid(name))]


def both_workers(place: Place) -> list[int]:
    return [place.house.pid("worker-1"), place.house.pid("worker-2")]


def a_worker_of_gunicorn(place: Place) -> list[int]:
    return children_of(place.house.pid("api"))[:1]


def listeners(place: Place) -> int:
    """How often somebody has come to the gateway."""
    return place.connections


def turns_of_beat(place: Place) -> int:
    """How often beat has begun to send."""
    return place.house.log("beat").count("beat_active")


@pytest.mark.parametrize(
    ("victim", "find", "comes_back"),
    [
        ("one of the API's two worker processes", a_worker_of_gunicorn, None),
        pytest.param("the API's master", leader("api"), None, marks=pytest.mark.full),
        pytest.param(
            "the pool children of both workers",
            children("worker-1", "worker-2"),
            None,
            marks=pytest.mark.full,
        ),
        ("both workers", both_workers, None),
        pytest.param("beat", leader("beat"), turns_of_beat, marks=pytest.mark.full),
        ("the relayer", leader("relayer"), None),
        ("the gateway", leader("gateway"), listeners),
    ],
)
def test_a_process_is_killed(
    place: Place,
    victim: str,
    find: Callable[[Place], list[int]],
    comes_back: Callable[[Place], int] | None,
) -> None:
    """It is there again by itself; what it was at is done once, and who was connected to it comes back and misses nothing."""
    with place.ordeal(f"kill -9: {victim}", api_ends="API" in victim) as ordeal:
        before = comes_back(place) if comes_back else 0
        for pid in find(place):
            os.kill(pid, signal.SIGKILL)
        ordeal.recovered(
            claims_end="API" in victim,
            also=lambda: comes_back is None or comes_back(place) > before,
        )


def test_all_processes_are_killed_at_once(place: Place) -> None:
    """As by a power cut, their keepers too. Whoever starts everything again finds all that was accepted."""
    with place.ordeal("kill -9: all of them at once", api_ends=True) as ordeal:
        place.house.kill_together(*place.house.ours)
        place.house.start(*place.house.ours)
        ordeal.recovered(claims_end=True)


def test_each_process_is_told_to_end(place: Place) -> None:
    """SIGTERM, one after another: each process ends, and the API answers the requests that it is working on."""
    house, took = place.house, {}
    with place.ordeal("SIGTERM: each in turn", api_ends=True) as ordeal:
        for name in house.ours:
            end = partial(house.terminate, name)
            took[name] = ended_amid_requests(place, end) if name == "api" else end()
            house.start(name)
        ordeal.recovered()
        ordeal.notes.append(
            "ended after " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
        )


def ended_amid_requests(place: Place, end: Callable[[], float]) -> float:
    """What ``end`` returns, which is called while requests wait for a lock that they get only when the API was told to end; all are answered."""
    engine, house, probe = place.harness.core.database.engine, place.house, place.probe

    def order() -> int:
        body = {"stock_code": "A005930", "side": "BUY", "order_type": "MARKET", "quantity": 1}
        headers = {"Authorization": f"Bearer {probe.token}"}
        return requests.post(
            f"{house.url}/api/v1/trading/orders", json=body, headers=headers, timeout=DEADLINE_S
        ).status_code

    house.wait_until_up()  # The front door may have been restarted just now.
    with ThreadPoolExecutor(IN_FLIGHT + 1) as pool:
        with engine.begin() as connection:
            connection.execute(text(LOCK), {"id": UUID(probe.id).bytes})
            orders = [pool.submit(order) for _ in range(IN_FLIGHT)]
            wait_until(
                lambda: running_statements(place.harness) > IN_FLIGHT,
                what="requests that wait",
            )
            ending = pool.submit(end)
            wait_until(lambda: "Handling signal: term" in house.log("api"), what="the API is told")
        assert [one.result() for one in orders] == [201] * IN_FLIGHT
        return ending.result()
