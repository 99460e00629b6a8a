"""What an earlier run left must not be taken for the present one's sign of life."""

import os
from pathlib import Path

from launcher import plan
from launcher.health import checks_of
from launcher.ports import free_port
from launcher.preparation import forget_beat_schedule


def test_an_old_schedule_does_not_pass_for_a_beat_that_is_up(tmp_path: Path) -> None:
    """Whatever its time says: on some builds of Python a running beat does not touch its file for minutes."""
    given = {
        **os.environ,
        "API_PORT": str(free_port()),
        "FLOWER_PORT": str(free_port()),
        "GATEWAY_PORT": str(free_port()),
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    decided = plan.make(given, tmp_path)
    (beat,) = [check for check in checks_of(decided) if check.process == "beat"]
    for name in ("beat-schedule", "beat-schedule.db", "beat-schedule.dat"):
        (tmp_path / name).touch()

    forget_beat_schedule(decided)

    assert not beat.passes()
    (tmp_path / "beat-schedule.db").touch()
    assert beat.passes()
