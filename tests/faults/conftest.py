"""Fixtures of the faults' tests."""

from collections.abc import Callable

import pytest

from tests.faults.scenario import Place
from tests.faults.table import teller


@pytest.fixture
def place(standing_place: Place, record_property: Callable[[str, object], None]) -> Place:
    """The module's house, where everything runs; what becomes of it is told in the table."""
    standing_place.tell = teller(record_property)
    return standing_place
