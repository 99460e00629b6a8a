"""Database server restarted, killed, frozen, and disconnected during COMMIT while clients trade."""

import signal
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from tests.faults.scenario import FaultTestbed, hold_fault, running_testbed
from tests.support.servers import DatabaseServer, wait_until
from tests.support.trading_harness import migrate
from tests.trading.db.cutting_proxy import Cut, CuttingProxy

DATABASE_TIMEOUT_S = 1
FROZEN_S = 4.0
CUTS = 24


@pytest.fixture(scope="module")
def server(server_class: type[DatabaseServer]) -> Iterator[DatabaseServer]:
    """A database server of this module, of each kind in turn, whose commits survive a crash."""
    with server_class() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(server: DatabaseServer) -> Iterator[CuttingProxy]:
    """Proxy that all processes use to reach the database."""
    with CuttingProxy(server.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def module_testbed(
    server: DatabaseServer, proxy: CuttingProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultTestbed]:
    uri = server.create_database("stocking")
    migrate(uri)
    through_it = make_url(uri).set(port=proxy.port).render_as_string(hide_password=False)
    settings = {"DATABASE_URI": through_it, "DATABASE_TIMEOUT_S": str(DATABASE_TIMEOUT_S)}
    with running_testbed(uri, tmp_path_factory.mktemp("database"), settings=settings) as testbed:
        yield testbed


def test_connections_lost_during_commit_lose_no_order(
    testbed: FaultTestbed, server: DatabaseServer, proxy: CuttingProxy
) -> None:
    """Every third COMMIT loses its connection, alternately before the server receives it and after
    it has committed.
    """
    with testbed.scenario(f"{server.name}: {CUTS} connections cut in COMMIT") as scenario:
        proxy.cut(*(Cut.BEFORE, None, None, Cut.AFTER, None, None) * (CUTS // 2))
        wait_until(lambda: not proxy.remaining, what="all cuts were made")
        scenario.wait_until_recovered(claims_end=True)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.full), signal.SIGKILL]
)
def test_system_recovers_from_a_database_restart(
    testbed: FaultTestbed, server: DatabaseServer, number: signal.Signals
) -> None:
    with testbed.scenario(f"{server.name}: restarted after {number.name}") as scenario:
        server.end(number)
        server.start_again()
        scenario.wait_until_recovered(claims_end=True)


def test_system_recovers_from_a_frozen_database(
    testbed: FaultTestbed, server: DatabaseServer
) -> None:
    """The server accepts connections and answers nothing, for longer than any client's timeout."""
    with testbed.scenario(f"{server.name}: frozen for {FROZEN_S:g} s") as scenario:
        server.pause()
        hold_fault(FROZEN_S)
        server.resume()
        scenario.wait_until_recovered(claims_end=True)
