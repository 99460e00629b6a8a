"""Fixtures that every room's tests share."""

from collections.abc import Iterator
from itertools import count

import pytest
import redis

from tests.servers import MariaDB, Valkey, require_mariadb

_database_numbers = count(1)


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A real Redis-compatible server for the whole run. A test that stops or pauses it starts or resumes it again."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey_url(valkey_server: Valkey) -> str:
    """The address of the server, with nothing in it."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


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
