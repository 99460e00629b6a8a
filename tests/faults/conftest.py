"""Fixtures of the fault tests."""

from collections.abc import Callable

import pytest

from tests.faults.scenario import FaultTestbed
from tests.faults.table import row_recorder


@pytest.fixture
def testbed(
    module_testbed: FaultTestbed, record_property: Callable[[str, object], None]
) -> FaultTestbed:
    """Return the running testbed of the module, which records results in the test report."""
    module_testbed.record = row_recorder(record_property)
    return module_testbed
