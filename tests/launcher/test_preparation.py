"""What an earlier run left must not be taken for the present one's sign of life."""

import os
from dataclasses import replace
from pathlib import Path

from launcher import plan
from launcher.health import checks_of
from launcher.ports import free_port
from launcher.setup import forget_beat_schedule
from tests.support.http_server import answer, serving


def test_an_old_schedule_does_not_pass_for_a_beat_that_is_up(tmp_path: Path) -> None:
    """Whatever its time says: on some builds of Python a running beat does not touch its file for minutes."""
    decided = _plan(tmp_path)
    (beat,) = [check for check in checks_of(decided) if check.process == "beat"]
    for name in ("beat-schedule", "beat-schedule.db", "beat-schedule.dat"):
        (tmp_path / name).touch()

    forget_beat_schedule(decided)

    assert not beat.passes()
    (tmp_path / "beat-schedule.db").touch()
    assert beat.passes()


def test_front_door_gets_no_request_before_the_api_is_ready(tmp_path: Path) -> None:
    """It would log each as an error of a thousand characters, on a terminal that shows a start."""
    with (
        serving(lambda _: answer(200)) as front_door,
        serving(lambda request: answer(503 if request.target == "/readyz" else 200)) as api,
    ):
        decided = replace(_plan(tmp_path), api_url=front_door.url, gunicorn_url=api.url)
        checks = {check.process: check for check in checks_of(decided)}

        assert not checks["front_door"].passes()
        assert checks["relayer"].passes()
        assert front_door.requests == []

        api.reply = lambda _: answer(200)
        assert checks["front_door"].passes()
        assert [request.target for request in front_door.requests] == ["/healthz"]


def _plan(var: Path) -> plan.Plan:
    given = {
        **os.environ,
        "API_PORT": str(free_port()),
        "FLOWER_PORT": str(free_port()),
        "GATEWAY_PORT": str(free_port()),
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    return plan.make(given, var)
