"""The database server restarted, killed, frozen, and cut off in the middle of COMMIT, under a crowd's orders."""

import signal
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from tests.faults.scenario import Place, passes, standing
from tests.support.servers import DatabaseServer, wait_until
from tests.support.trading_harness import migrate
from tests.trading.db.cutting_proxy import Cut, CuttingProxy

DATABASE_TIMEOUT_S = 1
FROZEN_S = 4.0
CUTS = 24


@pytest.fixture(scope="module")
def server(server_class: type[DatabaseServer]) -> Iterator[DatabaseServer]:
    """A server of the module's own, of each kind in turn, whose commits survive a crash."""
    with server_class() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(server: DatabaseServer) -> Iterator[CuttingProxy]:
    """What all processes go through to it."""
    with CuttingProxy(server.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def standing_place(
    server: DatabaseServer, proxy: CuttingProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    uri = server.create_database("stocking")
    migrate(uri)
    through_it = make_url(uri).set(port=proxy.port).render_as_string(hide_password=False)
    settings = {"DATABASE_URI": through_it, "DATABASE_TIMEOUT_S": str(DATABASE_TIMEOUT_S)}
    with standing(uri, tmp_path_factory.mktemp("database"), settings=settings) as place:
        yield place


def test_commits_are_cut(place: Place, server: DatabaseServer, proxy: CuttingProxy) -> None:
    """Every third COMMIT loses its connection, by turns before the server sees it and after it was done."""
    with place.ordeal(f"{server.name}: {CUTS} connections cut in COMMIT") as ordeal:
        proxy.cut(*(Cut.BEFORE, None, None, Cut.AFTER, None, None) * (CUTS // 2))
        wait_until(lambda: not proxy.left, what="all cuts were made")
        ordeal.recovered(claims_end=True)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.full), signal.SIGKILL]
)
def test_the_server_is_restarted(
    place: Place, server: DatabaseServer, number: signal.Signals
) -> None:
    """In order, or as after a crash."""
    with place.ordeal(f"{server.name}: restarted after {number.name}") as ordeal:
        server.end(number)
        server.start_again()
        ordeal.recovered(claims_end=True)


def test_the_server_is_frozen(place: Place, server: DatabaseServer) -> None:
    """It takes connections and answers nothing, for longer than anybody waits for it."""
    with place.ordeal(f"{server.name}: frozen for {FROZEN_S:g} s") as ordeal:
        server.pause()
        passes(FROZEN_S)
        server.resume()
        ordeal.recovered(claims_end=True)
