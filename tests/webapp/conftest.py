"""Fixtures of the API's tests."""

from collections.abc import Iterator

import pytest

from tests.books import Books, opened, settings_for
from tests.webapp.client import Api, api_on


@pytest.fixture
def api(books: Books) -> Api:
    """The API on empty books, on each kind of database."""
    return api_on(books)


@pytest.fixture
def mariadb_api(mariadb_books: Books) -> Api:
    """The same on MariaDB alone, for what only a server with concurrent writers can show."""
    return api_on(mariadb_books)


@pytest.fixture
def sqlite_books(migrated_sqlite: str, valkey_url: str) -> Iterator[Books]:
    """Books on SQLite alone, for what does not depend on the kind of database."""
    with opened(settings_for(migrated_sqlite, valkey_url)) as books:
        yield books


@pytest.fixture
def sqlite_api(sqlite_books: Books) -> Api:
    """The API on SQLite alone."""
    return api_on(sqlite_books)


@pytest.fixture
def volume_api(migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    """The API of a market in which a trade fills no more shares than it was for."""
    with opened(settings_for(migrated_sqlite, valkey_url, fill_profile="volume")) as books:
        yield api_on(books)


@pytest.fixture
def krx_api(migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    """The API of a market that keeps the exchange's hours."""
    with opened(settings_for(migrated_sqlite, valkey_url, market_hours="krx")) as books:
        yield api_on(books)
