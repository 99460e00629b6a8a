"""Fixtures and collection rules for all tests."""

import gc
import os
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import redis

# Before the first import of a helper module, so that its failing asserts show their values.
pytest.register_assert_rewrite(
    *(f"tests.{folder.name}" for folder in Path(__file__).parent.iterdir() if folder.is_dir())
)

from tests.faults.table import pytest_terminal_summary  # noqa: E402
from tests.support import properties, servers  # noqa: E402
from tests.support.deprecations import deprecations_forbidden  # noqa: E402
from tests.support.servers import (  # noqa: E402
    DatabaseServer,
    MariaDB,
    MySQL,
    Valkey,
    require_server,
)
from tests.support.trading_harness import (  # noqa: E402
    TradingHarness,
    migrate,
    opened,
    settings_for,
)

__all__ = ["pytest_terminal_summary"]

# Commands must not find an installation that runs from this checkout.
os.environ["STOCKING_VAR"] = tempfile.mkdtemp(prefix="stocking-tests-")

# The slowest tests start first, so that no xdist worker ends alone with one of them.
_SLOWEST_FIRST = (
    "tests/faults/",
    "tests/system/",
    "tests/launcher/",
    "tests/test_benchmarks.py",
    "tests/workers/",
    "tests/trading/test_any_history.py",
    "tests/trading/orders/test_any",
    "tests/trading/payments/test_any",
    "tests/webapp/test_any",
    "tests/relayer/",
    "tests/scenarios/",
    "tests/trading/orders/",
    "tests/trading/payments/",
    "tests/webapp/",
    "tests/trading/db/",
    "tests/trading/portfolio/",
    "tests/trading/",
)
# `pytest --fast` leaves out a test that uses one of these fixtures, or whose module imports
# something that starts servers or processes.
_SERVER_FIXTURES = {
    "database_kind",
    "database_uri",
    "mariadb_server",
    "migrated_sqlite",
    "server_kind",
    "valkey_server",
}
_DATABASES = {"sqlite", "mariadb", "mysql"}
_STARTERS = {
    id(starter)
    for starter in (
        subprocess,
        *(getattr(servers, name) for name in servers.__all__ if name != "wait_until"),
    )
}

_database_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("stocking")
    group.addoption(
        "--full",
        action="store_true",
        help="also run what is marked `full`, all examples of properties, and no forked processes",
    )
    group.addoption(
        "--fast", action="store_true", help="run only tests that need no server and no process"
    )


def pytest_configure(config: pytest.Config) -> None:
    full = config.getoption("full")
    servers.uses_fork_server = not full
    if config.getoption("--hypothesis-profile") is None:
        properties.settings.load_profile("full" if full else "quick")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that the options exclude, and sort the others: the slowest first."""
    selected = [
        item
        for item in items
        if (config.getoption("full") or not item.get_closest_marker("full"))
        and not (config.getoption("fast") and _needs_server(item))
    ]
    if len(selected) < len(items):
        config.hook.pytest_deselected(items=list(set(items) - set(selected)))
    items[:] = sorted(selected, key=_rank)


def _needs_server(item: pytest.Item) -> bool:
    assert isinstance(item, pytest.Function)
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return bool(
        _SERVER_FIXTURES & set(item.fixturenames)
        or any(isinstance(value, str) and value in _DATABASES for value in parameters)
        or _STARTERS & {id(value) for value in vars(item.module).values()}
    )


def _rank(item: pytest.Item) -> int:
    indexes = (index for index, start in enumerate(_SLOWEST_FIRST) if item.nodeid.startswith(start))
    return next(indexes, len(_SLOWEST_FIRST))


def pytest_collection_finish() -> None:
    """Freeze collected objects: scanning them for garbage took a tenth of all processor time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey for the whole run. A test that stops or pauses it must start or resume it."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey_url(valkey_server: Valkey) -> str:
    """The URL of the server, emptied."""
    return _flushed(valkey_server)


@pytest.fixture(scope="module")
def module_valkey_url(valkey_server: Valkey) -> str:
    """The URL of the server, emptied once per test module."""
    return _flushed(valkey_server)


def _flushed(server: Valkey) -> str:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return server.url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """A MariaDB for the whole run. Its commits need not survive a crash."""
    require_server(MariaDB)
    with MariaDB(innodb_flush_log_at_trx_commit=0) as server:
        yield server


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[MySQL]:
    """A MySQL for the whole run. Its commits need not survive a crash."""
    require_server(MySQL)
    with MySQL(innodb_flush_log_at_trx_commit=0) as server, deprecations_forbidden():
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a migrated SQLite database, for tests that empty it themselves."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'stocking.db'}"
    migrate(uri)
    return uri


@pytest.fixture(scope="session")
def migrated_mariadb(mariadb_server: MariaDB) -> str:
    """The URI of a migrated MariaDB database, for tests that empty it themselves."""
    uri = mariadb_server.create_database("migrated")
    migrate(uri)
    return uri


@pytest.fixture(scope="session")
def migrated_mysql(mysql_server: MySQL) -> str:
    """The URI of a migrated MySQL database, for tests that empty it themselves."""
    uri = mysql_server.create_database("migrated")
    migrate(uri)
    return uri


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses a kind of database once on each kind.

    MySQL is left to `--full`, except for tests marked `every_database`. SQLite is left to `--full`
    for API tests, because the core's tests cover its SQL on each kind.
    """
    marked = metafunc.definition.get_closest_marker("every_database")
    mysql = pytest.param("mysql", marks=[] if marked else pytest.mark.full)
    is_api_test = metafunc.definition.nodeid.startswith(("tests/webapp/", "tests/scenarios/"))
    sqlite_is_full_only = is_api_test and not marked
    sqlite = pytest.param("sqlite", marks=pytest.mark.full if sqlite_is_full_only else [])
    for fixture, kinds in (
        ("database_kind", [sqlite, "mariadb", mysql]),
        ("server_kind", ["mariadb", mysql]),
    ):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, kinds, indirect=True)


@pytest.fixture(scope="module")
def database_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn: sqlite, mariadb or mysql."""
    return str(request.param)


@pytest.fixture(scope="module")
def database_uri(database_kind: str, request: pytest.FixtureRequest) -> str:
    """The URI of a migrated database of each kind in turn."""
    return str(request.getfixturevalue(f"migrated_{database_kind}"))


@pytest.fixture(scope="module")
def server_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of database server in turn: mariadb or mysql."""
    return str(request.param)


@pytest.fixture(scope="module")
def server_class(server_kind: str) -> type[DatabaseServer]:
    """The class of each kind of database server in turn, for tests that start their own."""
    kind = {"mariadb": MariaDB, "mysql": MySQL}[server_kind]
    require_server(kind)
    return kind


@pytest.fixture(scope="module")
def database_server(server_kind: str, request: pytest.FixtureRequest) -> DatabaseServer:
    """Each kind of database server in turn, shared by the whole run."""
    server: DatabaseServer = request.getfixturevalue(f"{server_kind}_server")
    return server


@pytest.fixture(scope="module")
def server_uri(server_kind: str, request: pytest.FixtureRequest) -> str:
    """The URI of a migrated database on each kind of server in turn."""
    return str(request.getfixturevalue(f"migrated_{server_kind}"))


@pytest.fixture
def empty_uri(database_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URI of a new, empty database of each kind in turn."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        yield from _empty_database(request.getfixturevalue(f"{database_kind}_server"))


@pytest.fixture
def empty_server_uri(database_server: DatabaseServer) -> Iterator[str]:
    """The URI of a new, empty database on each kind of server in turn."""
    yield from _empty_database(database_server)


def _empty_database(server: DatabaseServer) -> Iterator[str]:
    name = f"test_{next(_database_numbers)}"
    yield server.create_database(name)
    server.drop_database(name)


@pytest.fixture
def harness(database_uri: str, valkey_url: str) -> Iterator[TradingHarness]:
    """A trading harness on an emptied database of each kind in turn."""
    with opened(settings_for(database_uri, valkey_url)) as harness:
        yield harness


@pytest.fixture
def server_harness(server_uri: str, valkey_url: str) -> Iterator[TradingHarness]:
    """A trading harness on database servers only, for tests of concurrent writers."""
    with opened(settings_for(server_uri, valkey_url)) as harness:
        yield harness
