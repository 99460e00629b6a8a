"""The deadline of every wait in the tests.

A test waits for a condition, not for a time, so on an idle machine no deadline is ever reached. It only ends
a wait whose condition never comes true, and must be long enough for a machine that is busy with other work.
"""

import os

DEADLINE_S = 60.0 * float(os.environ.get("TEST_DEADLINE_SCALE", "1"))
