"""Fixtures for payment tests: the complete payment stack on each kind of database."""

from collections.abc import Iterator

import pytest

from tests.support.payments_stack import PaymentsStack, payments_stack


@pytest.fixture
def stack(database_uri: str, valkey_url: str) -> Iterator[PaymentsStack]:
    """The API, the workers' code and the PortOne stand-in, on each kind of database."""
    with payments_stack(database_uri, valkey_url) as stack:
        yield stack


@pytest.fixture
def server_stack(server_uri: str, valkey_url: str) -> Iterator[PaymentsStack]:
    """The same on database servers only, for tests of concurrent writers."""
    with payments_stack(server_uri, valkey_url) as stack:
        yield stack
