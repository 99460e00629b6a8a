"""A payer before a running shop, on each kind of database."""

from collections.abc import Iterator

import pytest

from tests.scenarios.payer import Payer
from tests.support.payments_stack import payments_stack


@pytest.fixture
def payer(database_uri: str, valkey_url: str) -> Iterator[Payer]:
    """Somebody who signed in to the real API, beside what workers do and the stand-in for PortOne."""
    with payments_stack(database_uri, valkey_url) as stack:
        yield Payer(stack)
