"""A payer with a running service, on each kind of database."""

from collections.abc import Iterator

import pytest

from tests.scenarios.payer import Payer
from tests.support.payments_stack import payments_stack


@pytest.fixture
def payer(database_uri: str, valkey_url: str) -> Iterator[Payer]:
    """A signed-in user of the real API, with the workers' code and the PortOne stand-in."""
    with payments_stack(database_uri, valkey_url) as stack:
        yield Payer(stack)
