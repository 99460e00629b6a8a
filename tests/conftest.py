"""Fixtures that every room's tests share."""

import gc
from collections.abc import Iterator
from itertools import count

import pytest
import redis
from hypothesis import settings as hypothesis_settings

from tests import servers
from tests.books import Books, migrate, opened, settings_for
from tests.faults.table import pytest_terminal_summary
from tests.servers import MariaDB, Valkey, require_mariadb

__all__ = ["pytest_terminal_summary"]

# What a property proves does not depend on how busy the machine is.
hypothesis_settings.register_profile("unhurried", deadline=None)
hypothesis_settings.load_profile("unhurried")

_database_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("stocking")
    group.addoption(
        "--full", action="store_true", help="also run the tests and parameters marked `full`"
    )


def pytest_configure(config: pytest.Config) -> None:
    servers.uses_fork_server = not config.getoption("full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is marked `full`, unless the option asks for it."""
    if config.getoption("full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: to look through it again and again for garbage took a tenth of all processor time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A real Redis-compatible server for the whole run. A test that stops or pauses it starts or resumes it again."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey_url(valkey_server: Valkey) -> str:
    """The address of the server, with nothing in it."""
    return _emptied(valkey_server)


@pytest.fixture(scope="module")
def valkey_url_of_page(valkey_server: Valkey) -> str:
    """The same for tests of one page that share what they leave in it."""
    return _emptied(valkey_server)


def _emptied(server: Valkey) -> str:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return server.url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """A real MariaDB for the whole run, started when the first test asks for it; its commits need not survive a crash."""
    require_mariadb()
    with MariaDB(innodb_flush_log_at_trx_commit=0) as server:
        yield server


@pytest.fixture
def mariadb_uri(mariadb_server: MariaDB) -> Iterator[str]:
    """The SQLAlchemy URI of a fresh, empty database."""
    name = f"test_{next(_database_numbers)}"
    yield mariadb_server.create_database(name)
    mariadb_server.drop_database(name)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite database with our schema, for tests that empty it themselves."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'stocking.db'}"
    migrate(uri)
    return uri


@pytest.fixture(scope="session")
def migrated_mariadb(mariadb_server: MariaDB) -> str:
    """A MariaDB database with our schema, for tests that empty it themselves."""
    uri = mariadb_server.create_database("migrated")
    migrate(uri)
    return uri


@pytest.fixture(params=["sqlite", "mariadb"])
def database_uri(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn, with our schema."""
    return str(request.getfixturevalue(f"migrated_{request.param}"))


@pytest.fixture
def books(database_uri: str, valkey_url: str) -> Iterator[Books]:
    """A trading core on empty books, on each kind of database."""
    with opened(settings_for(database_uri, valkey_url)) as books:
        yield books


@pytest.fixture
def mariadb_books(migrated_mariadb: str, valkey_url: str) -> Iterator[Books]:
    """The same on MariaDB alone, for what only a server with concurrent writers can show."""
    with opened(settings_for(migrated_mariadb, valkey_url)) as books:
        yield books
