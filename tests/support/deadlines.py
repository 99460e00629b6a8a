"""The deadline of every wait in the tests.

Tests wait for a condition, not for a time, so on an idle machine no deadline is reached. A deadline
ends a wait whose condition never comes true, and must be long enough for a busy machine.
"""

import os

DEADLINE_S = 60.0 * float(os.environ.get("TEST_DEADLINE_SCALE", "1"))
